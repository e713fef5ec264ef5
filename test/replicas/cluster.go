// Package replicas runs several servers on one PostgreSQL database and takes
// away from them what machines lose: the network, the database, their time.
// The servers are real processes, and the database is a real one.
package replicas

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"cambio/cambiotest"
	"cambio/conformance/devserver"
	"cambio/test/httpclient"
	"cambio/test/pki"
)

// audience is what assertions of the tests are for.
const audience = "api://AzureADTokenExchange"

// Options say how a cluster is made.
type Options struct {
	Binary string   // of cambio
	Dir    string   // for its files
	DSNs   []string // of the database, one for each server, who may reach it by different ways; a path is an SQLite file
	More   string   // further lines of the configuration
	Keys   string   // further members of the configuration's keys, each after a comma
	// Operations is the address of the operations listener; empty: none.
	Operations string
	Polling    time.Duration
}

// Cluster is a number of servers on one database.
type Cluster struct {
	Issuer   *cambiotest.IdentityProvider
	TenantID string
	Replicas []*Replica

	opt      Options
	admin    string // client id
	files    pki.Files
	provider *http.Server
}

// Replica is one server.
type Replica struct {
	httpclient.Client
	cmd    *exec.Cmd
	config string
	exited chan struct{}
}

// Start sets the database up and starts the servers.
func Start(ctx context.Context, opt Options) (*Cluster, error) {
	c := &Cluster{opt: opt}
	var err error
	if c.files, err = pki.Loopback(opt.Dir, "replicas"); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if c.Issuer, err = cambiotest.NewIdentityProvider("http://" + l.Addr().String()); err != nil {
		return nil, err
	}
	c.provider = &http.Server{Handler: c.Issuer}
	go c.provider.Serve(l)
	for i := range opt.DSNs {
		if err := os.WriteFile(c.configFile(i), []byte(c.config(i)), 0o600); err != nil {
			return nil, err
		}
	}
	if err := c.bootstrap(ctx); err != nil {
		return nil, err
	}
	for i := range opt.DSNs {
		r := &Replica{config: c.configFile(i)}
		r.TenantID = c.TenantID
		if r.HTTP, err = devserver.NewClient(c.files.CA); err != nil {
			return nil, err
		}
		r.HTTP.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
		c.Replicas = append(c.Replicas, r)
		if err := c.Run(ctx, i); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, c.signIn(ctx)
}

func (c *Cluster) configFile(i int) string {
	return filepath.Join(c.opt.Dir, fmt.Sprintf("replica-%d.yaml", i))
}

func (c *Cluster) config(i int) string {
	kind := "dsn"
	if filepath.IsAbs(c.opt.DSNs[i]) {
		kind = "path"
	}
	return fmt.Sprintf(`base_url: https://localhost
public: {listen: "127.0.0.1:0", certificate_file: %q, key_file: %q}
operations: {listen: %q}
database: {%s: %q, poll_interval: %s}
keys: {encryption_key_file: %q%s}
management: {reads_per_second: 100000, writes_per_second: 100000}
issuers:
  rules:
    - {issuer: %q, allow_http: true, allow_addresses: ["127.0.0.0/8"]}
%s`, c.files.Certificate, c.files.Key, c.opt.Operations, kind, c.opt.DSNs[i], c.opt.Polling, filepath.Join(c.opt.Dir, "key-encryption.key"), c.opt.Keys, c.Issuer.Issuer(), c.opt.More)
}

var bootstrapped = regexp.MustCompile(`Tenant +(\S+)[\s\S]*Administrator +(\S+)`)

func (c *Cluster) bootstrap(ctx context.Context) error {
	out, err := c.Command(ctx, 0, "bootstrap", "--name", "Replicas", "--domain", "replicas.example", "--issuer", c.Issuer.Issuer(), "--subject", "administrator")
	if err != nil {
		return err
	}
	found := bootstrapped.FindSubmatch(out)
	if found == nil {
		return fmt.Errorf("cambio bootstrap: no tenant in\n%s", out)
	}
	c.TenantID, c.admin = string(found[1]), string(found[2])
	return nil
}

// Command runs a command of cambio with the configuration of a server.
func (c *Cluster) Command(ctx context.Context, i int, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, c.opt.Binary, append(args, "--config", c.configFile(i))...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("cambio %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return out, nil
}

// Run starts a server, again if it has ended, and waits until it serves.
func (c *Cluster) Run(ctx context.Context, i int) error {
	r := c.Replicas[i]
	r.cmd = exec.CommandContext(ctx, c.opt.Binary, "serve", "--config", r.config)
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(r.config+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := r.cmd.Start(); err != nil {
		return err
	}
	r.exited = make(chan struct{})
	serving := make(chan string, 1)
	go func() {
		defer close(r.exited)
		defer log.Close()
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			var event struct{ Msg, Listen string }
			_ = json.Unmarshal(lines.Bytes(), &event) // a stack is no event
			switch event.Msg {
			case "token refused": // what tests provoke
				continue
			case "serving":
				serving <- event.Listen
			}
			_, _ = fmt.Fprintln(log, lines.Text())
		}
		_ = r.cmd.Wait()
	}()
	select {
	case listen := <-serving:
		r.BaseURL = "https://" + listen
		return nil
	case <-r.exited:
	case <-time.After(30 * time.Second):
	}
	said, _ := os.ReadFile(r.config + ".log")
	return fmt.Errorf("replica %d does not serve:\n%s", i, said)
}

// signIn gets the administrator an access token.
func (c *Cluster) signIn(ctx context.Context) error {
	assertion, err := c.Assertion("administrator")
	if err != nil {
		return err
	}
	token, err := c.Replicas[0].Exchange(ctx, c.admin, "https://localhost/.default", assertion)
	for _, r := range c.Replicas {
		r.AdminToken = token
	}
	return err
}

// Assertion is a token of the issuer for a subject.
func (c *Cluster) Assertion(subject string) (string, error) {
	return c.Issuer.Mint(map[string]any{"sub": subject, "aud": audience}, map[string]any{"alg": "ES256"})
}

// Log is what a server has logged.
func (c *Cluster) Log(i int) string {
	said, _ := os.ReadFile(c.Replicas[i].config + ".log")
	return strings.TrimSpace(string(said))
}

// Pause stops a server where it stands, and Resume lets it go on.
func (r *Replica) Pause() error { return r.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (r *Replica) Resume() error { return r.cmd.Process.Signal(syscall.SIGCONT) }

// Stop ends a server in good order.
func (r *Replica) Stop() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	<-r.exited
}

// Kill ends a server at once.
func (r *Replica) Kill() {
	_ = r.cmd.Process.Kill()
	<-r.exited
}

// Close ends everything.
func (c *Cluster) Close() {
	for _, r := range c.Replicas {
		if r.cmd != nil && r.cmd.Process != nil {
			r.Kill()
		}
	}
	c.provider.Close()
}
