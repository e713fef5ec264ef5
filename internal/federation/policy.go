package federation

import (
	"slices"
	"strings"

	"cambio/internal/directory"
	"cambio/internal/oauth"
)

// CheckClaims applies what a tenant's policy requires of every token of an
// issuer, whatever its credentials say. It must be asked after Prove, for the
// refusal, 7002381, names the values that would do.
func CheckClaims(a *Assertion, policy *directory.FederationPolicy) *oauth.Error {
	for _, rule := range policy.RequiredClaims {
		if rule.Issuer != a.Issuer {
			continue
		}
		value, present, err := a.claims.String(rule.Claim)
		if err == nil && present && slices.Contains(rule.Values, value) {
			continue
		}
		switch {
		case err != nil:
			value = "not a string"
		case !present:
			value = "none"
		}
		return oauth.Refuse(oauth.RequiredClaimMissing, oauth.ShowIssuer(a.Issuer), rule.Claim, strings.Join(rule.Values, ", "), value)
	}
	return nil
}
