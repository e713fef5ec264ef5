package store_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// A path that is a symbolic link names the file that it leads to: that one is
// replaced, where it is, with its log.
func TestRestoreThroughLink(t *testing.T) {
	path := closed(t)
	copied := filepath.Join(t.TempDir(), "copy")
	backup(t, path, copied)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if aside := restore(t, copied, link); filepath.Dir(aside) != filepath.Dir(path) {
		t.Errorf("the database is kept as %s", aside)
	}
	if to, err := os.Readlink(link); err != nil || to != path {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	equal(t, dump(t, copied), dump(t, path))
}

// What root restores belongs to whom the database belonged, who runs the
// server.
func TestRestoredFilesKeepTheirOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	const somebody = 12345
	copied := filepath.Join(t.TempDir(), "copy")
	replaced := closed(t)
	backup(t, replaced, copied)
	fresh := filepath.Join(t.TempDir(), "cambio.db")
	for path, like := range map[string]string{replaced: replaced, fresh: filepath.Dir(fresh)} {
		if err := os.Chown(like, somebody, somebody); err != nil {
			t.Fatal(err)
		}
		if like != path {
			if err := os.Chmod(like, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		restore(t, copied, path)
		for _, name := range []string{path, path + ".lock"} {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if uid := reflect.ValueOf(info.Sys()).Elem().FieldByName("Uid").Uint(); uid != somebody {
				t.Errorf("%s belongs to %d", filepath.Base(name), uid)
			}
		}
	}
}
