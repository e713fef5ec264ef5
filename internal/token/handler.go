package token

import (
	"context"
	"errors"
	"net/http"
	"time"

	"cambio/internal/audit"
	"cambio/internal/directory"
	"cambio/internal/federation"
	"cambio/internal/oauth"
)

// exchange is the one event of a request: the phases fill it in, and the
// answer, the audit record and the metrics are made of it.
type exchange struct {
	door          Door
	started       time.Time
	traceID       string
	correlationID string
	source        string

	request    request
	tenant     *directory.TenantRecord
	client     *directory.ClientRecord
	assertion  *federation.Assertion
	proven     bool
	unfit      bool // refused for what the assertion is, whatever the client's record says
	credential *directory.Credential
	resource   *directory.ResourceRecord
	roles      []string
	token      issued
}

// ServeTenant answers one request to a door of a tenant. TenantRef is the
// path segment: a GUID, a domain name or "adfs".
func (e *Endpoint) ServeTenant(w http.ResponseWriter, r *http.Request, door Door, tenantRef string) {
	x := e.begin(r, door)
	refusal := e.exchange(w, r, x, tenantRef)
	if refusal == nil {
		refusal = e.mint(x)
	}
	// A caller that hangs up leaves its record all the same.
	if err := e.cfg.Recorder.RecordDecision(context.WithoutCancel(r.Context()), x.decision(refusal)); err != nil {
		// What cannot be recorded is not issued.
		refusal = oauth.Refuse(oauth.TransientFailure).After(time.Second)
	}
	x.echo(w, r)
	if refusal != nil {
		e.writeRefusal(w, x, refusal)
	} else {
		writeToken(w, x)
	}
	e.cfg.Observe(x.outcome(refusal, e.cfg.Clock()))
}

// exchange runs the checks in their order. A nil return allows the token.
func (e *Endpoint) exchange(w http.ResponseWriter, r *http.Request, x *exchange, tenantRef string) *oauth.Error {
	var refusal *oauth.Error
	if x.request, refusal = parseRequest(w, r, x); refusal != nil {
		return refusal
	}
	ctx := r.Context()
	if x.tenant, refusal = e.ResolveTenant(ctx, tenantRef); refusal != nil {
		return refusal
	}
	if refusal = x.request.check(x.door, x.tenant.Compat); refusal != nil {
		return refusal
	}
	if x.client, refusal = e.findClient(ctx, x); refusal != nil {
		return refusal
	}
	if x.assertion, refusal = federation.Parse(x.request.assertion); refusal != nil {
		return refusal
	}
	return e.decide(ctx, x)
}

// decide makes the decision rest on the state of the directory during this
// request. A refusal that rests on the client's record is given only when the
// database confirmed that record meanwhile; a permission only on records that
// were not replaced while the issuer's keys were fetched. It takes three passes
// at most: the proof of an assertion is not repeated, and what a pass finds on
// a fresh record stands, however busily others write.
func (e *Endpoint) decide(ctx context.Context, x *exchange) *oauth.Error {
	for fresh := false; ; fresh = true {
		quick := x.proven // no fetch can happen in this pass
		refusal := e.attempt(ctx, x)
		if refusal == nil && (fresh && quick || !x.stale()) {
			return nil
		}
		if refusal != nil && (fresh || x.unfit) {
			return refusal
		}
		newest, err := e.cfg.Directory.Confirm(ctx, x.client)
		if err != nil {
			return e.directoryRefusal(err, x)
		}
		if newest == x.client && refusal != nil {
			return refusal
		}
		x.client = newest
		if x.tenant.Stale() {
			if x.tenant, refusal = e.ResolveTenant(ctx, x.tenant.ID); refusal != nil {
				return refusal
			}
		}
	}
}

// stale reports whether a record that the permission rests on was replaced.
func (x *exchange) stale() bool { return x.client.Stale() || x.resource.Stale() || x.tenant.Stale() }

// attempt decides on the records at hand.
func (e *Endpoint) attempt(ctx context.Context, x *exchange) *oauth.Error {
	// What an earlier pass found is not this one's.
	x.credential, x.resource, x.roles = nil, nil, nil
	refusal := e.cfg.Verifier.Admit(x.assertion, x.client.ClientID, x.tenant.Compat)
	if refusal != nil {
		x.unfit = true
		return refusal
	}
	if refusal = Usable(x.client); refusal != nil {
		return refusal
	}
	if x.credential, refusal = federation.Match(x.client, x.assertion); refusal != nil {
		return refusal
	}
	if x.tenant.Policy.Disabled {
		return oauth.Refuse(oauth.FederationDisabled)
	}
	if !x.proven {
		if refusal = e.cfg.Verifier.Prove(ctx, x.assertion, x.tenant.Compat); refusal != nil {
			x.unfit = true
			return refusal
		}
		x.proven = true
	}
	if refusal = federation.CheckClaims(x.assertion, &x.tenant.Policy); refusal != nil {
		return refusal
	}
	return e.authorize(ctx, x)
}

// directoryRefusal answers for a directory that gave no record.
func (e *Endpoint) directoryRefusal(err error, x *exchange) *oauth.Error {
	switch {
	case errors.Is(err, ErrNotFound):
		return oauth.Refuse(oauth.ClientNotFound, x.request.clientID, x.tenant.DisplayName)
	case errors.Is(err, ErrThrottled):
		return oauth.Refuse(oauth.TooManyRequests).After(time.Second)
	}
	return oauth.Refuse(oauth.TransientFailure).After(time.Second)
}

// decision is the audit record of the exchange.
func (x *exchange) decision(refusal *oauth.Error) *audit.Decision {
	d := &audit.Decision{At: x.started, CorrelationID: x.correlationID, TraceID: x.traceID, Source: x.source,
		ClientID: oauth.Show(x.request.clientID), Allowed: refusal == nil}
	if refusal != nil {
		d.Code = int(refusal.Code)
	}
	if x.tenant != nil {
		d.TenantID = x.tenant.ID
	}
	if a := x.assertion; a != nil {
		d.Issuer, d.Subject, d.Audiences = a.Issuer, a.Subject, a.Audiences
		d.KeyID, d.Algorithm, d.AssertionHash = a.KeyID(), a.Algorithm(), a.Hash
	}
	if x.credential != nil {
		d.CredentialID, d.CredentialName = x.credential.ID, x.credential.Name
	}
	d.Resource = oauth.Show(x.request.resource) // as asked for, until it is found
	if x.resource != nil {
		d.Resource, d.Roles = x.resource.AppID, x.roles
	}
	if refusal == nil {
		d.TokenID, d.TokenKeyID, d.ExpiresAt = x.token.id, x.token.keyID, x.token.expiry
	}
	return d
}

func (x *exchange) outcome(refusal *oauth.Error, now time.Time) Outcome {
	o := Outcome{Duration: now.Sub(x.started), ClientID: x.request.clientID, TraceID: x.traceID, Algorithm: x.token.algorithm}
	if refusal != nil {
		o.Code, o.Reason = refusal.Code, refusal.Description
	}
	if x.tenant != nil {
		o.TenantID = x.tenant.ID
	}
	if x.credential != nil {
		o.Credential = x.credential.ID
	}
	return o
}
