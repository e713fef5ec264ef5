package bulk

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"cambio/internal/directory"
	"cambio/internal/store"
)

// chunkRows is how many objects one transaction writes, about: enough that
// its sync does not matter, and done within a second or two.
const chunkRows = 20_000

// Loader loads lines into one tenant. It is used once.
type Loader struct {
	db            *store.DB
	tenant        directory.Tenant
	issuerAllowed func(issuer string) error
	progress      func(Total)
	resources     map[role]directory.AppRoleAssignment // found so far

	total  Total
	digest hash.Hash // of the lines so far
	key    string    // of the note on how far this input was loaded
	chunk  []store.NewClient
	rows   int // in the chunk
}

// Total counts what was loaded.
type Total struct {
	Lines, Skipped           int64 // Skipped: loaded by an earlier run
	Credentials, Assignments int64
}

// New makes a loader for the tenant that tenantRef names by id or domain.
// issuerAllowed is the rule for issuers of credentials; progress is called
// after each transaction.
func New(ctx context.Context, db *store.DB, tenantRef string, issuerAllowed func(string) error, progress func(Total)) (*Loader, error) {
	tenant, err := db.Tenant(ctx, tenantRef)
	if err != nil {
		return nil, fmt.Errorf("tenant %q: %w", tenantRef, err)
	}
	return &Loader{db: db, tenant: tenant, issuerAllowed: issuerAllowed, progress: progress, digest: sha256.New(),
		resources: map[role]directory.AppRoleAssignment{}}, nil
}

// Load reads lines until the end of in. After an error, everything up to the
// last transaction is loaded; Load of the same input goes on from there.
func (l *Loader) Load(ctx context.Context, in io.Reader) (Total, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), MaxLine)
	loaded, want := int64(0), ""
	for number := int64(1); lines.Scan(); number++ {
		line := lines.Bytes()
		if number == 1 {
			var err error
			if loaded, want, err = l.resume(ctx, line); err != nil {
				return l.total, err
			}
		}
		l.digest.Write(line)
		l.digest.Write([]byte{'\n'})
		if number <= loaded {
			l.total.Lines, l.total.Skipped = number, number
			if number == loaded && l.sum() != want {
				return l.total, fmt.Errorf("the first %d lines were loaded before and differ now; load what is new from a file of its own", loaded)
			}
			continue
		}
		if err := l.take(ctx, line, number); err != nil {
			return l.total, err
		}
	}
	if err := lines.Err(); err != nil {
		return l.total, fmt.Errorf("after line %d: %w", l.total.Lines+int64(len(l.chunk)), err)
	}
	if l.total.Lines < loaded {
		return l.total, fmt.Errorf("%d lines of this input were loaded before, and it has only %d", loaded, l.total.Lines)
	}
	return l.total, l.write(ctx)
}

func (l *Loader) sum() string { return hex.EncodeToString(l.digest.Sum(nil)) }

// resume finds out how much of an input that begins with this line is loaded.
func (l *Loader) resume(ctx context.Context, first []byte) (lines int64, digest string, err error) {
	sum := sha256.Sum256(first)
	l.key = "load/" + l.tenant.ID + "/" + hex.EncodeToString(sum[:])
	note, err := l.db.Meta(ctx, l.key)
	if errors.Is(err, store.ErrNotFound) {
		return 0, "", nil
	}
	if err == nil {
		_, err = fmt.Sscanf(note, "%d %s", &lines, &digest)
	}
	return lines, digest, err
}

// take adds one line to the chunk, and writes that when it is full.
func (l *Loader) take(ctx context.Context, line []byte, number int64) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return fmt.Errorf("line %d is empty; each line is one application", number)
	}
	c, roles, err := parseLine(line)
	if err == nil {
		err = l.check(&c)
	}
	for _, r := range roles {
		if err == nil {
			var a directory.AppRoleAssignment
			a, err = l.assignment(ctx, r)
			for _, other := range c.Assignments {
				if other == a {
					err = fmt.Errorf("the role %q of %q is assigned twice", r.value, r.resource)
				}
			}
			c.Assignments = append(c.Assignments, a)
		}
	}
	if err != nil {
		return fmt.Errorf("line %d: %w", number, err)
	}
	l.chunk = append(l.chunk, c)
	l.rows += 2 + len(c.Credentials) + len(c.Assignments)
	if l.rows < chunkRows {
		return nil
	}
	return l.write(ctx)
}

// assignment finds a resource, by identifier URI or appId, and its role, by
// value; an empty role is the default access.
func (l *Loader) assignment(ctx context.Context, r role) (a directory.AppRoleAssignment, err error) {
	if a, ok := l.resources[r]; ok {
		return a, nil
	}
	ref := store.Ref{IdentifierURI: r.resource}
	if directory.IsGUID(strings.ToLower(r.resource)) {
		ref = store.Ref{AppID: r.resource}
	}
	app, err := l.db.Application(ctx, l.tenant.ID, ref)
	if err != nil {
		return a, err
	}
	sp, err := l.db.ServicePrincipal(ctx, l.tenant.ID, store.Ref{AppID: app.AppID})
	if err != nil {
		return a, err
	}
	a.ResourceID, a.AppRoleID = sp.ID, directory.DefaultAppRoleID
	if r.value != "" {
		a.AppRoleID = ""
		for _, role := range app.AppRoles {
			if role.Value == r.value && role.IsEnabled {
				a.AppRoleID = strings.ToLower(role.ID)
			}
		}
		if a.AppRoleID == "" {
			return a, fmt.Errorf("the resource %q has no enabled app role %q", r.resource, r.value)
		}
	}
	l.resources[r] = a
	return a, nil
}

// write writes the chunk in one transaction, with the note on how far it has
// come and one audit record that counts what was loaded.
func (l *Loader) write(ctx context.Context) error {
	if len(l.chunk) == 0 {
		return nil
	}
	next := l.total
	next.Lines += int64(len(l.chunk))
	for i := range l.chunk {
		next.Credentials += int64(len(l.chunk[i].Credentials))
		next.Assignments += int64(len(l.chunk[i].Assignments))
	}
	what := fmt.Sprintf("lines %d-%d of %s: %d applications, %d credentials, %d assignments; SHA-256 of all lines to here %s", l.total.Lines+1, next.Lines, strings.TrimPrefix(l.key, "load/"+l.tenant.ID+"/"),
		len(l.chunk), next.Credentials-l.total.Credentials, next.Assignments-l.total.Assignments, l.sum())
	change := store.Change{TenantID: l.tenant.ID, Via: "load", Action: "clients.load", Target: what}
	err := l.db.Write(ctx, change, func(tx *store.Tx) error {
		if err := tx.CreateClients(l.tenant.ID, l.chunk); err != nil {
			return err
		}
		return tx.SetMeta(l.key, fmt.Sprintf("%d %s", next.Lines, l.sum()))
	})
	if err != nil {
		return fmt.Errorf("lines %d to %d were not loaded: %w", l.total.Lines+1, next.Lines, err)
	}
	l.total, l.chunk, l.rows = next, l.chunk[:0], 0
	l.progress(l.total)
	return nil
}
