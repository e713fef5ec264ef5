package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
)

// Snapshot says what a backup holds.
type Snapshot struct {
	Bytes  int64
	Schema int   // version of its schema
	Feed   int64 // change-feed sequence that it includes
}

// BackupOptions say how a backup is written. The zero value is usual.
type BackupOptions struct {
	Overwrite bool                    // replace the file if it exists
	Progress  func(done, total int64) // called after every step, with bytes; may be nil
}

// backupStep is how many pages are copied between two looks at the context: 4
// MiB, some milliseconds.
const backupStep = 1024

// Backup writes the database at path to a new file, as it is at one moment,
// whether or not a server uses it: a read transaction keeps that state for as
// long as the copy takes, and holds up nobody but the truncation of the log.
//
// The file is made with mode 0600, checked, made durable and only then given
// its name, so that there is never half a backup under it. It is one file, a
// database in its own right. The key-encryption key is not in it.
func Backup(ctx context.Context, path, to string, opt BackupOptions) (Snapshot, error) {
	if err := checkTarget(path, to, opt.Overwrite); err != nil {
		return Snapshot{}, err
	}
	if err := checkLog(path); err != nil {
		return Snapshot{}, fmt.Errorf("backup: %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".*") // mode 0600
	if err != nil {
		return Snapshot{}, fmt.Errorf("backup: cannot write beside %s: %w", to, err)
	}
	temporary := f.Name()
	defer os.Remove(temporary)
	if err := f.Close(); err != nil {
		return Snapshot{}, fmt.Errorf("backup: %w", err)
	}
	if err := copyDatabase(ctx, path, temporary, opt.Progress); err != nil {
		return Snapshot{}, fmt.Errorf("backup: cannot copy the database %s: %w", path, advise(err))
	}
	snapshot, err := inspect(ctx, temporary)
	if err != nil {
		return Snapshot{}, fmt.Errorf("backup: the copy of %s is of no use: %w", path, err)
	}
	if err := syncFile(temporary); err != nil {
		return Snapshot{}, fmt.Errorf("backup: %w", err)
	}
	return snapshot, publishFile(temporary, to, opt.Overwrite)
}

// checkTarget refuses what must not be written over: the database itself, and
// a file that a log belongs to, which would be replayed over the backup.
func checkTarget(path, to string, overwrite bool) error {
	source, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup: there is no database at %s", path)
	} else if err != nil {
		return fmt.Errorf("backup: the database cannot be read: %w", err)
	}
	for _, suffix := range []string{"-wal", "-journal"} {
		if info, err := os.Stat(to + suffix); err == nil && info.Size() > 0 {
			return fmt.Errorf("backup: %s%s exists, which belongs to a database in use at %s; choose another file", to, suffix, to)
		}
	}
	target, err := os.Stat(to)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(to); err == nil {
			return fmt.Errorf("backup: %s is a symbolic link to a file that does not exist; give the path of the file", to)
		}
		return nil
	case err != nil:
		return fmt.Errorf("backup: %w", err)
	case os.SameFile(source, target):
		return fmt.Errorf("backup: %s is the database itself; choose another file", to)
	case !target.Mode().IsRegular():
		return fmt.Errorf("backup: %s is no regular file; give the path of a file", to)
	case !overwrite:
		return fmt.Errorf("backup: %s exists already; choose another file, or --force to replace it", to)
	}
	return nil
}

// copyDatabase copies all pages of one state (https://www.sqlite.org/backup.html).
func copyDatabase(ctx context.Context, from, to string, progress func(done, total int64)) error {
	source, err := openPool(from, 1, true)
	if err != nil {
		return err
	}
	defer source.Close()
	conn, err := source.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// The transaction begins with its first read. Without it the copy would
	// begin again whenever somebody writes.
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	newest, err := sqliteSchema.newest()
	if err != nil {
		return err
	}
	if have, err := sqliteSchema.version(ctx, conn, newest); err != nil {
		return err
	} else if have == 0 {
		return errors.New("it is no database of cambio")
	}
	var pageSize int64
	if err := conn.QueryRowContext(ctx, "PRAGMA page_size").Scan(&pageSize); err != nil {
		return err
	}
	return conn.Raw(func(driverConn any) error {
		return copyPages(ctx, driverConn, to, func(done, total int) {
			if progress != nil {
				progress(int64(done)*pageSize, int64(total)*pageSize)
			}
		})
	})
}

func copyPages(ctx context.Context, driverConn any, to string, progress func(done, total int)) error {
	source, ok := driverConn.(interface {
		NewBackup(uri string) (*sqlite.Backup, error)
	})
	if !ok {
		return errors.New("the driver makes no backups")
	}
	// Nothing but the finished file counts, so that it needs no journal; it is
	// made durable as a whole afterwards.
	backup, err := source.NewBackup(fileURI(to) + "?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)")
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		if more, err = backup.Step(backupStep); err == nil {
			progress(backup.PageCount()-backup.Remaining(), backup.PageCount())
			err = ctx.Err()
		}
	}
	if err != nil {
		_ = backup.Finish() // says the same again
		return err
	}
	return backup.Finish()
}

// inspect checks a database that nobody else uses and leaves no trace beside
// it.
func inspect(ctx context.Context, path string) (Snapshot, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Snapshot{}, err
	}
	s := Snapshot{Bytes: info.Size()}
	pool, err := sql.Open("sqlite", fileURI(path)+"?mode=ro&immutable=1&_pragma=trusted_schema(0)")
	if err != nil {
		return s, err
	}
	defer pool.Close()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return s, advise(err)
	}
	defer conn.Close()
	if err := check(ctx, conn, ""); err != nil {
		return s, advise(err)
	}
	newest, err := sqliteSchema.newest()
	if err != nil {
		return s, err
	}
	if s.Schema, err = sqliteSchema.version(ctx, conn, newest); err != nil {
		return s, err
	}
	if s.Schema == 0 {
		return s, errors.New("it is no database of cambio")
	}
	err = conn.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM change_feed").Scan(&s.Feed) // in every version
	return s, err
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// publishFile gives a finished file its name, and makes that durable.
func publishFile(temporary, to string, overwrite bool) error {
	var err error
	if overwrite {
		err = os.Rename(temporary, to)
	} else if err = os.Link(temporary, to); errors.Is(err, fs.ErrExist) {
		// A link never replaces a file that somebody made in the meantime.
		return fmt.Errorf("backup: %s was made by somebody else in the meantime", to)
	} else if err != nil {
		err = os.Rename(temporary, to) // a file system without links
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return syncDir(filepath.Dir(to))
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
