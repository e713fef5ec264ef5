package admin

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const secret = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzZWNyZXQifQ.c2VjcmV0"

// server is somebody else's server, which may answer as it likes.
type server struct {
	*Client
	waits    []time.Duration
	told     []time.Duration
	requests []string
}

func serve(t *testing.T, settings Settings, handler http.HandlerFunc) *server {
	t.Helper()
	s := &server{}
	ts := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
		handler(w, r)
	}))
	t.Cleanup(ts.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ts.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	settings.Authority, settings.CAFile = ts.URL, ca
	var err error
	s.Client, err = New(Config{Settings: settings, Busy: func(d time.Duration) { s.told = append(s.told, d) }, Sleep: func(_ context.Context, d time.Duration) error {
		s.waits = append(s.waits, d)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBusyServersAreAskedAgain(t *testing.T) {
	for _, c := range []struct {
		method, retryAfter string
		status, failures   int
		waits              string
		fails              bool
	}{
		{"GET", "2", 429, 1, "[2s]", false},
		{"GET", "", 503, 3, "[1s 2s 4s]", false},
		{"GET", "3600", 429, 1, "[30s]", false},
		{"GET", "-1", 429, 1, "[1s]", false},
		{"GET", "0", 503, 9, "[0s 0s 0s]", true},
		{"PUT", "1", 503, 1, "[1s]", false},
		{"PATCH", "1", 429, 1, "[1s]", false},
		{"DELETE", "1", 429, 1, "[1s]", false},
		{"POST", "1", 429, 1, "[]", true}, // it might have been done
		{"GET", "1", 500, 1, "[]", true},
	} {
		failures := c.failures
		s := serve(t, Settings{AccessToken: secret}, func(w http.ResponseWriter, r *http.Request) {
			if failures--; failures >= 0 {
				w.Header().Set("Retry-After", c.retryAfter)
				w.Header().Set("request-id", "r-1")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, `{"error":{"code":"Busy","message":"Later."}}`)
				return
			}
			_, _ = io.WriteString(w, `{"ok":true}`)
		})
		var err error
		if c.method == "GET" {
			_, err = s.Get(context.Background(), "/v1.0/x")
		} else {
			_, err = s.Change(context.Background(), c.method, "/v1.0/x", map[string]any{}, nil)
		}
		if fmt.Sprint(s.waits) != c.waits || fmt.Sprint(s.told) != c.waits || (err != nil) != c.fails || err != nil && err.Error() != "Busy: Later. (request-id r-1)" {
			t.Errorf("%s %d %q: waits %v, %v", c.method, c.status, c.retryAfter, s.waits, err)
		}
	}
}

// The token goes to one origin: not along a redirect, and not to where a link
// to a next page points.
func TestTokensStayWithTheirServer(t *testing.T) {
	var stolen []string
	thief := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stolen = append(stolen, r.Header.Get("Authorization"))
	}))
	defer thief.Close()
	s := serve(t, Settings{AccessToken: secret}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RequestURI() {
		case "/v1.0/moved":
			http.Redirect(w, r, thief.URL+"/v1.0/moved", http.StatusTemporaryRedirect)
		case "/v1.0/list":
			_, _ = fmt.Fprintf(w, `{"value":[{"n":1}],"@odata.nextLink":"%s/v1.0/list?p=2"}`, thief.URL)
		case "/v1.0/list?p=2":
			_, _ = fmt.Fprintf(w, `{"value":[{"n":2}],"nextLink":"%s/v1.0/list?p=3"}`, thief.URL)
		default:
			_, _ = io.WriteString(w, `{"value":[{"n":3}]}`)
		}
	})
	if _, err := s.Get(context.Background(), "/v1.0/moved"); err == nil {
		t.Error("a redirect is no answer")
	}
	all, err := s.List(context.Background(), "/v1.0/list")
	if err != nil || len(all) != 3 {
		t.Errorf("%d objects, %v", len(all), err)
	}
	if len(stolen) > 0 {
		t.Errorf("another server was asked: %q", stolen)
	}
}

