package directory

import (
	"slices"
	"strings"
)

// Enforcement says what becomes of a token that breaks a rule of a policy.
type Enforcement string

// The two ways. The zero value enforces.
const (
	Enforce    Enforcement = "enforce"
	ReportOnly Enforcement = "report-only" // the decision is recorded as one that would be refused; nothing is
)

// FederationPolicy restricts federation for a whole tenant, whatever its
// credentials say. The zero value restricts nothing.
type FederationPolicy struct {
	Disabled       bool
	AllowedIssuers AllowedIssuers `json:",omitzero"`
	RequiredClaims []RequiredClaim
	Claims         ClaimPolicy `json:",omitzero"`
	Lint           LintPolicy  `json:",omitzero"`
}

// LintPolicy says what becomes of credentials that break a rule of
// docs/lint.md when they are written.
type LintPolicy struct {
	Mode   Enforcement       `json:",omitempty"` // empty: strict tenants report, as Entra accepts what they do; others enforce
	Levels map[string]string `json:",omitempty"` // by rule: block, warn, info or off
}

// IsZero reports whether the policy says nothing.
func (p LintPolicy) IsZero() bool { return p.Mode == "" && len(p.Levels) == 0 }

// Enforced reports whether what a rule blocks is refused.
func (p LintPolicy) Enforced(compat Compat) bool {
	if p.Mode == "" {
		return compat != Strict
	}
	return p.Mode == Enforce
}

// AllowedIssuers lists the issuers whose tokens a tenant takes, byte for byte.
// An issuer that ends in "/*" stands for all below that path. An empty list
// allows every one.
type AllowedIssuers struct {
	Issuers []string
	Mode    Enforcement `json:",omitempty"`
}

// RequiredClaim is a claim that every assertion of an issuer must have, as a
// string equal to one of the values, byte for byte.
type RequiredClaim struct {
	Issuer string
	Claim  string
	Values []string
	Mode   Enforcement `json:",omitempty"`
}

// ClaimPolicy says which claims of tokens explanations keep, beside those that
// the profile of the issuer and the credentials themselves compare. Issuer,
// subject, audience and times are always kept. The zero value adds nothing and
// leaves nothing out.
type ClaimPolicy struct {
	Keep []string `json:",omitempty"` // kept whole
	Hash []string `json:",omitempty"` // kept as a hash, by which equal values are known
	Omit []string `json:",omitempty"` // left out, whoever compares them
}

// IsZero reports whether the policy says nothing.
func (p ClaimPolicy) IsZero() bool { return len(p.Keep)+len(p.Hash)+len(p.Omit) == 0 }

// IsZero reports whether every issuer is allowed.
func (a AllowedIssuers) IsZero() bool { return len(a.Issuers) == 0 }

// Allows reports whether an issuer is on the list, or nothing is.
func (a *AllowedIssuers) Allows(issuer string) bool {
	return a.IsZero() || slices.ContainsFunc(a.Issuers, func(allowed string) bool {
		below, all := strings.CutSuffix(allowed, "*")
		return issuer == allowed || all && len(issuer) > len(below) && strings.HasPrefix(issuer, below)
	})
}

// Limits of a tenant's policy.
const (
	MaxRequiredClaims = 100 // rules, and values of one rule
	MaxAllowedIssuers = 200
)

// CheckFederationPolicy checks a tenant's policy: an empty list of values
// would forbid the issuer without saying so.
func CheckFederationPolicy(p *FederationPolicy) error {
	if err := checkAllowedIssuers(&p.AllowedIssuers); err != nil {
		return err
	}
	if err := checkEnforcement("federationPolicy.lint", p.Lint.Mode); err != nil {
		return err
	}
	const property = "federationPolicy.requiredClaims"
	if len(p.RequiredClaims) > MaxRequiredClaims {
		return Errorf(Invalid, property, "%s may hold at most %d rules; this one holds %d.", property, MaxRequiredClaims, len(p.RequiredClaims))
	}
	for i := range p.RequiredClaims {
		if err := checkRequiredClaim(property, &p.RequiredClaims[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkRequiredClaim(property string, r *RequiredClaim) error {
	if err := checkText(property+".issuer", r.Issuer, 1, MaxIssuer); err != nil {
		return err
	}
	if err := checkText(property+".claim", r.Claim, 1, MaxClaimName); err != nil {
		return err
	}
	if len(r.Values) == 0 || len(r.Values) > MaxRequiredClaims {
		return Errorf(Invalid, property+".values", "%s: the rule for claim '%s' must list 1 to %d values; it lists %d.", property, r.Claim, MaxRequiredClaims, len(r.Values))
	}
	for _, v := range r.Values {
		if err := checkText(property+".values", v, 1, 600); err != nil {
			return err
		}
	}
	return checkEnforcement(property, r.Mode)
}

func checkAllowedIssuers(a *AllowedIssuers) error {
	const property = "federationPolicy.allowedIssuers"
	if len(a.Issuers) > MaxAllowedIssuers {
		return Errorf(Invalid, property, "%s may list at most %d issuers; this one lists %d.", property, MaxAllowedIssuers, len(a.Issuers))
	}
	for _, issuer := range a.Issuers {
		if err := checkText(property, issuer, 1, MaxIssuer); err != nil {
			return err
		}
		below, all := strings.CutSuffix(issuer, "/*")
		// A host must be whole: what follows "https://" up to a slash.
		if strings.Contains(below, "*") || all && strings.Count(below, "/") < 2 || all && strings.HasSuffix(below, "/") {
			return Errorf(Invalid, property, "%s: '%s': '*' may only stand at the end, after the host and a slash, as in https://oidc.example.com/*.", property, issuer)
		}
	}
	return checkEnforcement(property, a.Mode)
}

func checkEnforcement(property string, mode Enforcement) error {
	if mode != "" && mode != Enforce && mode != ReportOnly {
		return Errorf(Invalid, property+".mode", "%s.mode must be '%s' or '%s'.", property, Enforce, ReportOnly)
	}
	return nil
}
