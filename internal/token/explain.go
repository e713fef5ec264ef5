package token

import (
	"context"
	"errors"

	"cambio/internal/explain"
	"cambio/internal/federation"
	"cambio/internal/limit"
	"cambio/internal/oauth"
)

// stored is what the audit record keeps of the reasons: for a refusal its
// explanation, for an issued token what is kept of the assertion's claims, by
// which the decision can be made again. A request that was not examined has no
// reasons.
func (e *Endpoint) stored(x *exchange, refusal *oauth.Error) []byte {
	switch {
	case x.tenant == nil || x.limited != limit.None, refusal != nil && !e.explaining.AllowN(x.started, 1):
		return nil
	case refusal == nil:
		return explain.Accepted(e.input(x, nil))
	}
	return explain.Explain(e.input(x, refusal)).Stored()
}

// input is what the decision rested on.
func (e *Endpoint) input(x *exchange, refusal *oauth.Error) *explain.Input {
	in := &explain.Input{At: x.started, Source: x.source, Client: x.client, Credential: x.credential, Compat: x.tenant.Compat, Policy: &x.tenant.Policy}
	if a := x.assertion; a != nil {
		in.Token = &explain.Token{Algorithm: a.Algorithm(), KeyID: a.KeyID(), Claims: a.Claims()}
		in.Managed, in.Sets = x.tenant.Issuer(a.Issuer), x.tenant.SetsOf(a.Issuer, x.started)
	} else {
		in.Token = explain.ReadToken(x.request.assertion)
	}
	if refusal == nil {
		return in
	}
	in.Code, in.Algorithms = refusal.Code, federation.Algorithms(x.tenant.Compat)
	if in.Managed != nil && len(in.Managed.Algorithms) > 0 {
		in.Algorithms = in.Managed.Algorithms
	}
	if x.assertion != nil {
		in.ClosedSets = x.tenant.ClosedSetsOf(x.assertion.Issuer, x.started)
	}
	var unavailable *federation.UnavailableError
	if errors.As(refusal.Cause, &unavailable) {
		in.Fetch = &explain.Fetch{URL: unavailable.URL, Document: unavailable.Document, Reason: unavailable.Kind, Text: unavailable.Reason, Temporary: unavailable.Temporary}
	}
	return in
}

// Question is a token about which is asked what would be decided.
type Question struct {
	TenantID  string
	ClientID  string
	Assertion string
	Resource  string // identifier URI or appId; empty: only whether the token proves to be the client
	Source    string // network address that it would come from; empty: from anywhere
}

// Explain decides about a token as the endpoint would at this moment, but
// issues and records nothing. It returns what the decision rested on.
func (e *Endpoint) Explain(ctx context.Context, q Question) (*explain.Input, *oauth.Error) {
	x := &exchange{started: e.cfg.Clock(), source: q.Source, unsourced: q.Source == "", history: e.cfg.Recorder.History()}
	x.request = request{clientID: q.ClientID, assertion: q.Assertion, resource: q.Resource}
	var refusal *oauth.Error
	if x.tenant, refusal = e.ResolveTenant(ctx, q.TenantID); refusal != nil {
		return nil, refusal
	}
	refusal = e.answer(ctx, x)
	return e.input(x, refusal), refusal
}

func (e *Endpoint) answer(ctx context.Context, x *exchange) (refusal *oauth.Error) {
	if x.client, refusal = e.findClient(ctx, x); refusal != nil {
		return refusal
	}
	if x.assertion, refusal = federation.Parse(x.request.assertion); refusal != nil {
		return refusal
	}
	if refusal = e.attempt(ctx, x); refusal != nil {
		return refusal
	}
	if x.request.resource == "" {
		return x.reportOnly()
	}
	return e.authorize(ctx, x)
}
