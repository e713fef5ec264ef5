// Package gateways runs the gateways of docs/gateways.md, configured as the
// page says, in front of a resource whose access tokens a real server issued.
package gateways

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"cambio/conformance/devserver"
	"cambio/test/httpclient"
	"cambio/test/pki"
	"cambio/test/realparts"
)

// What stands in the page for what differs from one installation to the next.
const (
	pageIssuer   = "https://sts.example.net/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/v2.0"
	pageKeys     = "https://sts.example.net/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/discovery/v2.0/keys"
	pageAudience = "90d4c8f6-2b1e-4a3d-b7c5-1e9f8a6d4c02"
)

// issuer is whose tokens a gateway takes.
type issuer struct{ name, keys, caFile, audience string }

// gateway is one of the page's, and how it is started.
type gateway struct {
	part      realparts.Part
	language  string // of its block in the page
	asks      bool   // cambio verify
	wrongRole int
	start     func(t *testing.T, g *setting, configuration string) *exec.Cmd
}

var gateways = []gateway{
	{realparts.Nginx, "nginx", true, 403, startNginx},
	{realparts.Caddy, "caddyfile", true, 403, startCaddy},
	{realparts.Apache, "apache", false, 401, startApache},
	{realparts.HAProxy, "haproxy", false, 403, startHAProxy},
}

// setting is where one gateway runs.
type setting struct {
	dir, program, address, verify, upstream string
	issuer                                  issuer
	binary                                  string
}

func TestGateways(t *testing.T) {
	var parts []realparts.Part
	for _, g := range gateways {
		parts = append(parts, g.part)
	}
	realparts.Needs(t, parts...)
	w := newWorld(t)
	for _, g := range gateways {
		t.Run(string(g.part), func(t *testing.T) {
			url := w.run(t, g, w.real)
			seen := get(t, url, w.good)
			if seen.status != 200 || seen.subject == "" || seen.subject == "forged" || seen.client == "forged" || seen.roles == "forged" || seen.authorization != "" {
				t.Errorf("the right role: %+v", seen)
			}
			if g.asks && (seen.client != w.client.AppID || seen.roles != "Orders.Read") {
				t.Errorf("who calls: %+v", seen)
			}
			for name, c := range map[string]struct {
				token  string
				status int
			}{
				"no token": {"", 401}, "nonsense": {"nonsense", 401}, "wrong role": {w.other, g.wrongRole}, "no role": {w.none, g.wrongRole},
				"wrong audience": {w.elsewhere, 401}, "tampered": {tampered(w.good), 401},
			} {
				if got := get(t, url, c.token); got.status != c.status {
					t.Errorf("%s: %d, want %d", name, got.status, c.status)
				}
			}
		})
		// The real server makes no expired tokens, so that these are of an
		// issuer of the same shape.
		t.Run(string(g.part)+" and expiry", func(t *testing.T) {
			s := newSigner(t)
			url := w.run(t, g, s.issuer)
			if got := get(t, url, s.token(t, time.Hour)); got.status != 200 {
				t.Errorf("good: %d", got.status)
			}
			if got := get(t, url, s.token(t, -time.Hour)); got.status != 401 {
				t.Errorf("expired: %d", got.status)
			}
		})
		t.Run(string(g.part)+" and a new key", func(t *testing.T) {
			s := newSigner(t)
			url := w.run(t, g, s.issuer)
			if got := get(t, url, s.token(t, time.Hour)); got.status != 200 {
				t.Errorf("the first key: %d", got.status)
			}
			s.rotate(t)
			if g.part == realparts.HAProxy { // its step, and its configuration loaded again
				if got := get(t, url, s.token(t, time.Hour)); got.status != 401 {
					t.Errorf("the new key before the step: %d", got.status)
				}
				url = w.run(t, g, s.issuer)
			}
			if got := get(t, url, s.token(t, time.Hour)); got.status != 200 {
				t.Errorf("the new key: %d", got.status)
			}
		})
	}
}

// answer is what came back, and what the resource behind the gateway saw.
type answer struct {
	status                                int
	subject, client, roles, authorization string
}

// get sends a request with forged headers.
func get(t *testing.T, url, token string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/things", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Cambio-Subject", "Cambio-Client", "Cambio-Roles", "Cambio_Subject", "Cambio_client"} {
		r.Header[name] = []string{"forged"}
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	h := resp.Header
	return answer{resp.StatusCode, h.Get("Saw-Subject"), h.Get("Saw-Client"), h.Get("Saw-Roles"), h.Get("Saw-Authorization")}
}

func tampered(token string) string {
	parts := strings.Split(token, ".")
	flipped := []byte(parts[2])
	if flipped[10]++; flipped[10] > 'y' {
		flipped[10] = 'a'
	}
	return parts[0] + "." + parts[1] + "." + string(flipped)
}

