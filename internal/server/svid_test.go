package server

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/oauth"
	"cambio/internal/store"
	"cambio/test/spiffe"

	"github.com/go-json-experiment/json"
)

// presents sends a token request, over a connection with that certificate,
// and returns the AADSTS number of the refusal.
func (r *rig) presents(t *testing.T, svid *x509.Certificate, form url.Values) int {
	t.Helper()
	form.Set("grant_type", "client_credentials")
	form.Set("scope", base+"/.default")
	req := httptest.NewRequest(http.MethodPost, "/"+r.admin.TenantID+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if svid != nil {
		req.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{svid}}
	}
	recorder := httptest.NewRecorder()
	r.Handler().ServeHTTP(recorder, req)
	var answer struct {
		Codes []int `json:"error_codes"`
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || len(answer.Codes) != 1 {
		t.Fatalf("%s: %v", recorder.Body, err)
	}
	return answer.Codes[0]
}

// SVIDs count only where an operator says so, and never in a strict tenant.
func TestSVIDsAreOffByDefault(t *testing.T) {
	authority, err := spiffe.New("example.org")
	if err != nil {
		t.Fatal(err)
	}
	id := authority.ID("/ns/shop")
	svid, err := authority.X509SVID(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		on             bool
		compat         directory.Compat
		x509, jwt      int
		inTheDiscovery bool
	}{
		"off":    {false, directory.Relaxed, 7000218, 50027, false},
		"strict": {true, directory.Strict, 7000218, 50027, false},
		"on":     {true, directory.Relaxed, 70025, 70025, true}, // taken, and the client has no credential
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigOn(t, store.Config{Path: filepath.Join(t.TempDir(), "state", "cambio.db")}, func(o *Options) { o.SPIFFEClientAuth = c.on })
			r.write(t, func(tx *store.Tx) error {
				tenant, err := tx.Tenant(t.Context(), r.admin.TenantID)
				if err != nil {
					return err
				}
				tenant.Compat = c.compat
				return tx.UpdateTenant(&tenant)
			})
			token, err := authority.JWTSVID(id, []string{base + "/" + r.admin.TenantID + "/v2.0"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.presents(t, svid.Leaf, url.Values{"client_id": {r.admin.AdminClientID}}); got != c.x509 {
				t.Errorf("X.509-SVID: %d, want %d", got, c.x509)
			}
			if got := r.presents(t, nil, url.Values{"client_id": {r.admin.AdminClientID}, "client_assertion_type": {oauth.AssertionTypeSPIFFE}, "client_assertion": {token}}); got != c.jwt {
				t.Errorf("JWT-SVID: %d, want %d", got, c.jwt)
			}
			document := r.call(http.MethodGet, "/"+r.admin.TenantID+"/v2.0/.well-known/openid-configuration", "", "").Body.String()
			if strings.Contains(document, "spiffe_jwt") != c.inTheDiscovery {
				t.Error(document)
			}
		})
	}
}

// Certificates are not asked for unless they are wanted, and never required.
func TestAskForCertificates(t *testing.T) {
	var c tls.Config
	if c.ClientAuth != tls.NoClientCert {
		t.Error("asked for by default")
	}
	if AskForCertificates(&c); c.ClientAuth != tls.RequestClientCert {
		t.Error(c.ClientAuth)
	}
}
