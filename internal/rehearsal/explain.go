package rehearsal

import (
	"time"

	"cambio/internal/directory"
	"cambio/internal/explain"
	"cambio/internal/federation"
	"cambio/internal/oauth"
	"cambio/internal/token"
)

// Explain says what would be decided about a token for a client, but for the
// signature, which nobody looks at here: the issuer is not asked for its keys.
// client is nil when the tenant has none of that id.
func Explain(tenant *directory.TenantRecord, client *directory.ClientRecord, presented string, at time.Time) *explain.Explanation {
	in := &explain.Input{At: at, Token: explain.ReadToken(presented), Client: client, Compat: tenant.Compat, Policy: &tenant.Policy,
		Algorithms: federation.Algorithms(tenant.Compat), Signature: explain.SignatureNotChecked}
	assertion, refusal := federation.Parse(presented)
	if assertion != nil {
		in.Managed = tenant.Issuer(assertion.Issuer)
		in.Sets, in.ClosedSets = tenant.SetsOf(assertion.Issuer, at), tenant.ClosedSetsOf(assertion.Issuer, at)
	}
	switch {
	case client == nil:
		refusal = oauth.Refuse(oauth.ClientNotFound, "", tenant.DisplayName)
	case refusal == nil:
		in.Credential, refusal = judgeToken(tenant, client, assertion, in.Sets, at)
	}
	if refusal != nil {
		in.Code = refusal.Code
	}
	return explain.Explain(in)
}

func judgeToken(tenant *directory.TenantRecord, client *directory.ClientRecord, a *federation.Assertion, sets []string, at time.Time) (*directory.Credential, *oauth.Error) {
	if refusal := token.Usable(client); refusal != nil {
		return nil, refusal
	}
	credential, refusal := federation.Match(client, a, sets...)
	if refusal != nil {
		return nil, refusal
	}
	if refusal, _ := federation.CheckIssuer(a, &tenant.Policy); refusal != nil {
		return credential, refusal
	}
	if refusal := federation.CheckTimes(a, at); refusal != nil {
		return credential, refusal
	}
	if refusal, _ := federation.CheckClaims(a, &tenant.Policy); refusal != nil {
		return credential, refusal
	}
	if c := credential.Ceilings; c != nil && !c.Open(at) {
		return credential, oauth.Refuse(oauth.CredentialOutsideWindow, "", "", "")
	}
	if c := credential.Ceilings; c != nil && c.ReportOnly {
		return credential, oauth.Refuse(oauth.CredentialReportOnly)
	}
	return credential, nil
}
