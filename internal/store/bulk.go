package store

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"

	"cambio/internal/directory"
)

// NewClient is an application with all that it needs to sign in.
type NewClient struct {
	Application directory.Application // without identifier URIs
	Principal   directory.ServicePrincipal
	Credentials []directory.FederatedIdentityCredential
	Assignments []directory.AppRoleAssignment
}

// CreateClients adds many applications of one tenant at once, each with its
// service principal, its credentials and what is assigned to it, in a fraction
// of the time of one call for each. Object ids are made here, growing with
// time, so that rows are appended to the indexes and not scattered over them;
// an AppID and the ResourceID and AppRoleID of assignments are the caller's.
// Names and trusts within one application must differ, and values must be
// valid: that is checked by whoever calls. What is taken by others is found
// here; the error is then a *directory.Error and nothing of the write is kept.
//
// The change feed gets one row for all, which names the tenant: nobody can
// have a record of an application that did not exist. It makes decisions that
// are being recorded look again.
func (tx *Tx) CreateClients(tenantID string, clients []NewClient) error {
	if err := tx.requireTenant(tenantID); err != nil {
		return err
	}
	if err := tx.identify(tenantID, clients); err != nil {
		return err
	}
	if err := tx.checkChosen(tenantID, clients); err != nil {
		return err
	}
	tx.touch(directory.KeyTenant, tenantID, "")
	var changed int64
	if err := tx.q.QueryRowContext(context.Background(), "SELECT "+nextSeq).Scan(&changed); err != nil {
		return err
	}
	applications := tx.bulk("applications", applicationColumns)
	principals := tx.bulk("service_principals", principalColumns)
	credentials := tx.bulk("credentials", credentialColumns+", changed")
	assignments := tx.bulk("assignments", assignmentColumns)
	for i := range clients {
		if err := clients[i].insert(applications, principals, credentials, assignments, changed); err != nil {
			return err
		}
	}
	// In this order: each table refers to those before it.
	return firstError(applications.flush, principals.flush, credentials.flush, assignments.flush)
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// identify fills in identifiers and times.
func (tx *Tx) identify(tenantID string, clients []NewClient) error {
	var err error
	newID := func() string {
		id, failed := uuid.NewV7()
		err = errors.Join(err, failed)
		return id.String()
	}
	for i := range clients {
		app, p := &clients[i].Application, &clients[i].Principal
		app.TenantID, app.ID, app.AppID = tenantID, newID(), strings.ToLower(app.AppID)
		if app.AppID == "" {
			app.AppID = newID()
		}
		app.CreatedAt = tx.now
		p.TenantID, p.ID, p.AppID, p.Kind, p.CreatedAt = tenantID, newID(), app.AppID, directory.KindApplication, tx.now
		for j := range clients[i].Credentials {
			c := &clients[i].Credentials[j]
			c.TenantID, c.ParentID, c.ID, c.CreatedAt = tenantID, app.ID, newID(), tx.now
		}
		for j := range clients[i].Assignments {
			a := &clients[i].Assignments[j]
			a.TenantID, a.PrincipalID, a.ID, a.CreatedAt = tenantID, p.ID, newID(), tx.now
		}
	}
	return err
}

// checkChosen refuses an appId or unique name that is taken.
func (tx *Tx) checkChosen(tenantID string, clients []NewClient) error {
	var appIDs, names []string
	for i := range clients {
		appIDs = append(appIDs, clients[i].Application.AppID)
		if name := clients[i].Application.UniqueName; name != "" {
			names = append(names, name)
		}
	}
	if id := twice(appIDs); id != "" {
		return errAppIDInUse(id)
	}
	if name := twice(names); name != "" {
		return directory.Errorf(directory.NameTaken, "uniqueName", "The uniqueName '%s' is given to two applications.", name)
	}
	id, err := tx.oneOf(appIDs, "SELECT app_id FROM applications WHERE app_id IN (SELECT id FROM among)"+
		" UNION ALL SELECT client_id FROM managed_identities WHERE client_id IN (SELECT id FROM among)")
	if err == nil && id != "" {
		err = errAppIDInUse(id)
	}
	if err != nil {
		return err
	}
	if id, err = tx.oneOf(appIDs, "SELECT id FROM retired_ids WHERE id IN (SELECT id FROM among)"); err == nil && id != "" {
		err = errRetired(id)
	}
	if err != nil || len(names) == 0 {
		return err
	}
	name, err := tx.oneOf(names, "SELECT unique_name FROM applications WHERE tenant_id = ?2 AND unique_name <> '' AND unique_name IN (SELECT id FROM among)", tenantID)
	if err == nil && name != "" {
		err = directory.Errorf(directory.NameTaken, "uniqueName", "The uniqueName '%s' is held by another application.", name)
	}
	return err
}

// twice returns a text that is in the list more than once, or nothing.
func twice(list []string) string {
	seen := make(map[string]bool, len(list))
	for _, text := range list {
		if seen[text] {
			return text
		}
		seen[text] = true
	}
	return ""
}

// oneOf runs a query on the table among, which holds ids, and returns the
// first value that it finds, or nothing.
func (tx *Tx) oneOf(ids []string, query string, args ...any) (string, error) {
	list, err := encode(ids)
	if err != nil {
		return "", err
	}
	var found string
	err = tx.q.QueryRowContext(context.Background(), "WITH among (id) AS (SELECT value FROM json_each(?1)) "+query+" LIMIT 1", append([]any{list}, args...)...).Scan(&found)
	return found, ignoreNoRows(err)
}

// insert adds the rows of one application.
func (c *NewClient) insert(applications, principals, credentials, assignments *bulk, changed int64) error {
	app, p := &c.Application, &c.Principal
	values, err := applicationValues(app)
	if err != nil {
		return err
	}
	tags, err := encode(p.Tags)
	if err != nil {
		return err
	}
	applications.add(app.ID, app.TenantID, app.AppID)
	applications.add(append(values, toMicros(app.CreatedAt))...)
	principals.add(p.ID, p.TenantID, p.AppID, p.Kind, p.DisplayName, p.Description, p.Notes, p.AccountEnabled, p.AppRoleAssignmentRequired, tags, toMicros(p.CreatedAt))
	for i := range c.Credentials {
		x := &c.Credentials[i]
		audiences, err := encode(x.Audiences)
		if err != nil {
			return err
		}
		e := expressionOf(x)
		credentials.add(x.ID, x.TenantID, x.ParentID, x.Name, x.Issuer, x.Subject, e.Value, e.LanguageVersion, audiences, x.Description, toMicros(x.CreatedAt), "", changed)
	}
	for i := range c.Assignments {
		a := &c.Assignments[i]
		assignments.add(a.ID, a.TenantID, a.AppRoleID, a.PrincipalID, a.ResourceID, toMicros(a.CreatedAt))
	}
	return nil
}

// bulk collects the rows of one table and inserts many with a statement.
type bulk struct {
	tx    *Tx
	into  string
	width int
	args  []any
}

// bulkRows is how many rows one statement inserts: SQLite takes 32,766
// parameters, PostgreSQL twice as many, and the widest table has 18 columns.
const bulkRows = 64

func (tx *Tx) bulk(table, columns string) *bulk {
	return &bulk{tx: tx, into: "INSERT INTO " + table + " (" + columns + ") VALUES ", width: strings.Count(columns, ",") + 1}
}

func (b *bulk) add(values ...any) { b.args = append(b.args, values...) }

// flush inserts what was collected: whole statements first, then single rows,
// so that there are two kinds of statement to prepare.
func (b *bulk) flush() error {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", b.width), ", ") + ")"
	many := b.into + strings.TrimSuffix(strings.Repeat(row+", ", bulkRows), ", ")
	for at := 0; at < len(b.args); {
		n, statement := b.width*bulkRows, many
		if len(b.args)-at < n {
			n, statement = b.width, b.into+row
		}
		if _, err := b.tx.exec(statement, b.args[at:at+n]...); err != nil {
			return err
		}
		at += n
	}
	return nil
}
