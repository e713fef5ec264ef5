package explain

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cambio/internal/directory"
	"cambio/internal/oauth"
)

// Explain makes the explanation of one decision.
func Explain(in *Input) *Explanation {
	e := &Explanation{Allowed: in.Code == 0, Code: int(in.Code), Source: in.Source, Earlier: in.Earlier}
	e.describe(in)
	e.compare(in)
	e.classify(in)
	e.redact(in)
	e.Advise()
	return e
}

// describe fills in what does not depend on a credential.
func (e *Explanation) describe(in *Input) {
	if c := in.Client; c != nil {
		e.Client = Client{ID: c.ClientID, Name: c.DisplayName, Kind: c.Kind, Known: true}
	}
	e.Signature = cmp.Or(in.Signature, signatureAt(in.Code))
	e.Times.Now = in.At.UTC()
	if in.Token == nil {
		return
	}
	e.Issuer = issuerOf(in)
	e.Key = keyOf(in)
	e.Times.IssuedAt, e.Times.NotBefore, e.Times.Expires = in.Token.time("iat"), in.Token.time("nbf"), in.Token.time("exp")
	e.Times.Verdict = verdictOn(&e.Times)
	e.Claims = keep(in)
}

// issuerOf is how the token's issuer was resolved.
func issuerOf(in *Input) Issuer {
	i := Issuer{Presented: in.Token.text("iss"), Keys: NotManaged, Fetch: in.Fetch}
	if m := in.Managed; m != nil {
		i.Keys = m.Mode
		if !m.KeysAt.IsZero() {
			i.KeysAt = m.KeysAt.UTC()
		}
	}
	for _, reference := range in.Sets {
		i.Sets = append(i.Sets, setName(reference))
	}
	return i
}

func setName(reference string) string {
	return strings.TrimPrefix(reference, directory.IssuerSetReference(""))
}

// keyOf finds the token's key in the history of the issuer's keys.
func keyOf(in *Input) Key {
	k := Key{ID: in.Token.KeyID, Algorithm: in.Token.Algorithm}
	if len(in.Keys) == 0 {
		return k
	}
	k.State = KeyNeverSeen
	for _, seen := range in.Keys {
		if seen.KeyID != k.ID {
			continue
		}
		k.FirstSeen, k.LastSeen, k.State = seen.FirstSeen.UTC(), seen.LastSeen.UTC(), KeyWithdrawn
		if seen.Current {
			k.State = KeyPublished
			break
		}
	}
	return k
}

// signatureAt is what became of the signature when a refusal came: the checks
// have an order.
func signatureAt(code oauth.Code) string {
	switch code {
	case 0, oauth.AssertionOutsideValidity, oauth.RequiredClaimMissing, oauth.CredentialOutsideWindow, oauth.CredentialReportOnly, oauth.SourceNotAllowed, oauth.ResourceNotFound, oauth.ResourceDisabled,
		oauth.NotAssigned, oauth.ResourceOutOfReach:
		return SignatureValid
	case oauth.SignatureInvalid:
		return SignatureInvalid
	}
	return SignatureNotChecked
}

// Tolerances, as package federation has them.
const (
	longestLife = 25 * time.Hour
	skew        = 5 * time.Minute
)

func verdictOn(t *Times) string {
	switch {
	case t.Expires.IsZero():
		return TimesNoExpiry
	case t.Now.After(t.Expires.Add(skew)):
		return TimesExpired
	case t.Now.Before(t.NotBefore.Add(-skew)) || t.Now.Before(t.IssuedAt.Add(-skew)):
		return TimesNotYet
	case t.IssuedAt.IsZero():
		return TimesNoIssueAt
	case t.Expires.Sub(t.IssuedAt) > longestLife:
		return TimesTooLong
	}
	return TimesHold
}

// classify finds the class and the field to look at.
func (e *Explanation) classify(in *Input) {
	if e.Allowed {
		return
	}
	for _, find := range []func(*Explanation, *Input) bool{(*Explanation).ofToken, (*Explanation).ofCode, (*Explanation).ofOther, (*Explanation).ofCandidates, (*Explanation).ofClaims} {
		if find(e, in) {
			return
		}
	}
}

func (e *Explanation) is(class Class, field string) bool {
	e.Class, e.Field = class, field
	return true
}

// ofToken finds what no credential could change.
func (e *Explanation) ofToken(in *Input) bool {
	if in.Token == nil {
		return false
	}
	issuer := in.Token.text("iss")
	switch {
	case in.OwnIssuer || in.Code == oauth.OwnTokenAsAssertion, in.Client != nil && strings.EqualFold(issuer, in.Client.ClientID):
		return e.is(OwnToken, "iss")
	case in.Code == oauth.MalformedAssertion:
		name, kind, want := in.Token.mistyped()
		if name == "" {
			return false
		}
		e.Accepted = []string{want}
		if e.Claims == nil {
			e.Claims = Claims{}
		}
		e.Claims[name] = kind
		return e.is(ClaimType, name)
	}
	return false
}

// ofCode finds what the refusal says by itself.
func (e *Explanation) ofCode(in *Input) bool {
	switch in.Code {
	case oauth.AlgorithmNotSupported:
		e.Accepted = in.Algorithms
		return e.is(AlgorithmRefused, "alg")
	case oauth.LifetimeTooLong:
		if e.Times.IssuedAt.IsZero() {
			return e.is(LifetimeOrTimes, "iat")
		}
		return e.is(LifetimeOrTimes, "exp")
	case oauth.AssertionOutsideValidity:
		return e.ofTimes()
	case oauth.SigningKeyNotFound:
		return e.is(UnknownKey, "kid")
	case oauth.SignatureInvalid:
		if in.Managed != nil && in.Managed.Stored() {
			return e.is(UnknownKey, "kid") // the pinned key of this id is another one
		}
		return e.is("", "signature")
	case oauth.IssuerUnavailable:
		return e.is(FetchFailed, FieldIssuer)
	case oauth.CredentialDisabled, oauth.CredentialOutsideWindow, oauth.CredentialReportOnly:
		return e.is(CredentialState, FieldState)
	case oauth.SourceNotAllowed:
		return e.is("", "source")
	case oauth.FederationDisabled:
		return e.ofIssuerPolicy(in)
	case oauth.RequiredClaimMissing:
		return e.ofPolicy(in)
	}
	return false
}

