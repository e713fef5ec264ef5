// Package devserver builds and starts "cambio dev" for tests and
// demonstrations, and reads the line of JSON that it prints when it is ready.
//
// It runs a real server process and trusts what that process writes on its
// standard output. Nothing of it belongs into a production program.
package devserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// Info is the line that "cambio dev --json" prints once it is ready to serve.
type Info struct {
	BaseURL        string `json:"base_url"`
	CAFile         string `json:"ca_file"`
	TenantID       string `json:"tenant_id"`
	ClientID       string `json:"client_id"`
	ClientObjectID string `json:"client_object_id"`
	Scope          string `json:"scope"`
	ResourceAppID  string `json:"resource_app_id"`
	AdminToken     string `json:"admin_token"`
	IDP            IDP    `json:"idp"`
}

// IDP is the built-in identity provider of a development server. It mints any
// claim set on request.
type IDP struct {
	Issuer  string `json:"issuer"`
	MintURL string `json:"mint_url"`
}

// ParseInfo reads the line. Every member must be there and not empty; members
// that it does not know are ignored.
func ParseInfo(line []byte) (Info, error) {
	var info Info
	if err := json.Unmarshal(line, &info); err != nil {
		return Info{}, fmt.Errorf("the line of `cambio dev --json`: %w", err)
	}
	for name, value := range map[string]string{
		"base_url": info.BaseURL, "ca_file": info.CAFile, "tenant_id": info.TenantID,
		"client_id": info.ClientID, "client_object_id": info.ClientObjectID, "scope": info.Scope,
		"resource_app_id": info.ResourceAppID, "admin_token": info.AdminToken,
		"idp.issuer": info.IDP.Issuer, "idp.mint_url": info.IDP.MintURL,
	} {
		if value == "" {
			return Info{}, fmt.Errorf("the line of `cambio dev --json` has no %s", name)
		}
	}
	return info, nil
}

// Client returns an HTTP client that trusts the server's CA and nothing else,
// follows no redirects and uses no proxy.
func (i Info) Client() (*http.Client, error) { return NewClient(i.CAFile) }

// NewClient returns an HTTP client that trusts the certificates of a PEM file
// (the system's when caFile is empty), follows no redirects and uses no proxy.
func NewClient(caFile string) (*http.Client, error) {
	var pool *x509.CertPool
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		pool = x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", caFile)
		}
	}
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost: 16,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// Root is the directory of the module that holds cmd/cambio.
func Root() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("devserver: the source file's place is unknown")
	}
	root := filepath.Join(filepath.Dir(file), "..", "..")
	if _, err := os.Stat(filepath.Join(root, "cmd", "cambio")); err != nil {
		return "", fmt.Errorf("devserver: no cmd/cambio beside this package (built with -trimpath?): %w", err)
	}
	return root, nil
}

// Build builds cmd/cambio into dir and returns the binary's path. When the
// environment variable CAMBIO_BINARY names a binary, that one is returned.
func Build(ctx context.Context, dir string) (string, error) {
	if ready := os.Getenv("CAMBIO_BINARY"); ready != "" {
		return filepath.Abs(ready)
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "cambio")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/cambio")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/cambio: %w\n%s", err, out)
	}
	return binary, nil
}

// Config says how to start a server.
type Config struct {
	Binary              string   // from Build
	StateDir            string   // made with mode 0700 when absent; kept at the end
	Listen              string   // default 127.0.0.1:0
	IssuerCAFile        string   // PEM file trusted for connections to issuers; optional
	AllowIssuerAddress  []string // CIDRs that issuers may resolve to
	Args                []string // further arguments of `cambio dev`
	Stderr              io.Writer
	ReadyWithin, EndsIn time.Duration // default 30 s and 15 s
}

// Server is a running "cambio dev".
type Server struct {
	Info
	cmd    *exec.Cmd
	endsIn time.Duration
	exited chan struct{} // closed after Wait returned
	err    error         // set before exited is closed
	stop   sync.Once
}

// Start starts the server and waits for its line. When ctx ends, the process
// is killed; Stop ends it in good order.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.ReadyWithin == 0 {
		cfg.ReadyWithin = 30 * time.Second
	}
	if cfg.EndsIn == 0 {
		cfg.EndsIn = 15 * time.Second
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, err
	}
	args := []string{"dev", "--json", "--listen", cfg.Listen, "--state", cfg.StateDir}
	if cfg.IssuerCAFile != "" {
		args = append(args, "--issuer-ca", cfg.IssuerCAFile)
	}
	for _, cidr := range cfg.AllowIssuerAddress {
		args = append(args, "--allow-issuer-address", cidr)
	}
	s := &Server{endsIn: cfg.EndsIn, exited: make(chan struct{})}
	s.cmd = exec.CommandContext(ctx, cfg.Binary, append(args, cfg.Args...)...)
	s.cmd.Stderr = cfg.Stderr
	s.cmd.WaitDelay = 5 * time.Second
	if err := s.launch(cfg.ReadyWithin); err != nil {
		return nil, err
	}
	return s, nil
}

// launch starts the process and reads its first line.
func (s *Server) launch(within time.Duration) error {
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	type first struct {
		line []byte
		err  error
	}
	got := make(chan first, 1)
	go func() {
		r := bufio.NewReader(out)
		line, err := r.ReadBytes('\n')
		got <- first{line, err}
		_, _ = io.Copy(io.Discard, r) // until the process closes it
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	select {
	case f := <-got:
		if f.err == nil {
			s.Info, f.err = ParseInfo(f.line)
		}
		if f.err != nil {
			_ = s.Stop()
			return fmt.Errorf("cambio dev did not become ready: %w", f.err)
		}
		return nil
	case <-time.After(within):
		_ = s.Stop()
		return fmt.Errorf("cambio dev printed nothing within %v", within)
	}
}

// PID is the process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop asks the server to end, waits for it, and kills it when it does not.
// It returns an error when the server did not end in good order.
func (s *Server) Stop() error {
	s.stop.Do(func() { _ = s.cmd.Process.Signal(os.Interrupt) })
	select {
	case <-s.exited:
		return s.err
	case <-time.After(s.endsIn):
		_ = s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("cambio dev did not end within %v and was killed", s.endsIn)
	}
}

// Kill ends the process at once, as a crash would.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}
