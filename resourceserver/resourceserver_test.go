package resourceserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"cambio/internal/jose"
)

const (
	tenant   = "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77"
	audience = "90d4c8f6-2b1e-4a3d-b7c5-1e9f8a6d4c02"
)

// signingKey is a key of the issuer with the algorithm it signs with.
type signingKey struct {
	id     string
	alg    jose.Algorithm
	signer crypto.Signer
}

// issuer is a server with a discovery document and keys that can be changed.
type issuer struct {
	*httptest.Server
	mu     sync.Mutex
	keys   []signingKey
	names  string // issuer in the discovery document; empty for its own
	down   bool
	visits map[string]int // requests by path
}

func newIssuer(t *testing.T, keys ...signingKey) *issuer {
	i := &issuer{keys: keys, visits: map[string]int{}}
	i.Server = httptest.NewTLSServer(http.HandlerFunc(i.serve))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) name() string { return i.URL + "/" + tenant + "/v2.0" }

func (i *issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.visits[r.URL.Path]++
	named := i.names
	if named == "" {
		named = i.name()
	}
	switch {
	case i.down:
		http.Error(w, "down", http.StatusBadGateway)
	case r.URL.Path == "/"+tenant+"/v2.0/.well-known/openid-configuration":
		json.NewEncoder(w).Encode(map[string]any{"issuer": named, "jwks_uri": i.URL + "/keys"})
	case r.URL.Path == "/keys":
		var set struct {
			Keys []json.RawMessage `json:"keys"`
		}
		for _, key := range i.keys {
			jwk, err := jose.PublicJWK(key.signer.Public(), key.id, key.alg)
			if err != nil {
				panic(err)
			}
			set.Keys = append(set.Keys, jwk)
		}
		json.NewEncoder(w).Encode(set)
	default:
		http.NotFound(w, r)
	}
}

// set changes the issuer under its lock.
func (i *issuer) set(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
}

func (i *issuer) fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.visits["/keys"]
}

func rsaKey(t *testing.T, id string) signingKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return signingKey{id, "RS256", key}
}

func ecKey(t *testing.T, id string) signingKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signingKey{id, "ES256", key}
}

