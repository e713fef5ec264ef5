// Package storetest is the conformance suite of package store: what every
// kind of database behind store.DB must do. It is for tests only and trusts
// the database that it is given.
package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/store"
)

// Run runs the suite. open makes an empty database and closes it when its
// test ends.
func Run(t *testing.T, open func(t *testing.T) *store.DB) {
	for name, test := range map[string]func(*testing.T, *fixture){
		"tenants":             testTenants,
		"default tenant":      testDefaultTenant,
		"applications":        testApplications,
		"application keys":    testApplicationKeys,
		"application list":    testApplicationList,
		"application delete":  testApplicationDelete,
		"service principals":  testServicePrincipals,
		"credentials":         testCredentials,
		"credential trust":    testCredentialTrust,
		"credential limit":    testCredentialLimit,
		"flexible":            testFlexible,
		"flexible trust":      testFlexibleTrust,
		"flexible limit":      testFlexibleLimit,
		"flexible records":    testFlexibleRecords,
		"assignments":         testAssignments,
		"removed app roles":   testRemovedAppRoles,
		"managed identities":  testManagedIdentities,
		"owners":              testOwners,
		"owners end":          testOwnersEnd,
		"owner limit":         testOwnerLimit,
		"deleted application": testDeletedApplication,
		"deleted conflicts":   testDeletedConflicts,
		"deleted principal":   testDeletedPrincipal,
		"deleted roles":       testDeletedRoles,
		"tenant isolation":    testTenantIsolation,
		"issuers":             testIssuers,
		"issuer sets":         testIssuerSets,
		"issuer keys":         testIssuerKeys,
		"signing keys":        testSigningKeys,
		"bootstrap tokens":    testBootstrapTokens,
		"meta":                testMeta,
		"rollback":            testRollback,
		"audit":               testAudit,
		"feed":                testFeed,
		"records":             testRecords,
		"records of tenants":  testTenantRecords,
		"records of resource": testResourceRecords,
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			f := &fixture{T: t, db: db}
			f.tenant = f.createTenant(directory.Tenant{DisplayName: "Contoso", Compat: directory.Relaxed, Domains: []string{"contoso.example"}})
			test(t, f)
		})
	}
}

// fixture is a database with one tenant.
type fixture struct {
	*testing.T
	db     *store.DB
	tenant directory.Tenant
}

// write must succeed.
func (f *fixture) write(fn func(tx *store.Tx) error) {
	f.Helper()
	if err := f.try(fn); err != nil {
		f.Fatalf("write: %v", err)
	}
}

func (f *fixture) try(fn func(tx *store.Tx) error) error {
	return f.db.Write(f.Context(), store.Change{TenantID: f.tenant.ID, Action: "test"}, fn)
}

// refused expects a write to fail with a kind of error and a text that names
// all of mentions.
func (f *fixture) refused(kind directory.ErrorKind, fn func(tx *store.Tx) error, mentions ...string) {
	f.Helper()
	f.isError(f.try(fn), kind, mentions...)
}

func (f *fixture) isError(err error, kind directory.ErrorKind, mentions ...string) {
	f.Helper()
	var e *directory.Error
	if !errors.As(err, &e) || e.Kind != kind {
		f.Fatalf("error %v, want a directory.Error of kind %d", err, kind)
	}
	for _, m := range mentions {
		if !strings.Contains(e.Message, m) {
			f.Fatalf("the error %q does not mention %q", e.Message, m)
		}
	}
}

func (f *fixture) createTenant(t directory.Tenant) directory.Tenant {
	f.Helper()
	f.write(func(tx *store.Tx) error { return tx.CreateTenant(&t) })
	return t
}

func (f *fixture) createApplication(a directory.Application) directory.Application {
	f.Helper()
	if a.TenantID == "" {
		a.TenantID = f.tenant.ID
	}
	f.write(func(tx *store.Tx) error { return tx.CreateApplication(&a) })
	return a
}

func (f *fixture) createPrincipal(a directory.Application) directory.ServicePrincipal {
	f.Helper()
	p := directory.ServicePrincipal{TenantID: a.TenantID, AppID: a.AppID, DisplayName: a.DisplayName, AccountEnabled: true}
	f.write(func(tx *store.Tx) error { return tx.CreateServicePrincipal(&p) })
	return p
}

// registered creates an application with its service principal.
func (f *fixture) registered(name string) (directory.Application, directory.ServicePrincipal) {
	f.Helper()
	a := f.createApplication(directory.Application{DisplayName: name, IdentifierURIs: []string{"api://" + name}})
	return a, f.createPrincipal(a)
}

// credential is the n-th of a parent, not stored.
func (f *fixture) credential(parent string, n int) directory.FederatedIdentityCredential {
	return directory.FederatedIdentityCredential{
		TenantID:  f.tenant.ID,
		ParentID:  parent,
		Name:      fmt.Sprintf("credential-%d", n),
		Issuer:    "https://issuer.example",
		Subject:   fmt.Sprintf("subject-%d", n),
		Audiences: []string{"api://AzureADTokenExchange"},
	}
}

func (f *fixture) createCredential(c directory.FederatedIdentityCredential) directory.FederatedIdentityCredential {
	f.Helper()
	f.write(func(tx *store.Tx) error { return tx.CreateCredential(&c) })
	return c
}

func (f *fixture) createAssignment(principal, resource, role string) directory.AppRoleAssignment {
	f.Helper()
	a := directory.AppRoleAssignment{TenantID: f.tenant.ID, PrincipalID: principal, ResourceID: resource, AppRoleID: role}
	f.write(func(tx *store.Tx) error { return tx.CreateAssignment(&a) })
	return a
}
