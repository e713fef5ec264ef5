//go:build !unix

package development

import (
	"os"
	"path/filepath"
)

// lockDir cannot lock on this system; it only makes the file.
func lockDir(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
}
