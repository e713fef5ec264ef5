// Package postgres runs private PostgreSQL servers for tests: one, or a
// primary with a standby that follows it, on loopback addresses and in folders
// of their own. They trust everybody who connects.
//
// As root they run as the user postgres, since PostgreSQL refuses to be root.
package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is one PostgreSQL server. Its methods are not safe for concurrent
// use.
type Server struct {
	Dir     string // its files; removed by Close
	Port    int
	options []string
}

// Start makes a database cluster and starts it. Options are settings, as in
// "fsync=off".
func Start(ctx context.Context, options ...string) (*Server, error) {
	s, err := newServer(options)
	if err != nil {
		return nil, err
	}
	if err := s.command(ctx, "initdb", "-D", s.Data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		s.Close()
		return nil, err
	}
	hba, err := os.OpenFile(filepath.Join(s.Data(), "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = hba.WriteString("host replication all 127.0.0.1/32 trust\n")
		err = firstOf(err, hba.Close())
	}
	if err = firstOf(err, s.Start(ctx)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Standby makes a server that follows this one and starts it.
func (s *Server) Standby(ctx context.Context) (*Server, error) {
	standby, err := newServer(s.options)
	if err != nil {
		return nil, err
	}
	err = s.command(ctx, "pg_basebackup", "-h", "127.0.0.1", "-p", strconv.Itoa(s.Port), "-U", "postgres", "-D", standby.Data(),
		"-R", "-X", "stream", "--checkpoint=fast", "--no-sync")
	if err = firstOf(err, standby.Start(ctx)); err != nil {
		standby.Close()
		return nil, err
	}
	return standby, nil
}

func newServer(options []string) (*Server, error) {
	dir, err := os.MkdirTemp("", "cambio-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, options: options}
	if owner := credential(); owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return nil, err
		}
	}
	// Freed for PostgreSQL to take. Somebody else may be quicker; Start then
	// fails and says so.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.Port = l.Addr().(*net.TCPAddr).Port
	return s, l.Close()
}

// Data is the folder of the database cluster.
func (s *Server) Data() string { return filepath.Join(s.Dir, "data") }

// Start starts the server after Stop or Kill, and waits until it answers.
func (s *Server) Start(ctx context.Context) error {
	settings := append([]string{"port=" + strconv.Itoa(s.Port), "listen_addresses=127.0.0.1", "unix_socket_directories=" + s.Dir,
		"max_connections=200", "wal_log_hints=on", "wal_keep_size=256MB", "hot_standby=on", "max_wal_senders=4"}, s.options...)
	args := make([]string, len(settings))
	for i, setting := range settings {
		args[i] = "-c " + setting
	}
	return s.command(ctx, "pg_ctl", "-D", s.Data(), "-l", filepath.Join(s.Dir, "log"), "-w", "-t", "60", "-o", strings.Join(args, " "), "start")
}

// Stop ends the server: in good order ("fast"), or at once, so that it must
// recover when it starts again ("immediate").
func (s *Server) Stop(ctx context.Context, mode string) error {
	return s.command(ctx, "pg_ctl", "-D", s.Data(), "-m", mode, "-w", "stop")
}

// Kill ends every process of the server with SIGKILL, and waits until none is
// left: one that outlived the postmaster would hold the memory that they share,
// and the server could not start again.
func (s *Server) Kill() error {
	pidFile := filepath.Join(s.Data(), "postmaster.pid")
	raw, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	postmaster, err := strconv.Atoi(first)
	if err != nil {
		return err
	}
	// Stopped, so that it has no more children than those that are listed.
	if err := syscall.Kill(postmaster, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stopping the postmaster: %w", err)
	}
	for state(postmaster) != stopped && !zombie(postmaster) {
		time.Sleep(time.Millisecond)
	}
	// The postmaster first: it would start killed children again.
	pids := append([]int{postmaster}, children(postmaster)...)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
	}
	for slices.ContainsFunc(pids, func(pid int) bool { return syscall.Kill(pid, 0) == nil && !zombie(pid) }) {
		time.Sleep(5 * time.Millisecond)
	}
	// The files of one that is gone keep the next one from starting while there
	// is a process with that number: another program's, or a zombie that nobody
	// has waited for.
	return firstOf(os.Remove(pidFile), os.Remove(filepath.Join(s.Dir, fmt.Sprintf(".s.PGSQL.%d.lock", s.Port))))
}

// children lists the processes that a process has started.
func children(parent int) []int {
	var list []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		pid, ppid, _ := stat(path)
		if ppid == parent {
			list = append(list, pid)
		}
	}
	return list
}

