package federation

import (
	"slices"
	"strings"

	"cambio/internal/directory"
	"cambio/internal/oauth"
)

// Match finds the credential of the client that the assertion's issuer,
// subject and audience name, byte for byte; failing that, a flexible one of
// that issuer and audience whose expression the claims satisfy. Case is folded
// only to choose the refusal: 70025, 700211, 700213, 700212 or 7002138. A
// credential that only reports counts when no other one matches, and one that
// is disabled when not even such a one does: 7002391.
//
// sets are the references to sets of issuers that the assertion's issuer is a
// member of now; a credential may name one in place of an issuer.
//
// The claims are not proven yet, those that an expression reads no more than
// the subject: a match only allows to fetch the issuer's keys.
func Match(client *directory.ClientRecord, a *Assertion, sets ...string) (*directory.Credential, *oauth.Error) {
	if !a.ofTrustDomain() {
		return nil, oauth.Refuse(oauth.SubjectMismatch, a.Subject)
	}
	found, candidates := matchAs(client, a, a.Issuer)
	for _, set := range sets {
		if found != nil && rank(found) == 0 {
			break
		}
		other, more := matchAs(client, a, set)
		if other != nil && (found == nil || rank(other) < rank(found)) {
			found = other
		}
		candidates = append(slices.Clip(candidates), more...)
	}
	switch {
	case found == nil:
		return nil, mismatch(client, candidates, a, sets)
	case found.Ceilings != nil && found.Ceilings.Disabled:
		return nil, oauth.Refuse(oauth.CredentialDisabled)
	}
	return found, nil
}

// ofTrustDomain reports whether an issuer that is a SPIFFE trust domain speaks
// of a SPIFFE ID of its own. Others may speak of anything.
func (a *Assertion) ofTrustDomain() bool {
	if !strings.HasPrefix(a.Issuer, "spiffe://") {
		return true
	}
	td, ok := directory.TrustDomainOf(a.Subject)
	return ok && td == a.Issuer
}

// matchAs finds the credential that trusts the assertion under the name of its
// issuer, or of a set, the first of the best rank; and those whose audience
// alone differs.
func matchAs(client *directory.ClientRecord, a *Assertion, issuer string) (found *directory.Credential, candidates []*directory.Credential) {
	candidates = client.Match(issuer, a.Subject)
	for _, c := range candidates {
		if intersects(c.Audiences, a.Audiences) {
			if rank(c) == 0 {
				return c, nil
			}
			if found == nil || rank(c) < rank(found) {
				found = c
			}
		}
	}
	for _, c := range client.Flexible(issuer) {
		if !c.Expression.Matches(a.claim) {
			continue
		}
		switch {
		case !intersects(c.Audiences, a.Audiences):
			candidates = append(slices.Clip(candidates), c)
		case rank(c) == 0:
			return c, nil
		case found == nil || rank(c) < rank(found):
			found = c
		}
	}
	return found, candidates
}

// rank orders credentials that match the same token: first those that can be
// used, then those that only report, then those that are disabled.
func rank(c *directory.Credential) int {
	switch {
	case c.Ceilings == nil:
		return 0
	case c.Ceilings.Disabled:
		return 2
	case c.Ceilings.ReportOnly:
		return 1
	}
	return 0
}

func intersects(trusted, presented []string) bool {
	for _, p := range presented {
		if slices.Contains(trusted, p) {
			return true
		}
	}
	return false
}

// mismatch says which field kept the assertion from matching, in the order
// issuer, subject, audience.
func mismatch(client *directory.ClientRecord, candidates []*directory.Credential, a *Assertion, sets []string) *oauth.Error {
	if len(client.Credentials) == 0 {
		return oauth.Refuse(oauth.NoFederatedCredential, client.ClientID, client.DisplayName)
	}
	if len(candidates) > 0 {
		return audienceMismatch(candidates, a.Audiences)
	}
	switch {
	case client.KnowsSubjectFolded(a.Issuer, a.Subject):
		return oauth.Refuse(oauth.CaseMismatch, "subject", a.Subject)
	case client.KnowsIssuer(a.Issuer), slices.ContainsFunc(sets, client.KnowsIssuer):
		return oauth.Refuse(oauth.SubjectMismatch, a.Subject)
	case client.KnowsIssuerFolded(a.Issuer):
		return oauth.Refuse(oauth.CaseMismatch, "issuer", oauth.ShowIssuer(a.Issuer))
	}
	return oauth.Refuse(oauth.IssuerMismatch, oauth.ShowIssuer(a.Issuer))
}

func audienceMismatch(candidates []*directory.Credential, presented []string) *oauth.Error {
	for _, c := range candidates {
		for _, trusted := range c.Audiences {
			for _, p := range presented {
				if strings.EqualFold(trusted, p) {
					return oauth.Refuse(oauth.CaseMismatch, "audience", p)
				}
			}
		}
	}
	return oauth.Refuse(oauth.AudienceMismatch, strings.Join(presented, ", "))
}
