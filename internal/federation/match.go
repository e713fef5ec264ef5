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
// The claims are not proven yet, those that an expression reads no more than
// the subject: a match only allows to fetch the issuer's keys.
func Match(client *directory.ClientRecord, a *Assertion) (*directory.Credential, *oauth.Error) {
	candidates := client.Match(a.Issuer, a.Subject)
	for _, c := range candidates {
		if intersects(c.Audiences, a.Audiences) {
			return c, nil
		}
	}
	for _, c := range client.Flexible(a.Issuer) {
		if !c.Expression.Matches(a.claim) {
			continue
		}
		if intersects(c.Audiences, a.Audiences) {
			return c, nil
		}
		candidates = append(slices.Clip(candidates), c)
	}
	return nil, mismatch(client, candidates, a)
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
func mismatch(client *directory.ClientRecord, candidates []*directory.Credential, a *Assertion) *oauth.Error {
	if len(client.Credentials) == 0 {
		return oauth.Refuse(oauth.NoFederatedCredential, client.ClientID, client.DisplayName)
	}
	if len(candidates) > 0 {
		return audienceMismatch(candidates, a.Audiences)
	}
	switch {
	case client.KnowsSubjectFolded(a.Issuer, a.Subject):
		return oauth.Refuse(oauth.CaseMismatch, "subject", a.Subject)
	case client.KnowsIssuer(a.Issuer):
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