// sign makes a token; header and claims replace the usual ones by name, and a
// nil removes one.
func sign(t *testing.T, i *issuer, key signingKey, header, claims map[string]any) string {
	t.Helper()
	now := time.Now().Unix()
	h := map[string]any{"typ": "JWT", "alg": key.alg, "kid": key.id}
	c := map[string]any{
		"iss": i.name(), "aud": audience, "tid": tenant, "azp": "client", "oid": "principal", "sub": "principal", "ver": "2.0",
		"uti": "id", "roles": []string{"Orders.Read"}, "iat": now, "nbf": now, "exp": now + 3600,
	}
	for _, part := range []struct{ into, from map[string]any }{{h, header}, {c, claims}} {
		maps.Copy(part.into, part.from)
		maps.DeleteFunc(part.into, func(_ string, v any) bool { return v == nil })
	}
	input := encode(t, h) + "." + encode(t, c)
	signature, err := jose.Sign(key.alg, key.signer, []byte(input), nil)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func encode(t *testing.T, v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func validator(t *testing.T, i *issuer) *Validator {
	t.Helper()
	v, err := New(Config{Issuer: i.name(), Audience: audience, HTTPClient: i.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestValidate(t *testing.T) {
	rsaKey, ecKey := rsaKey(t, "r"), ecKey(t, "e")
	i := newIssuer(t, rsaKey, ecKey)
	v := validator(t, i)
	for _, key := range []signingKey{rsaKey, ecKey} {
		claims, err := v.Validate(t.Context(), sign(t, i, key, nil, nil))
		if err != nil {
			t.Fatalf("%s: %v", key.alg, err)
		}
		if claims.ClientID != "client" || claims.ObjectID != "principal" || !claims.HasRole("Orders.Read") || claims.HasRole("Orders.Write") {
			t.Errorf("claims: %+v", claims)
		}
	}
	if _, err := v.Validate(t.Context(), sign(t, i, rsaKey, map[string]any{"typ": "at+jwt"}, map[string]any{"roles": nil})); err != nil {
		t.Errorf("the profile of RFC 9068: %v", err)
	}
	if n := i.fetches(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

func TestValidateVersion1(t *testing.T) {
	key := rsaKey(t, "r")
	i := newIssuer(t, key)
	v, err := New(Config{Issuer: i.URL + "/" + tenant + "/", Audience: "api://orders", HTTPClient: i.Client()})
	if err != nil {
		t.Fatal(err)
	}
	// Its discovery document is at another path, which this issuer lacks: so
	// the keys are unavailable, but only after every claim was accepted.
	token := sign(t, i, key, nil, map[string]any{
		"iss": i.URL + "/" + tenant + "/", "aud": "api://orders", "ver": "1.0", "azp": nil, "appid": "client",
	})
	if _, err := v.Validate(t.Context(), token); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	key, stranger := rsaKey(t, "r"), rsaKey(t, "r")
	i := newIssuer(t, key)
	v := validator(t, i)
	_, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	good := sign(t, i, key, nil, nil)
	for _, test := range []struct{ name, token, reason string }{
		{"not a token", "nonsense", "not a JSON Web Token"},
		{"no signature", good[:strings.LastIndexByte(good, '.')+1], "signature"},
		{"another's key", sign(t, i, stranger, nil, nil), "signature"},
		{"changed", strings.Replace(good, ".", ".e", 1), ""},
		{"alg none", sign(t, i, key, map[string]any{"alg": "none"}, nil), "algorithm"},
		{"alg HS256", sign(t, i, key, map[string]any{"alg": "HS256"}, nil), "algorithm"},
		{"alg PS256", sign(t, i, key, map[string]any{"alg": "PS256"}, nil), "algorithm"},
		{"alg EdDSA", sign(t, i, signingKey{"r", "EdDSA", edPrivate}, nil, nil), "algorithm"},
		{"alg of another kind of key", sign(t, i, key, map[string]any{"alg": "ES256"}, nil), "key"},
		{"typ of another kind of token", sign(t, i, key, map[string]any{"typ": "secevent+jwt"}, nil), "typ"},
		{"no typ", sign(t, i, key, map[string]any{"typ": nil}, nil), "typ"},
		{"no kid", sign(t, i, key, map[string]any{"kid": nil}, nil), "names no key"},
		{"unknown kid", sign(t, i, key, map[string]any{"kid": "x"}, nil), "not among"},
		{"issuer", sign(t, i, key, nil, map[string]any{"iss": i.name() + "/"}), "issuer"},
		{"tenant", sign(t, i, key, nil, map[string]any{"tid": "other"}), "tenant"},
		{"no tenant", sign(t, i, key, nil, map[string]any{"tid": nil}), "tid"},
		{"audience", sign(t, i, key, nil, map[string]any{"aud": "api://other"}), "audience"},
		{"audience list", sign(t, i, key, nil, map[string]any{"aud": []string{audience}}), "aud"},
		{"expired", sign(t, i, key, nil, map[string]any{"exp": now - 61}), "expired"},
		{"no exp", sign(t, i, key, nil, map[string]any{"exp": nil}), "exp"},
		{"exp as text", sign(t, i, key, nil, map[string]any{"exp": "9999999999"}), "exp"},
		{"not yet valid", sign(t, i, key, nil, map[string]any{"nbf": now + 70}), "not valid yet"},
		{"roles as text", sign(t, i, key, nil, map[string]any{"roles": "Orders.Read"}), "roles"},
		{"empty client", sign(t, i, key, nil, map[string]any{"azp": ""}), "azp"},
	} {
		_, err := v.Validate(t.Context(), test.token)
		var invalid *InvalidTokenError
		if !errors.As(err, &invalid) || !strings.Contains(invalid.Reason, test.reason) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, cfg := range []Config{
		{},
		{Issuer: "http://sts.example/" + tenant + "/v2.0", Audience: audience},
		{Issuer: "https://sts.example", Audience: audience},
		{Issuer: "https://sts.example/" + tenant + "/v2.0?x", Audience: audience},
		{Issuer: "https://sts.example/" + tenant + "/v2.0"},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("accepted %+v", cfg)
		}
	}
}
