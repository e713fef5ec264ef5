package federation

import (
	"slices"
	"strconv"
	"strings"

	"cambio/internal/directory"
	"cambio/internal/oauth"
)

// CheckIssuer applies what a tenant's policy says of an issuer before anything
// is fetched from it. The refusal is 700238 and names the rule; reported are
// the names of rules that would refuse but only report.
func CheckIssuer(a *Assertion, policy *directory.FederationPolicy) (refusal *oauth.Error, reported []string) {
	const disabled, allowed = "federationPolicy.disabled", "federationPolicy.allowedIssuers"
	switch {
	case policy.Disabled:
		return oauth.Refuse(oauth.FederationDisabled, oauth.ShowIssuer(a.Issuer), disabled), nil
	case policy.AllowedIssuers.Allows(a.Issuer):
		return nil, nil
	case policy.AllowedIssuers.Mode == directory.ReportOnly:
		return nil, []string{allowed}
	}
	return oauth.Refuse(oauth.FederationDisabled, oauth.ShowIssuer(a.Issuer), allowed), nil
}

// CheckClaims applies what a tenant's policy requires of every token of an
// issuer, whatever its credentials say. It must be asked after Prove, for the
// refusal, 7002381, names the values that would do. Reported are the names of
// rules that would refuse but only report.
func CheckClaims(a *Assertion, policy *directory.FederationPolicy) (refusal *oauth.Error, reported []string) {
	for i := range policy.RequiredClaims {
		rule := &policy.RequiredClaims[i]
		if rule.Issuer != a.Issuer {
			continue
		}
		value, present, err := a.claims.String(rule.Claim)
		switch {
		case err == nil && present && slices.Contains(rule.Values, value):
			continue
		case rule.Mode == directory.ReportOnly:
			reported = append(reported, "federationPolicy.requiredClaims["+strconv.Itoa(i)+"]")
			continue
		case err != nil:
			value = "not a string"
		case !present:
			value = "none"
		}
		return oauth.Refuse(oauth.RequiredClaimMissing, oauth.ShowIssuer(a.Issuer), rule.Claim, strings.Join(rule.Values, ", "), value), reported
	}
	return nil, reported
}
