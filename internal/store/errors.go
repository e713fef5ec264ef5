package store

import (
	"errors"
	"fmt"

	"cambio/internal/directory"
)

// Errors of the store. None of their texts is meant for a client, apart from
// those of *directory.Error.
var (
	// ErrNotFound says that the database was asked and holds no such record.
	ErrNotFound = errors.New("store: not found")
	// ErrBusy says that the queue of writes is full; nothing was written.
	ErrBusy = errors.New("store: too many writes are waiting")
	// ErrThrottled says that a client's look-ups on behalf of refusals came
	// too fast; the database was not asked.
	ErrThrottled = errors.New("store: too many look-ups for this client")
	// ErrUnavailable says that the database could not do its work (disk full,
	// read-only, damaged, out of reach); it wraps the cause. Nothing was
	// written, unless the answer to a commit was lost on its way from
	// PostgreSQL.
	ErrUnavailable = errors.New("store: the database is unavailable")
	// ErrOutdated says that a decision rests on what the database no longer
	// holds; it was not recorded.
	ErrOutdated = errors.New("store: the decision rests on an older state")
	// ErrClosed says that the DB was closed; nothing was written.
	ErrClosed = errors.New("store: closed")
)

// unavailable wraps what the database reported.
func unavailable(doing string, cause error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, doing, cause)
}

// IsNotFound reports whether err says that an object does not exist, in
// either form in which this package says so.
func IsNotFound(err error) bool {
	var e *directory.Error
	return errors.Is(err, ErrNotFound) || errors.As(err, &e) && e.Kind == directory.NotFound
}
