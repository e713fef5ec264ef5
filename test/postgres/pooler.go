package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Pooler is a PgBouncer in front of a server. It lends its few connections
// out for one transaction at a time.
type Pooler struct {
	dir  string
	port int
	cmd  *exec.Cmd
}

// Pooler starts a PgBouncer in transaction mode that opens at most this many
// connections to the server.
func (s *Server) Pooler(ctx context.Context, connections int) (*Pooler, error) {
	files, err := newServer(nil) // a folder and a port
	if err != nil {
		return nil, err
	}
	p := &Pooler{dir: files.Dir, port: files.Port}
	if err := p.start(ctx, s.Port, connections); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Pooler) start(ctx context.Context, server, connections int) error {
	path, err := Find("pgbouncer")
	if err != nil {
		return err
	}
	config, log := filepath.Join(p.dir, "pgbouncer.ini"), filepath.Join(p.dir, "log")
	text := fmt.Sprintf(`[databases]
postgres = host=127.0.0.1 port=%d user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = %d
max_client_conn = 200
logfile = %s
`, server, p.port, connections, log)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	p.cmd = exec.Command(path, "-q", config)
	if owner := credential(); owner != nil { // it refuses to be root, too
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	}
	if err := p.cmd.Start(); err != nil {
		p.cmd = nil
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", p.port))
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log)
			return fmt.Errorf("pgbouncer does not listen: %w\n%s", err, said)
		}
	}
}

// DSN is the data source name of the server behind the pooler. PgBouncer
// before 1.21 knows no prepared statements in transaction mode.
func (p *Pooler) DSN() string { return DSN(p.port) + "&default_query_exec_mode=exec" }

// Close ends the pooler and removes its files.
func (p *Pooler) Close() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill() // it may have ended before
		_ = p.cmd.Wait()
	}
	_ = os.RemoveAll(p.dir)
}
