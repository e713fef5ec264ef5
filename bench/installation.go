package main

import (
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
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cambio/bench/internal/fixture"
	"cambio/bench/internal/floor"
	"cambio/test/postgres"
)

// installation is a server as in production, `cambio serve` with a
// configuration, on a database of its own with registered clients.
type installation struct {
	binary, dir, config, operations string
	issuer                          *issuer
	instance                        fixture.Instance
	database                        *postgres.Server // nil: SQLite
	each                            int              // credentials of a client
	clients                         int
	loadSeconds                     float64
}

// install sets everything up and registers the clients; no server runs then.
func install(ctx context.Context, binary, dir, settings string, s scenario) (*installation, error) {
	each := min(10, s.credentials)
	i := &installation{binary: binary, dir: dir, config: filepath.Join(dir, "config.yaml"), each: each, clients: s.credentials / each}
	err := os.MkdirAll(filepath.Join(dir, "state"), 0o700)
	if err == nil {
		i.issuer, err = startIssuer()
	}
	if err == nil && s.postgres {
		i.database, err = postgres.Start(ctx)
	}
	if err == nil {
		err = i.configure(settings)
	}
	if err == nil {
		err = i.register(ctx)
	}
	if err != nil {
		i.remove()
		return nil, err
	}
	return i, nil
}

func (i *installation) remove() {
	if i.database != nil {
		i.database.Close()
	}
	_ = os.RemoveAll(i.dir) // what remains is in bench/out
}

func (i *installation) configure(settings string) error {
	public, err1 := freePort()
	operations, err2 := freePort()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	i.operations = operations
	i.instance = fixture.Instance{BaseURL: "https://" + public, CAFile: filepath.Join(i.dir, "tls.crt"), Prepared: true, Scope: fixture.URI("RS256") + "/.default"}
	i.instance.Provider.Issuer, i.instance.Provider.MintURL = i.issuer.url, i.issuer.url+"/mint"
	keyFile := filepath.Join(i.dir, "tls.key")
	if err := floor.WriteCertificate(i.instance.CAFile, keyFile); err != nil {
		return err
	}
	database := "path: " + filepath.Join(i.dir, "state", "cambio.db")
	if i.database != nil {
		database = `dsn: "` + i.database.DSN() + `"`
	}
	return os.WriteFile(i.config, []byte(fmt.Sprintf(`base_url: %s
public: {listen: "%s", certificate_file: %s, key_file: %s}
operations: {listen: "%s"}
database: {%s}
keys: {encryption_key_file: %s}
issuers: {rules: [{issuer: "%s", allow_http: true, allow_addresses: ["127.0.0.0/8"]}]}
log: {level: warn}
%s
`, i.instance.BaseURL, public, i.instance.CAFile, keyFile, operations, database, filepath.Join(i.dir, "state", "kek"), i.issuer.url, settings)), 0o600)
}

// freePort finds an address on the loopback interface that nobody listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// command runs the program to its end and returns what it printed.
func (i *installation) command(ctx context.Context, in io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, i.binary, append(args, "--config", i.config)...)
	cmd.Stdin = in
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("cambio %s: %w: %s", args[0], err, out)
	}
	return string(out), err
}

var identifier = regexp.MustCompile(`(Tenant|Administrator) +([0-9a-f-]{36})`)

// register makes the tenant, the resources and the clients.
func (i *installation) register(ctx context.Context) error {
	out, err := i.command(ctx, nil, "bootstrap", "--name", "Bench", "--domain", "bench.example", "--issuer", i.issuer.url, "--subject", "admin")
	if err != nil {
		return err
	}
	ids := map[string]string{}
	for _, m := range identifier.FindAllStringSubmatch(out, -1) {
		ids[m[1]] = m[2]
	}
	i.instance.TenantID = ids["Tenant"]
	p, _, err := i.serve(ctx)
	if err != nil {
		return err
	}
	defer p.end()
	assertion, err := i.issuer.mint("admin", fixture.Audience)
	if err != nil {
		return err
	}
	reply, err := fixture.Exchange(ctx, i.instance, form(ids["Administrator"], i.instance.BaseURL+"/.default", assertion))
	if err != nil {
		return err
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(reply, &token); err != nil {
		return err
	}
	i.instance.AdminToken = token.AccessToken
	if err := fixture.Resources(ctx, i.instance, i.dir); err != nil {
		return err
	}
	p.end()
	return i.load(ctx)
}

func (i *installation) load(ctx context.Context) error {
	began := time.Now()
	in, out := io.Pipe()
	go func() { out.CloseWithError(writeClients(out, i.issuer.url, i.clients, i.each, true)) }()
	_, err := i.command(ctx, in, "load", "--tenant", i.instance.TenantID, "--file", "-")
	_ = in.Close() // ends the writer if the program did not read all
	i.loadSeconds = time.Since(began).Seconds()
	i.instance.ClientID = clientID(0)
	i.instance.Clients = nil
	step := max(1, i.clients/fixture.Assertions) // spread over all
	for n := 0; n < i.clients && len(i.instance.Clients) < fixture.Assertions; n += step {
		i.instance.Clients = append(i.instance.Clients, fixture.Client{ID: clientID(n), Subject: subjectOf(n, (n/step)%i.each)})
	}
	return err
}

func form(client, scope, assertion string) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "scope": {scope},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion}}
}

// serve starts the server and waits until it is ready, which it returns how
// long it took.
func (i *installation) serve(ctx context.Context) (*process, time.Duration, error) {
	p := &process{name: "the server", cmd: exec.CommandContext(ctx, i.binary, "serve", "--config", i.config), caFile: i.instance.CAFile}
	p.cmd.Stderr = os.Stderr
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, 0, err
	}
	for time.Since(began) < 5*time.Minute {
		reply, err := http.Get("http://" + i.operations + "/readyz")
		if err == nil {
			reply.Body.Close()
			if reply.StatusCode == http.StatusOK {
				return p, time.Since(began), nil
			}
		}
		if syscall.Kill(p.cmd.Process.Pid, 0) != nil || ctx.Err() != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	p.end()
	return nil, 0, errors.New("the server did not become ready")
}

// firstExchange starts the server and returns how long it takes from there to
// the first answer with an access token, as a client sees it.
func (i *installation) firstExchange(ctx context.Context) (time.Duration, error) {
	assertion, err := i.issuer.mint(i.instance.Clients[0].Subject, fixture.Audience)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	p, _, err := i.serve(ctx)
	if err != nil {
		return 0, err
	}
	defer p.end()
	_, err = fixture.Exchange(ctx, i.instance, form(i.instance.Clients[0].ID, fixture.URI("ES256")+"/.default", assertion))
	return time.Since(began), err
}

// helpers lists the processes of the database.
func (i *installation) helpers() []int {
	if i.database == nil {
		return nil
	}
	raw, _ := os.ReadFile(filepath.Join(i.database.Dir, "data", "postmaster.pid")) // without it only its figure is missing
	first, _, _ := strings.Cut(string(raw), "\n")
	postmaster, _ := strconv.Atoi(first)
	list := []int{postmaster}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, _ := os.ReadFile(path) // it may have ended
		_, rest, _ := strings.Cut(string(raw), ") ")
		var state string
		var pid, parent int
		_, _ = fmt.Sscanf(rest, "%s %d", &state, &parent)
		_, _ = fmt.Sscanf(string(raw), "%d", &pid)
		if parent == postmaster && postmaster > 0 {
			list = append(list, pid)
		}
	}
	return list
}
