package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"time"

	"cambio/internal/directory"

	"github.com/google/uuid"
)

// Tx is a write in progress. Its read methods see what it wrote; their ctx is
// not used, since an interrupted statement would undo the other writes of the
// batch. It is valid until the function given to Write returns and must not
// be used by another goroutine.
//
// Identifiers (ID, AppID, ClientID, PrincipalID) and CreatedAt that are empty
// in the object given to a create method are filled in there.
type Tx struct {
	reads

	ctx        context.Context // of the batch
	db         *DB
	statements *statements // of the writer's connection
	now        time.Time
	keys       []directory.Key
	touched    map[directory.Key]bool // what is in keys
	target     string
	details    []detail
	fatal      error // the error that may have ended the whole transaction
}

// Now is the time of the write, UTC, in microseconds.
func (tx *Tx) Now() time.Time { return tx.now }

// SetTarget names the object that was changed, for the audit row, when that
// is only known here.
func (tx *Tx) SetTarget(id string) { tx.target = id }

// detail is one of several things that a write does.
type detail struct{ action, target string }

// RecordDetail adds an audit row for one object of a write that changes many,
// so that each can be found in the trail. Who did it is said by the Change
// given to Write, which gets a row of its own.
func (tx *Tx) RecordDetail(action, target string) {
	tx.details = append(tx.details, detail{action, target})
}

// touch notes that a compiled record is out of date once this commits.
func (tx *Tx) touch(kind, tenantID, id string) {
	key := directory.Key{Kind: kind, TenantID: tenantID, ID: id}
	if tx.touched[key] {
		return
	}
	if tx.touched == nil {
		tx.touched = make(map[directory.Key]bool)
	}
	tx.touched[key] = true
	tx.keys = append(tx.keys, key)
}

// touchApp notes a change of an application or of its service principal: it
// may be a client, a resource or both.
func (tx *Tx) touchApp(tenantID, appID string) {
	tx.touch(directory.KeyClient, tenantID, appID)
	tx.touch(directory.KeyResource, tenantID, appID)
}

// exec runs one statement and returns the number of rows it changed.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	if tx.fatal != nil {
		return 0, tx.fatal
	}
	result, err := tx.statements.exec(tx.ctx, query, args...)
	if err != nil {
		if tx.db.losesTransaction(err) {
			tx.fatal = err
		}
		return 0, err
	}
	return result.RowsAffected()
}

// newID checks a GUID that the caller chose, or chooses one.
func (tx *Tx) newID(id *string) error {
	*id = strings.ToLower(*id)
	if *id == "" {
		*id = uuid.NewString()
		return nil
	}
	var retired bool
	err := tx.q.QueryRowContext(context.Background(),
		"SELECT EXISTS (SELECT 1 FROM retired_ids WHERE id = ?1)"+
			" OR EXISTS (SELECT 1 FROM credentials c JOIN deleted_items d ON d.id = c.parent_id WHERE c.id = ?1)", *id).Scan(&retired)
	if err == nil && retired {
		err = errRetired(*id)
	}
	return err
}

func errRetired(id string) error {
	return directory.Errorf(directory.NameTaken, "id", "The identifier '%s' belonged to a deleted object. Identifiers are not used again: restore that object if it is an application, or leave the identifier out for a new one.", id)
}

// objectID is newID for what credentials and assignments refer to: no two
// applications or service principals of any tenant have one in common.
func (tx *Tx) objectID(id *string) error {
	chosen := *id != ""
	if err := tx.newID(id); err != nil || !chosen {
		return err
	}
	var taken bool
	err := tx.q.QueryRowContext(context.Background(), "SELECT EXISTS (SELECT 1 FROM applications WHERE id = ?1)"+
		" OR EXISTS (SELECT 1 FROM service_principals WHERE id = ?1)", *id).Scan(&taken)
	if err == nil && taken {
		err = errInUse(*id)
	}
	return err
}

func errInUse(id string) error {
	return directory.Errorf(directory.NameTaken, "id", "The identifier '%s' is in use.", id)
}

// retire notes identifiers that must not be used again.
func (tx *Tx) retire(ids ...string) error {
	return tx.eachOf(ids, "INSERT INTO retired_ids (id, at) SELECT id, ?2 FROM among WHERE true ON CONFLICT DO NOTHING", tx.now.UnixMicro())
}

// eachOf runs a statement on many identifiers at once, which it finds in the
// table among; args are its parameters from ?2 on. SQLite needs longer for a
// statement the more of them a write has run before.
func (tx *Tx) eachOf(ids []string, statement string, args ...any) error {
	list, err := encode(ids)
	if err == nil {
		_, err = tx.exec("WITH among (id) AS (SELECT value FROM json_each(?1)) "+statement, append([]any{list}, args...)...)
	}
	return err
}

// created sets a time of creation to what will be read back.
func (tx *Tx) created(at *time.Time) {
	if at.IsZero() {
		*at = tx.now
	}
	*at = at.UTC().Truncate(time.Microsecond)
}

// opaqueID makes an identifier of the form that Graph uses for assignments.
func opaqueID() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
