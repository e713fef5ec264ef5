package token

import (
	"sync"
	"time"

	"cambio/internal/directory"
)

// sharedKey is everything that an access token is made of. Records never
// change: a change of the client, its credentials or roles, of the resource or
// of the tenant makes other records, and so another key.
type sharedKey struct {
	tenant          *directory.TenantRecord
	client          *directory.ClientRecord
	resource        *directory.ResourceRecord
	credential      *directory.Credential
	audience        string // as asked for: it is the aud of v1.0 tokens
	issuer, subject string // of the assertion
}

func (x *exchange) sharedKey() sharedKey {
	return sharedKey{x.tenant, x.client, x.resource, x.credential, x.request.resource, x.assertion.Issuer, x.assertion.Subject}
}

// shared keeps access tokens for the requests that are the same but for their
// moment, for a short time: a thousand processes of one workload that start at
// once cost one signature. Each of them is verified and recorded as ever. It is
// off unless an operator turns it on, since requests then share an id and a
// time of issue. It is safe for concurrent use.
type shared struct {
	lasting time.Duration // 0: nothing is shared

	mu           sync.Mutex
	newer, older map[sharedKey]issued
}

// mostShared is how many tokens are kept in one of two generations.
const mostShared = 2048

func newShared(lasting time.Duration) *shared {
	return &shared{lasting: lasting, newer: make(map[sharedKey]issued)}
}

// get returns a token that was issued lately and is signed with the key that
// signs now.
func (s *shared) get(key sharedKey, keyID string, now time.Time) (issued, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.newer[key]
	if !ok {
		t, ok = s.older[key]
	}
	return t, ok && t.keyID == keyID && now.Sub(t.issuedAt) < s.lasting
}

func (s *shared) put(key sharedKey, t issued) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.newer) >= mostShared {
		s.older, s.newer = s.newer, make(map[sharedKey]issued)
	}
	t.shared = true
	s.newer[key] = t
}
