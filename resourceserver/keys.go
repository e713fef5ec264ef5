package resourceserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"cambio/internal/jose"
	"cambio/internal/strictjson"
)

// How long keys are used and how often the issuer may be asked. The issuer
// publishes a key before it signs with it, so an unknown one is rare.
const (
	refreshAfter = 10 * time.Minute // keys older than this are fetched again
	useAtMost    = time.Hour        // older keys are not used, even when the issuer is down
	coolDown     = 10 * time.Second // between two fetches for want of a key, or after a failure
	fetchWithin  = 10 * time.Second // both documents
	maxKeys      = 100
)

// keySource holds the issuer's keys. At most one fetch is under way; whoever
// needs its outcome waits for it, and nobody else does.
type keySource struct {
	issuer string
	client *http.Client

	mu        sync.Mutex
	keys      *jose.KeySet // never changed, only replaced
	fetchedAt time.Time    // of keys
	retryAt   time.Time    // no fetch for an unknown key, or after a failure, before
	running   *fetch
}

// fetch is one attempt. err is set before done is closed.
type fetch struct {
	done chan struct{}
	err  error
}

func newKeySource(issuer string, client *http.Client) *keySource {
	own := http.Client{}
	if client != nil {
		own = *client
	}
	// A redirect could lead where the issuer's certificate does not reach.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &keySource{issuer: issuer, client: &own}
}

// find returns the keys that may verify a token with this header: none when
// the issuer does not publish such a key, ErrUnavailable when that is unknown.
func (s *keySource) find(ctx context.Context, header jose.Header, now time.Time) ([]*jose.PublicKey, error) {
	s.mu.Lock()
	keys, age := s.keys, now.Sub(s.fetchedAt)
	s.mu.Unlock()
	if keys != nil && age < useAtMost {
		if found, known := keys.Candidates(header); known {
			if age >= refreshAfter {
				s.start(now) // in the background: these keys are still good
			}
			return found, nil
		}
	}
	running := s.start(now)
	if running == nil {
		if keys != nil && age < useAtMost {
			return nil, nil // asked a moment ago
		}
		return nil, ErrUnavailable
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-running.done:
	}
	if running.err != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnavailable, running.err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, _ := s.keys.Candidates(header)
	return found, nil
}

// start joins the fetch that is under way or begins one. It returns nil while
// the issuer must not be asked.
func (s *keySource) start(now time.Time) *fetch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return s.running
	}
	if now.Before(s.retryAt) {
		return nil
	}
	// The first fetch of all does not count, so that a key published right
	// after it is found at once.
	if s.keys != nil {
		s.retryAt = now.Add(coolDown)
	}
	f := &fetch{done: make(chan struct{})}
	s.running = f
	// It belongs to all who wait, so no single caller's context may end it.
	go s.run(f, now)
	return f
}

func (s *keySource) run(f *fetch, now time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchWithin)
	defer cancel()
	keys, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.err = err; err == nil {
		s.keys, s.fetchedAt = keys, now
	} else {
		s.retryAt = now.Add(coolDown)
	}
	s.running = nil
	close(f.done)
}

// fetch reads the discovery document and the key set that it names (OpenID
// Connect Discovery 1.0 section 4).
func (s *keySource) fetch(ctx context.Context) (*jose.KeySet, error) {
	text, err := s.get(ctx, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, err
	}
	document, err := strictjson.ParseObject(text, strictjson.Document)
	if err != nil {
		return nil, fmt.Errorf("the discovery document: %w", err)
	}
	if issuer, _, _ := document.String("issuer"); issuer != s.issuer {
		return nil, errors.New("the discovery document is of another issuer")
	}
	location, _, _ := document.String("jwks_uri")
	if where, err := url.Parse(location); err != nil || where.Scheme != "https" {
		return nil, errors.New("the discovery document names no https jwks_uri")
	}
	if text, err = s.get(ctx, location); err != nil {
		return nil, err
	}
	keys, err := jose.ParseKeySet(text, maxKeys)
	if err != nil {
		return nil, fmt.Errorf("the key set: %w", err)
	}
	return keys, nil
}

// get reads one document, which must not be longer than a document may be.
func (s *keySource) get(ctx context.Context, location string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", location, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, int64(strictjson.Document.Bytes)+1))
}
