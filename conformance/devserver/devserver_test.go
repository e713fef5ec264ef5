package devserver

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// TestRestart starts a server, exchanges a token as its line promises, and
// finds the same tenant, client and keys after an orderly stop and after a
// kill.
func TestRestart(t *testing.T) {
	binary, err := Build(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	start := func(listen string) *Server {
		t.Helper()
		s, err := Start(context.Background(), Config{Binary: binary, StateDir: state, Listen: listen, Stderr: os.Stderr})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Kill)
		return s
	}
	began := time.Now()
	first := start("127.0.0.1:0")
	t.Logf("ready after %v", time.Since(began))
	token := exchange(t, first)
	if err := first.Stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}

	again := start(strings.TrimPrefix(first.BaseURL, "https://"))
	same(t, first.Info, again.Info)
	published(t, again, token)
	manage(t, again, first.AdminToken)
	exchange(t, again)
	again.Kill()

	third := start(strings.TrimPrefix(first.BaseURL, "https://"))
	same(t, first.Info, third.Info)
	published(t, third, token)
	exchange(t, third)
	if err := third.Stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
}

// same compares what must survive a restart; the admin token is a new one.
func same(t *testing.T, a, b Info) {
	t.Helper()
	a.AdminToken, b.AdminToken = "", ""
	if a != b {
		t.Fatalf("before the restart:\n%+v\nafter:\n%+v", a, b)
	}
}

// exchange mints a token for the seeded client and exchanges it, trusting the
// defaults of the provider, and returns the access token.
func exchange(t *testing.T, s *Server) string {
	t.Helper()
	var minted, issued struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	call(t, s, http.MethodPost, s.IDP.MintURL, "application/json", `{}`, "", &minted)
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {s.ClientID}, "scope": {s.Scope},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {minted.Token},
	}
	call(t, s, http.MethodPost, s.BaseURL+"/"+s.TenantID+"/oauth2/v2.0/token", "application/x-www-form-urlencoded", form.Encode(), "", &issued)
	return issued.AccessToken
}

// published checks that the key of an access token is still in the key set.
func published(t *testing.T, s *Server, token string) {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	var header struct {
		KeyID string `json:"kid"`
	}
	var set struct {
		Keys []struct {
			KeyID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(raw, &header); err != nil {
		t.Fatal(err)
	}
	call(t, s, http.MethodGet, s.BaseURL+"/"+s.TenantID+"/discovery/v2.0/keys", "", "", "", &set)
	for _, k := range set.Keys {
		if k.KeyID == header.KeyID {
			return
		}
	}
	t.Fatalf("key %q is no longer published", header.KeyID)
}

// manage checks that a management token is still good.
func manage(t *testing.T, s *Server, token string) {
	t.Helper()
	var app struct {
		AppID string `json:"appId"`
	}
	call(t, s, http.MethodGet, s.BaseURL+"/v1.0/applications/"+s.ClientObjectID, "", "", token, &app)
	if app.AppID != s.ClientID {
		t.Fatalf("appId %q, want %q", app.AppID, s.ClientID)
	}
}

// call sends a request that must be answered by 200 and JSON.
func call(t *testing.T, s *Server, method, address, contentType, body, bearer string, into any) {
	t.Helper()
	client, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s", method, address, resp.Status, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func TestParseInfo(t *testing.T) {
	good := `{"base_url":"https://a","ca_file":"b","tenant_id":"c","client_id":"d","client_object_id":"e","scope":"f","resource_app_id":"g","admin_token":"h","idp":{"issuer":"i","mint_url":"j"},"later":1}`
	if _, err := ParseInfo([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "{}", "ready", strings.Replace(good, `"h"`, `""`, 1), strings.Replace(good, `"issuer":"i",`, "", 1)} {
		if _, err := ParseInfo([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
