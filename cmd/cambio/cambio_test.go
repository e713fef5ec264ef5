package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/cambiotest"
)

// run executes a command line in this process.
func run(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	root := rootCommand()
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return out.String(), err
}

// installation is a folder with a configuration, a certificate, and an
// external identity provider that the configuration lets the server reach.
type installation struct {
	dir, config, base, operations string
	provider                      *cambiotest.IdentityProvider
	client                        *http.Client
}

func install(t *testing.T) *installation {
	t.Helper()
	i := &installation{dir: t.TempDir()}
	if err := os.Chmod(i.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	i.base, i.operations = "https://"+freeAddress(t), freeAddress(t)
	idp := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { i.provider.ServeHTTP(w, r) }))
	idp.StartTLS()
	t.Cleanup(idp.Close)
	var err error
	if i.provider, err = cambiotest.NewIdentityProvider(idp.URL); err != nil {
		t.Fatal(err)
	}
	certificate(t, filepath.Join(i.dir, "tls.crt"), filepath.Join(i.dir, "tls.key"))
	i.write(t, "idp-ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: idp.Certificate().Raw})))
	i.config = i.write(t, "config.yaml", fmt.Sprintf(`base_url: %s
public: {listen: %q, certificate_file: %s, key_file: %s}
operations: {listen: %q}
database: {path: %s}
keys: {encryption_key_file: %s}
issuers:
  ca_file: %s
  allow_addresses: [127.0.0.1/32]
log: {level: error}
`, i.base, strings.TrimPrefix(i.base, "https://"), i.path("tls.crt"), i.path("tls.key"), i.operations, i.path("state/cambio.db"), i.path("kek"), i.path("idp-ca.pem")))
	raw, err := os.ReadFile(i.path("tls.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	i.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 20 * time.Second}
	return i
}

func (i *installation) path(name string) string { return filepath.Join(i.dir, name) }

func (i *installation) write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(i.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return i.path(name)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func certificate(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// serving runs `cambio serve` until stop, which waits for its end.
func (i *installation) serving(t *testing.T) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := run(ctx, "serve", "--config", i.config)
		ended <- err
	}()
	deadline := time.Now().Add(20 * time.Second)
	for {
		resp, err := http.Get("http://" + i.operations + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("serve ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("serve did not become ready")
		}
	}
	return func() error { cancel(); return <-ended }
}

// token exchanges a token of the provider for an access token.
func (i *installation) token(t *testing.T, tenant, client, subject string) (int, map[string]any) {
	t.Helper()
	assertion, err := i.provider.Mint(map[string]any{"sub": subject}, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := i.client.PostForm(i.base+"/"+tenant+"/oauth2/v2.0/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {client},
		"scope": {i.base + "/.default"}, "client_assertion": {assertion}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.UnmarshalRead(resp.Body, &answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

func field(t *testing.T, out, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no %s in:\n%s", pattern, out)
	}
	return m[1]
}

const guid = `([0-9a-f-]{36})`

func TestProduction(t *testing.T) {
	i := install(t)
	ctx := context.Background()
	out, err := run(ctx, "bootstrap", "--config", i.config, "--name", "Example", "--domain", "Example.NET", "--issuer", i.provider.Issuer(), "--subject", "ops")
	if err != nil {
		t.Fatal(err, out)
	}
	if !strings.Contains(out, "key-encryption key") || strings.Contains(out, "Bootstrap token") {
		t.Errorf("bootstrap printed:\n%s", out)
	}
	tenant, admin := field(t, out, `Tenant +`+guid), field(t, out, `Administrator +`+guid)
	if out, err := run(ctx, "config", "check", "--config", i.config); err != nil || out != "ok\n" {
		t.Errorf("config check: %v, %s", err, out)
	}
	stop := i.serving(t)
	status, answer := i.token(t, "example.net", admin, "ops")
	if status != 200 {
		t.Fatalf("status %d: %v", status, answer)
	}
	if status, _ := i.token(t, tenant, admin, "someone"); status != 401 {
		t.Errorf("another subject: status %d", status)
	}
	i.manage(t, answer["access_token"].(string))
	i.operate(t)
	i.keys(t, tenant, admin)
	if err := stop(); err != nil {
		t.Errorf("serve ended with %v", err)
	}
	out, err = run(ctx, "audit", "--config", i.config)
	for _, want := range []string{`"outcome":"allowed"`, `"outcome":"refused","code":700213`, `"action":"tenant.bootstrap"`, `"action":"signingKey.remove"`} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("the audit trail has no %s (%v)", want, err)
		}
	}
}

// manage calls a management API as the administrator.
func (i *installation) manage(t *testing.T, bearer string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, i.base+"/v1.0/applications", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := i.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !strings.Contains(string(body), "cambio administrator") {
		t.Errorf("status %d: %s", resp.StatusCode, body)
	}
}

// operate looks at the operations listener.
func (i *installation) operate(t *testing.T) {
	t.Helper()
	for path, want := range map[string]string{"/healthz": "ok", "/metrics": `cambio_token_requests_total{code="0",error=""} 1`} {
		resp, err := http.Get("http://" + i.operations + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: status %d without %q", path, resp.StatusCode, want)
		}
		public, err := i.client.Get(i.base + path)
		if err != nil {
			t.Fatal(err)
		}
		public.Body.Close()
		if public.StatusCode != 404 {
			t.Errorf("%s is reachable on the public listener: status %d", path, public.StatusCode)
		}
	}
}

// keys rolls over and removes signing keys beside the running server.
func (i *installation) keys(t *testing.T, tenant, admin string) {
	t.Helper()
	ctx := context.Background()
	out, err := run(ctx, "keys", "rotate", "--config", i.config)
	if err != nil || strings.Count(out, "published") != 2 || strings.Count(out, " active ") != 2 {
		t.Fatalf("keys rotate: %v\n%s", err, out)
	}
	active := field(t, out, `(?m)^(\S+) +RS256 +active`)
	out, err = run(ctx, "keys", "remove", "--config", i.config, "--", active)
	if err != nil {
		t.Fatalf("keys remove: %v\n%s", err, out)
	}
	deadline := time.Now().Add(2 * time.Second)
	for strings.Contains(i.published(t, tenant), active) {
		if time.Now().After(deadline) {
			t.Fatal("a removed key is still published after two seconds")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if status, answer := i.token(t, tenant, admin, "ops"); status != 200 {
		t.Errorf("after the removal: status %d: %v", status, answer)
	}
	if _, err := run(ctx, "keys", "remove", "--config", i.config, "--", active); err == nil {
		t.Error("removing a key twice must say that it is not there")
	}
}

func (i *installation) published(t *testing.T, tenant string) string {
	t.Helper()
	resp, err := i.client.Get(i.base + "/" + tenant + "/discovery/v2.0/keys")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestBootstrapTokenWorksOnce(t *testing.T) {
	i := install(t)
	out, err := run(context.Background(), "bootstrap", "--config", i.config, "--name", "Example")
	if err != nil {
		t.Fatal(err, out)
	}
	token, object := field(t, out, `(cambio-bootstrap-\w+)`), field(t, out, `/v1.0/applications/`+guid)
	admin, tenant := field(t, out, `Administrator +`+guid), field(t, out, `Tenant +`+guid)
	stop := i.serving(t)
	defer func() { _ = stop() }()
	for n, want := range []int{http.StatusCreated, http.StatusUnauthorized} {
		body := fmt.Sprintf(`{"name":"admin%d","issuer":%q,"subject":"ops%d","audiences":["api://AzureADTokenExchange"]}`, n, i.provider.Issuer(), n)
		req, err := http.NewRequest(http.MethodPost, i.base+"/v1.0/applications/"+object+"/federatedIdentityCredentials", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := i.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("use %d: status %d, want %d: %s", n+1, resp.StatusCode, want, answer)
		}
	}
	if status, answer := i.token(t, tenant, admin, "ops0"); status != 200 {
		t.Errorf("the administrator cannot sign in: %d %v", status, answer)
	}
}

func TestMistakesAreExplained(t *testing.T) {
	i := install(t)
	bad := i.write(t, "bad.yaml", "base_url: https://sts.example.net\ntokns: {}\n")
	open := i.write(t, "open.yaml", strings.Replace(readFile(t, i.config), "kek", "open-kek", 1))
	i.write(t, "open-kek", "x")
	if err := os.Chmod(i.path("open-kek"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  []string
		want  string
		usage bool
	}{
		{[]string{"serve"}, "--config FILE is required", true},
		{[]string{"serve", "--config", i.path("none.yaml")}, "none.yaml", false},
		{[]string{"serve", "--config", bad}, `line 2: unknown key "tokns"`, false},
		{[]string{"serve", "--config", i.config}, "there is no database at", false},
		{[]string{"config", "check", "--config", open}, "chmod 600", false},
		{[]string{"srve"}, "did you mean `serve`", true},
		{[]string{"ap"}, "did you mean `app` or `apply`?", true},
		{[]string{"plan", "trust.yaml"}, "takes flags only, not \"trust.yaml\"; see `cambio plan --help`", true},
		{[]string{"dev", "--listn", "x"}, "see `cambio dev --help`", true},
		{[]string{"dev", "--compat", "loose"}, "relaxed or strict", true},
		{[]string{"dev", "--allow-issuer-address", "10.0.0.1"}, "127.0.0.1/32", true},
		{[]string{"dev", "--state", i.path("d"), "--listen", "256.0.0.1:1"}, "--listen", false},
		{[]string{"dev", "--state", i.path("d"), "--listen", "127.0.0.1:0", "--issuer-ca", i.path("none.pem")}, "none.pem", false},
		{[]string{"bootstrap", "--config", i.config}, "--name is required", true},
		{[]string{"bootstrap", "--config", i.config, "--name", "x", "--issuer", "https://a.example"}, "--issuer and --subject go together", true},
		{[]string{"bootstrap", "--config", i.config, "--name", "x", "--issuer", "http://a.example", "--subject", "s"}, "https", false},
		{[]string{"bootstrap", "--config", i.config, "--name", "x", "--issuer", i.base, "--subject", "s"}, "this server itself", false},
		{[]string{"keys", "remove"}, "name one key id", true},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		out, err := run(ctx, c.args...)
		cancel()
		var usage usageError
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &usage) != c.usage {
			t.Errorf("cambio %s: %v; want %q (usage: %v)\n%s", strings.Join(c.args, " "), err, c.want, c.usage, out)
		}
	}
}

// A key-encryption key that is lost or mistaken shows before anything is
// written, and is never replaced beside a database that needs it.
func TestBootstrapKeepsTheKeyEncryptionKey(t *testing.T) {
	i := install(t)
	ctx := context.Background()
	bootstrap := func(args ...string) (string, error) {
		return run(ctx, append([]string{"bootstrap", "--config", i.config}, args...)...)
	}
	if out, err := bootstrap("--name", "One", "--domain", "one.example"); err != nil {
		t.Fatal(err, out)
	}
	right := readFile(t, i.path("kek"))
	if err := os.Remove(i.path("kek")); err != nil {
		t.Fatal(err)
	}
	if _, err := bootstrap("--name", "Two"); err == nil || !strings.Contains(err.Error(), "restore it") {
		t.Errorf("without the key: %v", err)
	}
	i.write(t, "kek", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
	for _, args := range [][]string{{"bootstrap", "--config", i.config, "--name", "Two"}, {"config", "check", "--config", i.config}} {
		if _, err := run(ctx, args...); err == nil || !strings.Contains(err.Error(), "belongs to this database") {
			t.Errorf("cambio %s with another key: %v", strings.Join(args, " "), err)
		}
	}
	i.write(t, "kek", right)
	out, err := bootstrap("--new-token", "one.example")
	if err != nil || !strings.Contains(out, "cambio-bootstrap-") {
		t.Errorf("a new token: %v\n%s", err, out)
	}
	if _, err := bootstrap("--new-token", "two.example"); err == nil {
		t.Error("a token for a tenant that was not created")
	}
}

func TestConfigCheckReadsTheCertificate(t *testing.T) {
	i := install(t)
	if out, err := run(context.Background(), "bootstrap", "--config", i.config, "--name", "x"); err != nil {
		t.Fatal(err, out)
	}
	other := i.write(t, "other.yaml", strings.Replace(readFile(t, i.config), i.base, "https://sts.example.net", 1))
	if _, err := run(context.Background(), "config", "check", "--config", other); err == nil || !strings.Contains(err.Error(), "not for the host of base_url") {
		t.Errorf("got %v", err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestHelpNamesEveryCommand(t *testing.T) {
	out, err := run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dev", "serve", "bootstrap", "keys", "config", "version", "completion", "app", "identity", "resource", "credential", "role", "whoami", "doctor", "exit-codes"} {
		if !regexp.MustCompile(`(?m)^  ` + name + ` `).MatchString(out) {
			t.Errorf("the help does not name %s:\n%s", name, out)
		}
	}
	if out, err := run(context.Background(), "version"); err != nil || !strings.HasPrefix(out, "cambio ") {
		t.Errorf("version: %v, %s", err, out)
	}
}
