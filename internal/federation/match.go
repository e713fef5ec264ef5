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
// only to choose the refusal: 70025, 700211, 700213, 700212 or 7002138.
//
// sets are the references to sets of issuers that the assertion's issuer is a
// member of now; a credential may name one in place of an issuer.
//
// The claims are not proven yet, those that an expression reads no more than
// the subject: a match only allows to fetch the issuer's keys.
func Match(client *directory.ClientRecord, a *Assertion, sets ...string) (*directory.Credential, *oauth.Error) {
	found, candidates := matchAs(client, a, a.Issuer)
	for _, set := range sets {
		if found != nil {
			break
		}
		var more []*directory.Credential
		found, more = matchAs(client, a, set)
		candidates = append(slices.Clip(candidates), more...)
	}
	if found != nil {
		return found, nil
	}
	return nil, mismatch(client, candidates, a, sets)
}

// matchAs finds the credential that trusts the assertion under the name of its
// issuer, or of a set; failing that, those whose audience alone differs.
func matchAs(client *directory.ClientRecord, a *Assertion, issuer string) (found *directory.Credential, candidates []*directory.Credential) {
	candidates = client.Match(issuer, a.Subject)
	for _, c := range candidates {
		if intersects(c.Audiences, a.Audiences) {
			return c, nil
		}
	}
	for _, c := range client.Flexible(issuer) {
		if !c.Expression.Matches(a.claim) {
			continue
		}
		if intersects(c.Audiences, a.Audiences) {
			return c, nil
		}
		candidates = append(slices.Clip(candidates), c)
	}
	return nil, candidates
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
