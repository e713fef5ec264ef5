//go:build unix

package store

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// LockServer makes this process the only server of a database, until the
// returned value is closed or the process ends. Two servers would learn of
// each other's changes late. Commands that write once need no lock.
func LockServer(path string) (io.Closer, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: cannot lock the database: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another cambio server uses the database %s; stop it first (one server process at a time)", path)
	}
	return f, nil
}