func (e *Explanation) ofTimes() bool {
	switch e.Times.Verdict {
	case TimesNoExpiry:
		return e.is(LifetimeOrTimes, "exp")
	case TimesNotYet:
		return e.is("", "nbf")
	}
	return e.is(Expired, "exp")
}

// ofIssuerPolicy tells federation that is disabled from an issuer that is not
// allowed.
func (e *Explanation) ofIssuerPolicy(in *Input) bool {
	if in.Policy == nil || in.Policy.Disabled || in.Policy.AllowedIssuers.Allows(e.Issuer.Presented) {
		e.Policy = "federationPolicy.disabled"
		return e.is(TenantPolicy, "policy")
	}
	e.Policy, e.Accepted = "federationPolicy.allowedIssuers", in.Policy.AllowedIssuers.Issuers
	return e.is(TenantPolicy, FieldIssuer)
}

// ofPolicy finds the required claim that is missing.
func (e *Explanation) ofPolicy(in *Input) bool {
	if in.Policy == nil || in.Token == nil {
		return e.is(TenantPolicy, "policy")
	}
	for i, rule := range in.Policy.RequiredClaims {
		if rule.Issuer != e.Issuer.Presented || rule.Mode == directory.ReportOnly {
			continue
		}
		value, kind := in.Token.claim(rule.Claim)
		if kind == kindString && slices.Contains(rule.Values, value) {
			continue
		}
		e.Policy, e.Accepted = "federationPolicy.requiredClaims["+strconv.Itoa(i)+"]", rule.Values
		class := TenantPolicy
		if kind != kindString && kind != kindAbsent {
			class = ClaimType
		}
		return e.is(class, "claims['"+rule.Claim+"']")
	}
	return e.is(TenantPolicy, "policy")
}

// mismatched reports whether a refusal is for want of a credential that
// matches.
func mismatched(code oauth.Code) bool {
	switch code {
	case oauth.NoFederatedCredential, oauth.IssuerMismatch, oauth.SubjectMismatch, oauth.AudienceMismatch, oauth.CaseMismatch:
		return true
	}
	return false
}

// ofOther finds that another identity was meant, or that a credential came too
// late.
func (e *Explanation) ofOther(in *Input) bool {
	if !mismatched(in.Code) {
		return false
	}
	for i := range e.Candidates {
		if c := &e.Candidates[i]; c.State != "" {
			e.Candidates[0], e.Candidates[i] = e.Candidates[i], e.Candidates[0]
			return e.is(CredentialState, FieldState)
		}
	}
	if in.Elsewhere != nil && in.Code != oauth.AudienceMismatch {
		e.Elsewhere = in.Elsewhere
		return e.is(OtherIdentity, "client_id")
	}
	return false
}

// MeantElsewhere says, of a decision that is looked at later, that another
// identity trusts the token.
func (e *Explanation) MeantElsewhere(other *Elsewhere) {
	if !e.MayBeElsewhere() {
		return
	}
	e.Elsewhere = other
	e.is(OtherIdentity, "client_id")
	e.Advise()
}

// MayBeElsewhere reports whether the refusal may come from a wrong client id.
func (e *Explanation) MayBeElsewhere() bool {
	code := oauth.Code(e.Code)
	return !e.Allowed && mismatched(code) && code != oauth.AudienceMismatch && e.Class != CredentialState
}

// ofCandidates takes the class of the closest credential that has one; what is
// security relevant comes first.
func (e *Explanation) ofCandidates(in *Input) bool {
	if !mismatched(in.Code) {
		return false
	}
	best := slices.IndexFunc(e.Candidates, func(c Candidate) bool { return c.Class == OtherOwner })
	if best < 0 {
		best = slices.IndexFunc(e.Candidates, func(c Candidate) bool { return c.Class != "" })
	}
	if best < 0 {
		return e.ofField(in)
	}
	chosen := e.Candidates[best]
	copy(e.Candidates[1:best+1], e.Candidates[:best])
	e.Candidates[0] = chosen
	for _, f := range chosen.differing() {
		if f.Class == chosen.Class {
			return e.is(chosen.Class, f.Name)
		}
	}
	return e.is(chosen.Class, FieldState)
}

// ofField names the first field of the closest credential that differs.
func (e *Explanation) ofField(in *Input) bool {
	if len(e.Candidates) == 0 || in.Code == oauth.NoFederatedCredential {
		return e.is("", FieldState)
	}
	for _, f := range e.Candidates[0].differing() {
		if f.Class == "" {
			return e.is("", f.Name)
		}
	}
	return e.is("", FieldSubject)
}

// ofClaims is the last resort: the token's own faults.
func (e *Explanation) ofClaims(in *Input) bool {
	switch in.Code {
	case oauth.MissingClaim:
		return e.is("", "claims")
	case oauth.ClientNotFound, oauth.ClientDisabled, oauth.NoServicePrincipal:
		return e.is("", "client_id")
	case oauth.ResourceNotFound, oauth.ResourceDisabled, oauth.NotAssigned, oauth.ResourceOutOfReach:
		return e.is("", "resource")
	}
	return false
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