// A link that does not begin with a slash would change the name of the server
// that it is appended to.
func TestLinksThatAreNoPathsAreNotFollowed(t *testing.T) {
	for _, link := range []string{".attacker.example/v1.0/list", "x:@attacker.example/v1.0/list", "x:443@attacker.example", "?p=2", "https:v1.0/list"} {
		asked := 0
		s := serve(t, Settings{AccessToken: secret}, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			_, _ = fmt.Fprintf(w, `{"value":[],"nextLink":%q}`, link)
		})
		_, err := s.List(context.Background(), "/v1.0/list")
		if err == nil || !strings.Contains(err.Error(), "the link to the next page is no URL of a server") || asked != 1 {
			t.Errorf("%q: asked %d times, %v", link, asked, err)
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	for name, answer := range map[string]string{
		"too long":  `{"x":"` + strings.Repeat("x", answerLimits.Bytes) + `"}`,
		"no JSON":   "<html>",
		"ambiguous": `{"id":"a","id":"b"}`,
	} {
		s := serve(t, Settings{AccessToken: secret}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) })
		_, err := s.Get(context.Background(), "/v1.0/x")
		if err == nil || !strings.Contains(err.Error(), "is not what a cambio server sends") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Errors are one line without control characters and without the token.
func TestErrorsAreSafeToShow(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   string
		kind   Kind
	}{
		{404, `{"error":{"code":"Request_ResourceNotFound","message":"No \u001b[31mresource"}}`, "Request_ResourceNotFound: No  [31mresource", NotFound},
		{403, `{"error":{"code":"Authorization_RequestDenied","message":"No."}}`, "Authorization_RequestDenied: No.", Denied},
		{400, `{"error":{"code":"InvalidFederatedIdentityCredentialValue","message":"Both are held by the federated identity credential 'x'."}}`, "InvalidFederatedIdentityCredentialValue: Both are held by the federated identity credential 'x'.", Conflict},
		{400, `{"error":{"code":"InvalidFederatedIdentityCredentialValue","message":"No expression."}}`, "InvalidFederatedIdentityCredentialValue: No expression.", Failed},
		{401, `{"error":"invalid_client","error_description":"AADSTS700213: No. Trace ID: 1 Correlation ID: 2","trace_id":"1","error_uri":"https://x.example/error"}`,
			"invalid_client: AADSTS700213: No. (request-id 1); see https://x.example/error", Denied},
		{502, `<html>`, "Bad Gateway: the server answered with status 502 and no error object; is this a cambio server?", Failed},
		{409, `{"error":7}`, "Conflict: the server answered with status 409 and no error object; is this a cambio server?", Conflict},
	} {
		s := serve(t, Settings{AccessToken: secret}, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		_, err := s.Get(context.Background(), "/v1.0/x")
		if err == nil || err.Error() != c.want || KindOf(err) != c.kind || strings.Contains(err.Error(), secret) {
			t.Errorf("%d: %v", c.status, err)
		}
	}
}

// What the server does not say of a token that it refuses, its holder can.
func TestRefusedTokens(t *testing.T) {
	part := base64.RawURLEncoding.EncodeToString
	token := func(exp int64) string {
		return part([]byte(`{"alg":"RS256"}`)) + "." + part(fmt.Appendf(nil, `{"exp":%d}`, exp)) + "." + part(make([]byte, 256))
	}
	now := time.Unix(1800000000, 0)
	for held, want := range map[string]string{
		token(now.Unix()):     "Gone: No.; it ended at 2027-01-15T08:00:00Z",
		token(now.Unix() + 1): "Gone: No.",
		"opaque":              "Gone: No.",
		"cambio-bootstrap-A":  "Gone: No.; a bootstrap token works once, within 15 minutes: `cambio bootstrap --new-token TENANT` prints another",
	} {
		s := serve(t, Settings{AccessToken: held}, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":{"code":"Gone","message":"No."}}`)
		})
		s.cfg.Now = func() time.Time { return now }
		if _, err := s.Get(context.Background(), "/v1.0/x"); err == nil || err.Error() != want || KindOf(err) != Denied {
			t.Errorf("%s: %v; want %s", held, err, want)
		}
	}
}

// The wrong certificate authority is named, a missing one asked for.
func TestUnknownAuthority(t *testing.T) {
	s := serve(t, Settings{AccessToken: secret}, nil)
	for file, want := range map[string]string{"ca.pem": "is not in ca.pem", "": "name the certificate authority with --ca FILE"} {
		s.cfg.CAFile = file
		if err := s.unreachable(x509.UnknownAuthorityError{}); !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", file, err)
		}
	}
}

func TestDryRunSendsNothing(t *testing.T) {
	s := serve(t, Settings{AccessToken: secret}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) })
	var out strings.Builder
	s.cfg.DryRun = &out
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		if _, err := s.Change(context.Background(), method, "/v1.0/x", map[string]any{"a": 1}, nil); err != nil {
			t.Error(err)
		}
	}
	if len(s.requests) > 0 {
		t.Errorf("sent %q", s.requests)
	}
	if text := out.String(); strings.Count(text, s.cfg.Authority+"/v1.0/x") != 4 || strings.Contains(text, secret) {
		t.Errorf("printed:\n%s", text)
	}
}

// A client that lives long signs in again before its token ends.
func TestTokensAreRenewed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	exchanges := 0
	s := serve(t, Settings{Tenant: "t", ClientID: "c", FederatedTokenFile: file}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			exchanges++
			if err := r.ParseForm(); err != nil || r.PostForm.Get("client_assertion") != secret || r.URL.Path != "/t/oauth2/v2.0/token" {
				t.Errorf("%s: %v", r.URL, r.PostForm)
			}
			_, _ = fmt.Fprintf(w, `{"access_token":"a%d","expires_in":3600}`, exchanges)
			return
		}
		if got, want := r.Header.Get("Authorization"), fmt.Sprintf("Bearer a%d", exchanges); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		_, _ = io.WriteString(w, `{}`)
	})
	now := time.Now()
	s.cfg.Now = func() time.Time { return now }
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {54 * time.Minute, 1}, {2 * time.Minute, 2}} {
		now = now.Add(step.after)
		if _, err := s.Get(context.Background(), "/v1.0/x"); err != nil || exchanges != step.want {
			t.Errorf("after %s: %d exchanges, want %d; %v", step.after, exchanges, step.want, err)
		}
	}
}

// A server that is reached by another name than its own knows no such
// resource; the name is what must be mended.
func TestOtherNamesOfAServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, Settings{Tenant: "t", ClientID: "c", FederatedTokenFile: file}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_resource","error_description":"AADSTS500011: The resource principal was not found."}`)
	})
	_, err := s.Get(context.Background(), "/v1.0/x")
	if err == nil || KindOf(err) != Denied || !strings.Contains(err.Error(), s.cfg.Authority+" goes by another name, which `cambio doctor` finds out") {
		t.Errorf("%v", err)
	}
}
