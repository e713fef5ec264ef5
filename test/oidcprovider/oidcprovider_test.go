package oidcprovider

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cambio/conformance/devserver"
	"cambio/test/httpclient"
	"cambio/test/pki"
	"cambio/test/realparts"
)

// algorithms are also the names of the provider's clients, which become the
// subjects of their tokens.
var algorithms = []string{"RS256", "ES256", "EdDSA"}

const resource = "api://second-provider"

// provider is the identity provider; its address outlives a restart.
type provider struct {
	issuer string
	files  pki.Files
	client *http.Client
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	realparts.Needs(t, realparts.OIDCProvider)
	files, err := pki.Loopback(t.TempDir(), "oidc-provider")
	if err != nil {
		t.Fatal(err)
	}
	client, err := devserver.NewClient(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return &provider{issuer: "https://" + listener.Addr().String(), files: files, client: client}
}

// start runs the provider with new keys until stop is called. A typ replaces
// the one in its tokens' headers.
func (p *provider) start(t *testing.T, typ string) (stop func()) {
	t.Helper()
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", "oidc-provider.mjs")
	cmd.Dir = filepath.Join(root, "test", "clients", "node")
	cmd.Env = append(os.Environ(), "ISSUER="+p.issuer, "CERTIFICATE="+p.files.Certificate, "KEY="+p.files.Key, "TYP="+typ)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		cancel()
		cmd.Wait() // it was killed
	}
	t.Cleanup(stop)
	defer time.AfterFunc(30*time.Second, cancel).Stop()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if lines.Text() == "ready" {
			t.Logf("oidc-provider serves at %s with new keys", p.issuer)
			go io.Copy(io.Discard, stdout)
			return stop
		}
	}
	t.Fatal("oidc-provider ended, or was ended after 30 s, before it was ready")
	return nil
}

// token has the provider issue a token to the client of that name.
func (p *provider) token(t *testing.T, client string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {"api://AzureADTokenExchange"}}
	request, err := http.NewRequestWithContext(t.Context(), "POST", p.issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(client, "secret")
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := p.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("the provider answered %s %q: %v", response.Status, answer.Description, err)
	}
	header, err := httpclient.Part(answer.AccessToken, 0)
	if err != nil || header["alg"] != client {
		t.Fatalf("header %v, %v", header, err)
	}
	t.Logf("the provider issued a token: %v", header)
	return answer.AccessToken
}

// exchanger is a server with one application that trusts the provider's
// clients.
type exchanger struct {
	api *httpclient.Client
	app httpclient.Application
}

func newExchanger(t *testing.T, p *provider) *exchanger {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	binary, err := devserver.Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	server, err := devserver.Start(ctx, devserver.Config{
		Binary: binary, StateDir: filepath.Join(dir, "state"), Stderr: os.Stderr,
		IssuerCAFile: p.files.CA, AllowIssuerAddress: []string{"127.0.0.1/32"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() })
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	e := &exchanger{api: &httpclient.Client{
		BaseURL: server.BaseURL, TenantID: server.TenantID, AdminToken: server.AdminToken, HTTP: client,
		Trace: func(line string) { t.Log(line) },
	}}
	if e.app, err = e.api.Register(ctx, httpclient.Registration{Name: "worker"}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.api.Register(ctx, httpclient.Registration{Name: "resource", IdentifierURI: resource, TokenVersion: 2}); err != nil {
		t.Fatal(err)
	}
	for _, subject := range algorithms {
		if _, err := e.api.Trust(ctx, e.app, "client-"+subject, p.issuer, subject); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// exchange returns the token endpoint's refusal, or nil for an access token.
func (e *exchanger) exchange(t *testing.T, assertion string) error {
	t.Helper()
	_, err := e.api.Exchange(t.Context(), e.app.AppID, resource+"/.default", assertion)
	t.Logf("exchange: %v", err)
	return err
}

// TestSecondProvider exchanges tokens of each kind of key, and again after a
// rotation: no time passes, nobody tells the server.
func TestSecondProvider(t *testing.T) {
	p := newProvider(t)
	stop := p.start(t, "JWT")
	e := newExchanger(t, p)
	old := map[string]string{}
	for _, alg := range algorithms {
		old[alg] = p.token(t, alg)
		if err := e.exchange(t, old[alg]); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
	stop()
	p.start(t, "JWT")
	for _, alg := range algorithms {
		if err := e.exchange(t, p.token(t, alg)); err != nil {
			t.Errorf("%s after the rotation: %v", alg, err)
		}
	}
	for _, alg := range algorithms {
		if err := refused(e.exchange(t, old[alg]), "AADSTS7000272"); err != nil {
			t.Errorf("%s, whose key is gone: %v", alg, err)
		}
	}
}

// TestAccessTokenType presents the provider's tokens as they are: access
// tokens of RFC 9068, made for a resource server, are not client assertions.
func TestAccessTokenType(t *testing.T) {
	p := newProvider(t)
	p.start(t, "")
	e := newExchanger(t, p)
	if err := refused(e.exchange(t, p.token(t, "RS256")), "AADSTS50027"); err != nil {
		t.Error(err)
	}
}

// refused wants a refusal of the token endpoint with the code.
func refused(err error, code string) error {
	var refusal *httpclient.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Body, code) {
		return fmt.Errorf("want %s, got %v", code, err)
	}
	return nil
}
