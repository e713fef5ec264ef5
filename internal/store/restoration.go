package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Restoration puts a backup in the place of a database, in two steps: a
// checked copy lies beside the database (Path), then Install gives it the
// database's name. In between the caller may open the copy, and must close it
// again.
type Restoration struct {
	Path     string // of the copy
	Snapshot Snapshot

	database string
	lock     io.Closer
}

// PrepareRestore copies a backup beside the database and checks the copy, all
// of it. No server may use the database until Close. The database itself is
// not touched, and need not exist.
func PrepareRestore(ctx context.Context, from, database string) (*Restoration, error) {
	if err := checkSource(from, database); err != nil {
		return nil, err
	}
	if err := prepareDir(filepath.Dir(database)); err != nil {
		return nil, err
	}
	lock, err := LockServer(database)
	if err != nil {
		return nil, err
	}
	if err := giveToOwner(database, database+".lock"); err != nil {
		return nil, errors.Join(fmt.Errorf("restore: %w", err), lock.Close())
	}
	// SQLite keeps the log beside the file that a link leads to.
	if file, err := filepath.EvalSymlinks(database); err == nil {
		database = file
	}
	// The name is free for whoever holds the lock: a file of this name is left
	// over from an attempt that was killed.
	r := &Restoration{Path: database + ".restoring", database: database, lock: lock}
	r.removeCopy()
	if err := r.copy(ctx, from); err != nil {
		return nil, errors.Join(fmt.Errorf("restore: %s: %w", from, err), r.Close())
	}
	return r, nil
}

func checkSource(from, database string) error {
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("restore: cannot read the backup: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("restore: %s is no regular file; give the file that `cambio backup` wrote", from)
	}
	if target, err := os.Stat(database); err == nil && os.SameFile(info, target) {
		return fmt.Errorf("restore: %s is the database itself; give the file that `cambio backup` wrote", from)
	}
	for _, suffix := range []string{"-wal", "-journal"} {
		if log, err := os.Stat(from + suffix); err == nil && log.Size() > 0 {
			return fmt.Errorf("restore: %s%s exists, so that %s is a database in use and not the whole of it; make a backup of it with `cambio backup`", from, suffix, from)
		}
	}
	return nil
}

// copy makes the copy and checks it, so that what was checked is what will be
// used.
func (r *Restoration) copy(ctx context.Context, from string) error {
	if err := copyFile(ctx, from, r.Path); err != nil {
		return err
	}
	var err error
	r.Snapshot, err = inspect(ctx, r.Path)
	return err
}

// untilDone reads until its context ends.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (r untilDone) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

func copyFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, untilDone{ctx, in})
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// Install gives the copy the database's name. The database that was there is
// kept: aside is its new path, empty if there was none. Should the machine
// stop in between, there is no database under the name, which a server says,
// and both are beside it.
func (r *Restoration) Install(now time.Time) (aside string, err error) {
	for _, suffix := range []string{"-wal", "-shm"} {
		if info, err := os.Stat(r.Path + suffix); err == nil && info.Size() > 0 {
			return "", fmt.Errorf("restore: %s%s exists; another program uses the copy", r.Path, suffix)
		}
	}
	if err := errors.Join(giveToOwner(r.database, r.Path), syncFile(r.Path)); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	if aside, err = r.setAside(now); err != nil {
		return aside, fmt.Errorf("restore: cannot keep the present database aside: %w", err)
	}
	if err := os.Rename(r.Path, r.database); err != nil {
		return aside, fmt.Errorf("restore: %w; the database that was there is now %s", err, aside)
	}
	return aside, syncDir(filepath.Dir(r.database))
}

// setAside renames the database and the log that belongs to it, the database
// first: without its log it would be an older state under the right name.
func (r *Restoration) setAside(now time.Time) (string, error) {
	aside := r.database + ".replaced-" + now.UTC().Format("20060102T150405Z")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if _, err := os.Lstat(aside + suffix); err == nil {
			return "", fmt.Errorf("%s%s exists already", aside, suffix)
		}
	}
	found := false
	for _, suffix := range []string{"", "-wal", "-shm"} {
		err := os.Rename(r.database+suffix, aside+suffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return aside, err
		}
		found = found || err == nil
	}
	if !found {
		return "", nil
	}
	return aside, syncDir(filepath.Dir(r.database))
}

// Close removes the copy if it was not installed and lets servers start again.
func (r *Restoration) Close() error {
	r.removeCopy()
	return r.lock.Close()
}

func (r *Restoration) removeCopy() {
	for _, suffix := range []string{"", "-wal", "-shm", checksumSuffix} {
		_ = os.Remove(r.Path + suffix) // usually not there
	}
}