// world is a server, a resource and its callers.
type world struct {
	binary                       string
	client                       httpclient.Application
	good, other, none, elsewhere string // access tokens
	real                         issuer
	upstream                     *httptest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w := &world{}
	var err error
	w.binary, err = devserver.Build(t.Context(), dir)
	must(err)
	server, err := devserver.Start(t.Context(), devserver.Config{Binary: w.binary, StateDir: filepath.Join(dir, "state"), Stderr: os.Stderr})
	must(err)
	t.Cleanup(server.Kill)
	client, err := server.Client()
	must(err)
	api := &httpclient.Client{BaseURL: server.BaseURL, TenantID: server.TenantID, AdminToken: server.AdminToken, HTTP: client}
	resource, err := api.Register(t.Context(), httpclient.Registration{Name: "orders", IdentifierURI: "api://orders", Roles: []string{"Orders.Read", "Orders.Write"}, TokenVersion: 2})
	must(err)
	another, err := api.Register(t.Context(), httpclient.Registration{Name: "other", IdentifierURI: "api://other", Roles: []string{"Orders.Read"}, TokenVersion: 2})
	must(err)
	register := func(name, role string) (httpclient.Application, string) {
		app, err := api.Register(t.Context(), httpclient.Registration{Name: name})
		must(err)
		_, err = api.Trust(t.Context(), app, "workload", server.IDP.Issuer, name)
		must(err)
		if role != "" {
			must(api.Grant(t.Context(), app, resource, role))
		}
		assertion, err := mint(client, server, name)
		must(err)
		token, err := api.Exchange(t.Context(), app.AppID, "api://orders/.default", assertion)
		must(err)
		return app, token
	}
	w.client, w.good = register("reader", "Orders.Read")
	_, w.other = register("writer", "Orders.Write")
	_, w.none = register("nobody", "")
	must(api.Grant(t.Context(), w.client, another, "Orders.Read"))
	assertion, err := mint(client, server, "reader")
	must(err)
	w.elsewhere, err = api.Exchange(t.Context(), w.client.AppID, "api://other/.default", assertion)
	must(err)
	tenant := server.BaseURL + "/" + server.TenantID
	w.real = issuer{tenant + "/v2.0", tenant + "/discovery/v2.0/keys", server.CAFile, resource.AppID}
	w.upstream = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Subject", "Client", "Roles"} {
			w.Header().Set("Saw-"+name, r.Header.Get("Cambio-"+name))
		}
		for name := range r.Header {
			if strings.Contains(name, "_") { // as CGI has it, this is the header with a hyphen
				w.Header().Set("Saw-Subject", "forged")
			}
		}
		w.Header().Set("Saw-Authorization", r.Header.Get("Authorization"))
	}))
	t.Cleanup(w.upstream.Close)
	return w
}

func mint(client *http.Client, server *devserver.Server, subject string) (string, error) {
	body, err := json.Marshal(map[string]any{"claims": map[string]any{"sub": subject}})
	if err != nil {
		return "", err
	}
	resp, err := client.Post(server.IDP.MintURL, "application/json", strings.NewReader(string(body)))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct{ Token string }
	return answer.Token, json.NewDecoder(resp.Body).Decode(&answer)
}

// run starts a gateway, and cambio verify beside it, and returns its URL.
func (w *world) run(t *testing.T, g gateway, of issuer) string {
	t.Helper()
	program, err := realparts.Find(g.part)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "cambio-gateway") // the folders of t.TempDir are root's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &setting{dir: dir, program: program, address: free(t), verify: free(t), upstream: strings.TrimPrefix(w.upstream.URL, "http://"), issuer: of, binary: w.binary}
	if err := os.Chmod(s.dir, 0o755); err != nil { // gateways that root starts run as somebody else
		t.Fatal(err)
	}
	if g.asks {
		s.begin(t, exec.Command(w.binary, "verify", "--issuer", of.name, "--audience", of.audience, "--ca", of.caFile, "--listen", s.verify))
		reachable(t, s.verify)
	}
	configuration := strings.NewReplacer(pageKeys, of.keys, pageIssuer, of.name, pageAudience, of.audience,
		"127.0.0.1:8000", s.address, "127.0.0.1:8080", s.upstream, "127.0.0.1:9550", s.verify).Replace(documented(t, g.language))
	s.begin(t, g.start(t, s, configuration))
	reachable(t, s.address)
	return "http://" + s.address
}

// documented is the page's block in a language.
func documented(t *testing.T, language string) string {
	t.Helper()
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "gateways.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 1 {
		t.Fatalf("docs/gateways.md has %d blocks of %s", len(blocks), language)
	}
	return blocks[0][1]
}

// begin starts a program, which ends with the test; what it says is shown when
// the test fails.
func (s *setting) begin(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	log := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		kill := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
		defer kill.Stop()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", cmd, log)
		}
	})
}

