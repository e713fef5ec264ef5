package management

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
)

// PageTokens makes and checks the tokens that continue a list. A token is good
// for one scope (tenant, list, filter) only. Its position is authenticated,
// not secret.
type PageTokens struct{ key []byte }

// NewPageTokens makes PageTokens with a key that all replicas share. With an
// empty key it chooses one, and tokens end with the process.
func NewPageTokens(key []byte) *PageTokens {
	if len(key) == 0 {
		key = make([]byte, sha256.Size)
		rand.Read(key) // never fails
	}
	return &PageTokens{key: key}
}

const pageMAC = 16 // bytes of the MAC that are kept

// Seal makes the token of a position.
func (p *PageTokens) Seal(after, scope string) string {
	return base64.RawURLEncoding.EncodeToString(append(p.mac(after, scope), after...))
}

// Open returns the position in a token that Seal made for the same scope.
func (p *PageTokens) Open(token, scope string) (after string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) <= pageMAC {
		return "", false
	}
	after = string(raw[pageMAC:])
	// The text is compared, not the bytes: the decoder passes over line breaks.
	return after, hmac.Equal([]byte(token), []byte(p.Seal(after, scope)))
}

func (p *PageTokens) mac(after, scope string) []byte {
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(strconv.Itoa(len(after)) + ":" + after + scope))
	return mac.Sum(nil)[:pageMAC]
}
