package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cambio/internal/jose"
)

// testClock is a clock that moves when told to.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func newTestClock() *testClock { return &testClock{now: time.Unix(1_800_000_000, 0)} }

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fakeIssuer is an issuer that behaves until told otherwise.
type fakeIssuer struct {
	*httptest.Server
	issuer                  string
	discoveries, keyFetches atomic.Int64
	others, connections     atomic.Int64

	mu          sync.Mutex
	keys        []string // JWKs
	onDiscovery http.HandlerFunc
	onKeys      http.HandlerFunc
	headers     []http.Header
}

func newFakeIssuer(t testing.TB, keys ...string) *fakeIssuer {
	f := &fakeIssuer{keys: keys}
	f.Server = httptest.NewUnstartedServer(f)
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			f.connections.Add(1)
		}
	}
	f.StartTLS()
	t.Cleanup(f.Server.Close)
	f.issuer = f.URL + "/tenant"
	return f
}

func (f *fakeIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	onDiscovery, onKeys := f.onDiscovery, f.onKeys
	f.headers = append(f.headers, r.Header.Clone())
	f.mu.Unlock()
	switch r.URL.Path {
	case "/tenant/.well-known/openid-configuration":
		f.discoveries.Add(1)
		if onDiscovery != nil {
			onDiscovery(w, r)
			return
		}
		_, _ = io.WriteString(w, f.discovery())
	case "/tenant/keys":
		f.keyFetches.Add(1)
		if onKeys != nil {
			onKeys(w, r)
			return
		}
		_, _ = io.WriteString(w, f.keySet())
	default:
		f.others.Add(1)
		http.NotFound(w, r)
	}
}

func (f *fakeIssuer) discovery() string {
	return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"authorization_endpoint":""}`, f.issuer, f.issuer+"/keys")
}

func (f *fakeIssuer) keySet() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return `{"keys":[` + strings.Join(f.keys, ",") + `]}`
}

func (f *fakeIssuer) setKeys(keys ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = keys
}

func (f *fakeIssuer) handle(discovery, keys http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onDiscovery, f.onKeys = discovery, keys
}

func (f *fakeIssuer) wantFetches(t testing.TB, discoveries, keys int64) {
	t.Helper()
	if d, k := f.discoveries.Load(), f.keyFetches.Load(); d != discoveries || k != keys {
		t.Errorf("%d discovery and %d key set fetches, want %d and %d", d, k, discoveries, keys)
	}
}

func (f *fakeIssuer) roots() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
}

func (f *fakeIssuer) addrPort() netip.AddrPort {
	return netip.MustParseAddrPort(f.Listener.Addr().String())
}

// jwk makes a P-256 key and its JWK.
func jwk(t testing.TB, keyID string) (string, crypto.PublicKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jose.PublicJWK(private.Public(), keyID, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	return string(text), private.Public()
}

func header(keyID string) jose.Header {
	return jose.Header{Algorithm: "ES256", KeyID: keyID, HasKeyID: true}
}

// newKeySets makes a cache that trusts and permits the given issuers.
func newKeySets(t testing.TB, config Config, issuers ...*fakeIssuer) (*KeySets, *testClock) {
	t.Helper()
	clock := newTestClock()
	config.Clock = clock.Now
	for _, f := range issuers {
		config.ExtraRootsPEM = append(config.ExtraRootsPEM, f.roots()...)
		config.AllowedAddrPorts = append(config.AllowedAddrPorts, f.addrPort())
	}
	k, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k, clock
}

func wantKey(t testing.TB, k *KeySets, issuer, keyID string) {
	t.Helper()
	keys, err := k.Lookup(t.Context(), issuer, header(keyID))
	if err != nil || len(keys) != 1 || keys[0].KeyID != keyID {
		t.Fatalf("key %s: %v, %v", keyID, keys, err)
	}
}

func wantUnknown(t testing.TB, k *KeySets, issuer, keyID string) {
	t.Helper()
	if keys, err := k.Lookup(t.Context(), issuer, header(keyID)); err != ErrUnknownKey {
		t.Fatalf("key %s: %v, %v, want ErrUnknownKey", keyID, keys, err)
	}
}

func wantReason(t testing.TB, k *KeySets, issuer string, reason Reason) *FetchError {
	t.Helper()
	keys, err := k.Lookup(t.Context(), issuer, header("k1"))
	fail, ok := err.(*FetchError)
	if !ok || fail.Reason != reason {
		t.Fatalf("%v, %v (%v), want reason %s", keys, err, causeOf(err), reason)
	}
	return fail
}

func causeOf(err error) any {
	if fail, ok := err.(*FetchError); ok {
		return fmt.Sprint(fail.Reason, ": ", fail.cause)
	}
	return nil
}

// settle waits for refreshes in the background.
func settle(k *KeySets) { k.flying.Wait() }

func drop(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = conn.Close()
}

// text answers with a fixed body.
func text(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// raw answers with bytes of its own making.
func raw(write func(net.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		write(conn)
		_ = conn.Close()
	}
}
