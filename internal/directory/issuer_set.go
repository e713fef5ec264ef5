package directory

import (
	"strings"
	"time"
)

// issuerSetScheme begins what stands in place of an issuer in a credential
// that trusts the members of a set. No token can have it as iss: an issuer is
// a URL.
const issuerSetScheme = "urn:cambio:issuer-set:"

// Limits of sets of issuers.
const (
	MaxIssuerSets       = 200 // of a tenant
	MaxIssuerSetMembers = 200
)

// IssuerSet is a named set of issuers. A credential that names it is trusted
// for the tokens of each member, within the member's time.
type IssuerSet struct {
	TenantID string
	Name     string
	Members  []IssuerSetMember
}

// IssuerSetMember is an issuer of a set.
type IssuerSetMember struct {
	Issuer    string
	NotBefore time.Time // inclusive; zero: always
	NotAfter  time.Time // exclusive; zero: for ever
}

// IssuerSetReference is what a credential has as its issuer to name a set.
func IssuerSetReference(name string) string { return issuerSetScheme + name }

// IsIssuerSetReference reports whether a credential's issuer names a set, by a
// name that one can have.
func IsIssuerSetReference(issuer string) bool {
	name, ok := strings.CutPrefix(issuer, issuerSetScheme)
	return ok && checkCredentialName(name) == nil
}

// ValidateIssuerSet checks a set that is about to be stored.
func ValidateIssuerSet(s *IssuerSet, allowed func(issuer string) error) error {
	if err := checkCredentialName(s.Name); err != nil {
		return err
	}
	if len(s.Members) > MaxIssuerSetMembers {
		return Errorf(Invalid, "members", "members must hold at most %d issuers.", MaxIssuerSetMembers)
	}
	seen := map[string]bool{}
	for _, m := range s.Members {
		if strings.HasPrefix(m.Issuer, issuerSetScheme) {
			return Errorf(Invalid, "members", "members: a set cannot be a member of a set; name its issuers.")
		}
		if err := checkIssuer(m.Issuer, allowed); err != nil {
			return err
		}
		if seen[m.Issuer] {
			return Errorf(Invalid, "members", "members: '%s' is listed twice; give it one time to be trusted in.", m.Issuer)
		}
		seen[m.Issuer] = true
		if !m.NotBefore.IsZero() && !m.NotAfter.IsZero() && !m.NotBefore.Before(m.NotAfter) {
			return Errorf(Invalid, "members", "members: '%s' ends before it begins.", m.Issuer)
		}
	}
	return nil
}

// membership is a set that an issuer belongs to.
type membership struct {
	reference           string
	notBefore, notAfter time.Time
}

func (m *membership) open(now time.Time) bool {
	return !now.Before(m.notBefore) && (m.notAfter.IsZero() || now.Before(m.notAfter))
}

// Manage puts what the tenant manages of issuers into its record. It must be
// called at most once, before the record is shared.
func (r *TenantRecord) Manage(issuers []Issuer, sets []IssuerSet) {
	if len(issuers) > 0 {
		r.issuers = make(map[string]*IssuerRecord, len(issuers))
	}
	for _, i := range issuers {
		r.issuers[i.Issuer] = i.Compile()
	}
	for _, s := range sets {
		for _, m := range s.Members {
			if r.sets == nil {
				r.sets = make(map[string][]membership)
			}
			r.sets[m.Issuer] = append(r.sets[m.Issuer], membership{IssuerSetReference(s.Name), m.NotBefore, m.NotAfter})
		}
	}
}

// Issuer returns the managed issuer of that name, byte for byte; nil: the
// tenant has none.
func (r *TenantRecord) Issuer(issuer string) *IssuerRecord { return r.issuers[issuer] }

// SetsOf returns what credentials have as their issuer to trust this one as
// the member of a set, at that time.
func (r *TenantRecord) SetsOf(issuer string, now time.Time) []string {
	var references []string
	for i := range r.sets[issuer] {
		if m := &r.sets[issuer][i]; m.open(now) {
			references = append(references, m.reference)
		}
	}
	return references
}

// ClosedSetsOf returns what SetsOf does not because it is too early or too late
// for the issuer in that set.
func (r *TenantRecord) ClosedSetsOf(issuer string, now time.Time) []string {
	var references []string
	for i := range r.sets[issuer] {
		if m := &r.sets[issuer][i]; !m.open(now) {
			references = append(references, m.reference)
		}
	}
	return references
}

// IssuerBytes estimates the memory that managed issuers and sets take.
func (r *TenantRecord) IssuerBytes() int {
	n := 0
	for _, i := range r.issuers {
		n += i.Bytes()
	}
	for issuer, list := range r.sets {
		n += len(issuer) + 96 + 128*len(list)
	}
	return n
}
