//go:build unix

package development

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir keeps two instances from sharing a state folder: each would point
// the seeded credential at its own provider. The lock ends with the process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the state folder cannot be locked: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another cambio dev uses the state folder %s; stop it, or choose another folder with --state", dir)
	}
	return f, nil
}