// stopped is the state of a process after SIGSTOP.
const stopped = "T"

// zombie reports whether a process has ended, or is not there at all.
func zombie(pid int) bool { return state(pid) == "Z" || state(pid) == "" }

func state(pid int) string {
	_, _, state := stat(fmt.Sprintf("/proc/%d/stat", pid))
	return state
}

// stat reads what /proc says of a process; its name is in parentheses.
func stat(path string) (pid, ppid int, state string) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, ""
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	_, _ = fmt.Sscanf(string(raw), "%d", &pid)
	_, _ = fmt.Sscanf(rest, "%s %d", &state, &ppid)
	return pid, ppid, state
}

// Promote makes a standby a primary.
func (s *Server) Promote(ctx context.Context) error {
	return s.command(ctx, "pg_ctl", "-D", s.Data(), "-w", "promote")
}

// Set changes a setting while the server runs.
func (s *Server) Set(ctx context.Context, setting, value string) error {
	return firstOf(s.SQL(ctx, "ALTER SYSTEM SET "+setting+" = '"+value+"'"), s.SQL(ctx, "SELECT pg_reload_conf()"))
}

// SQL runs a statement with psql.
func (s *Server) SQL(ctx context.Context, statement string) error {
	return s.command(ctx, "psql", "-h", "127.0.0.1", "-p", strconv.Itoa(s.Port), "-U", "postgres", "-qAtc", statement)
}

// DSN is the server's data source name.
func (s *Server) DSN() string { return DSN(s.Port) }

// DSN is the data source name of servers on these ports of 127.0.0.1.
func DSN(ports ...int) string {
	hosts := make([]string, len(ports))
	for i, port := range ports {
		hosts[i] = "127.0.0.1:" + strconv.Itoa(port)
	}
	return "postgres://postgres@" + strings.Join(hosts, ",") + "/postgres?sslmode=disable"
}

// Close ends the server and removes its files.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = s.Stop(ctx, "immediate") // it may have ended before
	_ = os.RemoveAll(s.Dir)
}

// command runs a program of PostgreSQL as the user that owns the files.
func (s *Server) command(ctx context.Context, name string, args ...string) error {
	path, err := Find(name)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = s.Dir
	if owner := credential(); owner != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	}
	// Not a pipe: the server, which pg_ctl leaves behind, would keep it open.
	output, err := os.CreateTemp(s.Dir, name)
	if err != nil {
		return err
	}
	defer os.Remove(output.Name())
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(output.Name())
		log, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
		return fmt.Errorf("%s: %w\n%s%s", name, err, said, log[max(0, len(log)-2000):])
	}
	return nil
}

// credential is the user that servers run as, nil for the present one.
func credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil // PostgreSQL says what it thinks of root
	}
	uid, _ := strconv.Atoi(u.Uid) // numbers on Unix
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// Find finds a program of PostgreSQL, or PgBouncer: of Debian's newest
// version, among what is for root, or on the PATH.
func Find(name string) (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		found, _ = filepath.Glob("/usr/sbin/" + name)
	}
	if len(found) > 0 {
		return found[len(found)-1], nil
	}
	return exec.LookPath(name)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
