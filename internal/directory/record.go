package directory

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// TenantRecord is a tenant as the token path sees it.
type TenantRecord struct {
	Tenant
	Seq int64 // change-feed sequence that this record includes

	issuers map[string]*IssuerRecord // those that the tenant manages, by their name; nil: none
	sets    map[string][]membership  // by issuer; nil: none

	stale atomic.Bool
}

// MarkStale notes that a later state than this record's may have been
// committed: one was, or nobody would tell this record.
func (r *TenantRecord) MarkStale() { r.stale.Store(true) }

// Stale reports whether a later state may have been committed. Only while it
// is false does the record hold what is committed.
func (r *TenantRecord) Stale() bool { return r.stale.Load() }

// ClientRecord is everything the token path must know of one client, compiled
// when it is loaded and immutable afterwards, but for the mark that a newer
// state exists.
type ClientRecord struct {
	TenantID         string
	ClientID         string
	DisplayName      string
	Kind             string            // KindApplication or KindManagedIdentity
	Disabled         bool              // the application is disabled
	ServicePrincipal *ServicePrincipal // nil: none in the tenant
	Credentials      []Credential
	Grants           map[string][]string // resource service principal id → app role ids
	Seq              int64               // change-feed sequence that this record includes

	byTrust   map[trust][]*Credential
	flexible  map[string][]*Credential // by issuer, those with an expression; nil: none
	knownOnce sync.Once
	known     *knownTrust // built on the first refusal
	stale     atomic.Bool
}

// Credential is a compiled federated identity credential: of Subject and
// Expression it has one.
type Credential struct {
	ID, Name, Issuer, Subject string
	Audiences                 []string
	Expression                *Expression
	Ceilings                  *Ceilings // compiled; nil: none
}

type trust struct{ issuer, subject string }

// Compile indexes the record's credentials. It must be called once, before
// the record is shared.
func (r *ClientRecord) Compile() *ClientRecord {
	r.byTrust = make(map[trust][]*Credential, len(r.Credentials))
	for i := range r.Credentials {
		c := &r.Credentials[i]
		if c.Expression != nil {
			r.addFlexible(c)
			continue
		}
		k := trust{c.Issuer, c.Subject}
		r.byTrust[k] = append(r.byTrust[k], c)
	}
	for _, list := range r.flexible {
		// In a fixed order, so that the same one of two that match is used.
		slices.SortFunc(list, func(a, b *Credential) int { return strings.Compare(a.Name, b.Name) })
	}
	return r
}

func (r *ClientRecord) addFlexible(c *Credential) {
	if r.flexible == nil {
		r.flexible = make(map[string][]*Credential)
	}
	r.flexible[c.Issuer] = append(r.flexible[c.Issuer], c)
}

// Match returns the credentials whose issuer and subject equal the presented
// ones byte for byte.
func (r *ClientRecord) Match(issuer, subject string) []*Credential {
	return r.byTrust[trust{issuer, subject}]
}

// Flexible returns the credentials of an issuer that have an expression, in
// the order of their names. The store keeps them few.
func (r *ClientRecord) Flexible(issuer string) []*Credential { return r.flexible[issuer] }

// MarkStale notes that a later state than this record's may have been
// committed: one was, or nobody would tell this record.
func (r *ClientRecord) MarkStale() { r.stale.Store(true) }

// Stale reports whether a later state may have been committed. Only while it
// is false does the record hold what is committed.
func (r *ClientRecord) Stale() bool { return r.stale.Load() }

// Bytes estimates the memory that the record holds, for the cache's bound.
func (r *ClientRecord) Bytes() int {
	const perRecord, perCredential, perGrant = 648, 400, 120 // with the index of refusals
	n := perRecord + len(r.DisplayName)
	for i := range r.Credentials {
		c := &r.Credentials[i]
		n += perCredential + len(c.Issuer) + len(c.Subject) + len(c.Name)
		for _, a := range c.Audiences {
			n += len(a) + 16
		}
		if c.Expression != nil {
			n += c.Expression.Bytes()
		}
		if c.Ceilings != nil {
			n += c.Ceilings.Bytes()
		}
	}
	for _, roles := range r.Grants {
		n += perGrant + 52*len(roles)
	}
	return n
}

// ResourceRecord is a protected resource as the token path sees it.
type ResourceRecord struct {
	TenantID           string
	AppID              string
	DisplayName        string
	ServicePrincipalID string
	Enabled            bool // its service principal's accountEnabled
	AssignmentRequired bool
	IdentifierURIs     []string
	API                APISettings
	OptionalIdtyp      bool
	RoleValues         map[string]string // id → value of enabled roles that applications may hold
	Seq                int64

	stale atomic.Bool
}

// MarkStale notes that a later state than this record's may have been
// committed: one was, or nobody would tell this record.
func (r *ResourceRecord) MarkStale() { r.stale.Store(true) }

// Stale reports whether a later state may have been committed. Only while it
// is false does the record hold what is committed.
func (r *ResourceRecord) Stale() bool { return r.stale.Load() }

// Bytes estimates the memory that the record holds, for the cache's bound.
func (r *ResourceRecord) Bytes() int {
	n := 512 + len(r.DisplayName)
	for _, u := range r.IdentifierURIs {
		n += len(u) + 96
	}
	for _, v := range r.RoleValues {
		n += len(v) + 120
	}
	return n
}

// Key names what a change-feed row is about: a compiled record that must be
// dropped, or the signing keys.
type Key struct {
	Kind     string // one of the Key* constants
	TenantID string
	ID       string // client_id, appId of a resource; empty otherwise
}

// Kinds of change-feed key.
const (
	KeyTenant      = "tenant"
	KeyClient      = "client"
	KeyResource    = "resource"
	KeySigningKeys = "signing-keys"
)

// String is the key's form in the change feed.
func (k Key) String() string { return k.Kind + "/" + k.TenantID + "/" + k.ID }
