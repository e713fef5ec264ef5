//go:build unix

package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// giveToOwner makes what root made beside a database belong to whom the
// database belongs, or its directory when there is none: the server runs as
// that user. Nobody else can give files away, nor needs to.
func giveToOwner(database, file string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(database)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = os.Stat(filepath.Dir(database))
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil // a file system without owners
	}
	return os.Lchown(file, int(owner.Uid), int(owner.Gid))
}