func (s *setting) write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func startNginx(t *testing.T, s *setting, configuration string) *exec.Cmd {
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	file := s.write(t, "nginx.conf", user+"daemon off;\nworker_processes 1;\npid "+s.dir+"/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"+
		"client_body_temp_path "+s.dir+"/b; proxy_temp_path "+s.dir+"/p; fastcgi_temp_path "+s.dir+"/f; uwsgi_temp_path "+s.dir+"/u; scgi_temp_path "+s.dir+"/s;\n"+configuration+"}\n")
	return exec.Command(s.program, "-e", "stderr", "-c", file)
}

func startCaddy(t *testing.T, s *setting, configuration string) *exec.Cmd {
	file := s.write(t, "Caddyfile", "{\n\tadmin off\n\tauto_https off\n}\n"+configuration)
	cmd := exec.Command(s.program, "run", "--adapter", "caddyfile", "--config", file)
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir, "XDG_DATA_HOME="+s.dir)
	return cmd
}

func startApache(t *testing.T, s *setting, configuration string) *exec.Cmd {
	ca, err := os.ReadFile(s.issuer.caFile)
	if err != nil {
		t.Fatal(err)
	}
	modules := ""
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "headers", "proxy", "proxy_http", "auth_openidc"} {
		modules += "LoadModule " + m + "_module /usr/lib/apache2/modules/mod_" + m + ".so\n"
	}
	file := s.write(t, "apache.conf", "ServerName 127.0.0.1\nPidFile "+s.dir+"/pid\nErrorLog /dev/stderr\nDefaultRuntimeDir "+s.dir+"\nListen "+s.address+"\n"+modules+
		"User www-data\nGroup www-data\nOIDCCABundlePath "+s.write(t, "ca.pem", string(ca))+"\n"+configuration)
	return exec.Command(s.program, "-D", "FOREGROUND", "-f", file)
}

// startHAProxy writes the issuer's keys first, and a rule for each.
func startHAProxy(t *testing.T, s *setting, configuration string) *exec.Cmd {
	out, err := exec.CommandContext(t.Context(), s.binary, "verify", "keys", "--issuer", s.issuer.name, "--ca", s.issuer.caFile, "--dir", s.dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`(?m)^.*KEY-ID\.pem.*\n`).FindString(configuration)
	rules := ""
	for _, id := range strings.Fields(string(out)) {
		if key, err := os.ReadFile(filepath.Join(s.dir, id+".pem")); err != nil || len(key) < 300 { // those of elliptic curves are shorter, and of no use here
			continue
		}
		rules += strings.ReplaceAll(strings.Replace(rule, "/etc/haproxy/cambio", s.dir, 1), "KEY-ID", id)
	}
	file := s.write(t, "haproxy.cfg", "global\n  log stderr local0 notice\ndefaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n  timeout connect 2s\n"+strings.Replace(configuration, rule, rules, 1))
	return exec.Command(s.program, "-db", "-f", file)
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func reachable(t *testing.T, address string) {
	t.Helper()
	for range 200 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("nobody listens on %s", address)
}

// signer is an issuer that makes what a server does not: expired tokens.
type signer struct {
	issuer
	tenant string

	mu  sync.Mutex
	key *rsa.PrivateKey // never changed, only replaced
	id  int             // its kid
}

// rotate replaces the key, also in the key set.
func (s *signer) rotate(t *testing.T) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key, s.id = key, s.id+1
}

func (s *signer) current() (*rsa.PrivateKey, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key, fmt.Sprintf("key-%d", s.id)
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	files, err := pki.Loopback(t.TempDir(), "issuer")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &signer{tenant: "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77"}
	s.rotate(t)
	base := "https://" + listener.Addr().String() + "/" + s.tenant
	s.issuer = issuer{base + "/v2.0", base + "/discovery/v2.0/keys", files.CA, pageAudience}
	mux := http.NewServeMux()
	mux.HandleFunc("/"+s.tenant+"/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, s.name, s.keys)
	})
	mux.HandleFunc("/"+s.tenant+"/discovery/v2.0/keys", func(w http.ResponseWriter, _ *http.Request) {
		key, id := s.current()
		fmt.Fprintf(w, `{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":%q,"e":%q,"n":%q}]}`, id,
			base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()), base64.RawURLEncoding.EncodeToString(key.N.Bytes()))
	})
	server := &http.Server{Handler: mux, ErrorLog: nil}
	go server.ServeTLS(listener, files.Certificate, files.Key)
	t.Cleanup(func() { server.Shutdown(context.Background()) })
	return s
}

// token is good until then.
func (s *signer) token(t *testing.T, until time.Duration) string {
	t.Helper()
	now := time.Now()
	claims, err := json.Marshal(map[string]any{"iss": s.name, "aud": s.audience, "sub": "subject", "oid": "subject", "azp": "client", "tid": s.tenant, "ver": "2.0",
		"roles": []string{"Orders.Read"}, "iat": now.Add(-2 * time.Hour).Unix(), "nbf": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(until).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	key, id := s.current()
	text := encode([]byte(`{"alg":"RS256","typ":"JWT","kid":"`+id+`"}`)) + "." + encode(claims)
	hash := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(signature)
}
