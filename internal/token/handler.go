package token

import (
	"context"
	"errors"
	"net/http"
	"time"

	"cambio/internal/audit"
	"cambio/internal/directory"
	"cambio/internal/federation"
	"cambio/internal/limit"
	"cambio/internal/oauth"
	"cambio/internal/tracing"
)

// exchange is the one event of a request: the phases fill it in, and the
// answer, the audit record and the metrics are made of it.
type exchange struct {
	door          Door
	started       time.Time
	traceID       string
	correlationID string
	source        string
	limited       limit.Kind // what had run out, so that it was not examined
	skipped       int64      // requests like it that were not recorded
	unrecorded    bool       // it is one of those

	unsourced bool // where it comes from is not known, so no ceiling may be checked against it

	request    request
	history    interface{ Stale() bool } // of what the directory said, records or that there is none
	tenant     *directory.TenantRecord
	named      *directory.ResourceRecord // the application that a SPIFFE ID as client_id named
	client     *directory.ClientRecord
	assertion  *federation.Assertion
	asked      string                  // the parameter resource; check puts the resource in its place
	sentClient string                  // the parameter client_id; a JWT-SVID puts its subject in its place
	proven     bool                    // the signature and the times of the assertion are
	provenAs   *directory.IssuerRecord // the issuer as the tenant managed it then
	credential *directory.Credential
	resource   *directory.ResourceRecord
	roles      []string
	reported   []string // rules of the tenant's policy that would have refused
	token      issued
}

// ServeTenant answers one request to a door of a tenant. TenantRef is the
// path segment: a GUID, a domain name or "adfs".
func (e *Endpoint) ServeTenant(w http.ResponseWriter, r *http.Request, door Door, tenantRef string) {
	x := e.begin(r, door)
	refusal := e.exchange(w, r, x, tenantRef)
	if x.limited != limit.None {
		e.cfg.Gate.Wait(r.Context())
	}
	x.echo(w, r)
	if refusal != nil {
		e.writeRefusal(w, x, refusal)
	} else {
		writeToken(w, x)
	}
	e.cfg.Observe(r.Context(), x.outcome(refusal, e.cfg.Clock()))
}

// exchange decides and makes the decision durable. A nil return issues the
// token.
//
// The records that a decision rests on come from memory, and a change by
// another replica may not have been heard of. That is found out when the
// decision is recorded: it is made again, once, on records that were current
// after this request began, and then stands, however busily others write. A
// caller can tell neither from a request that came a moment earlier.
func (e *Endpoint) exchange(w http.ResponseWriter, r *http.Request, x *exchange, tenantRef string) *oauth.Error {
	x.history = e.cfg.Recorder.History()
	refusal := e.decide(w, r, x, tenantRef)
	if x.limited != limit.None && !x.note(e.cfg.Gate) {
		x.unrecorded = true
		return refusal // it was not examined, and others like it are recorded
	}
	err := e.record(r.Context(), x, refusal, x)
	if errors.Is(err, ErrOutdated) {
		x.history = e.cfg.Recorder.History()
		refusal = e.decideAgain(r.Context(), x, tenantRef)
		err = e.record(r.Context(), x, refusal, x.history)
	}
	if err != nil {
		// What cannot be recorded is not issued.
		refusal = oauth.Refuse(oauth.TransientFailure).After(time.Second)
	}
	e.settle(x, refusal)
	return refusal
}

// record makes a decision durable. A caller that hangs up leaves its record
// all the same.
func (e *Endpoint) record(ctx context.Context, x *exchange, refusal *oauth.Error, basis interface{ Stale() bool }) error {
	ctx, span := tracing.Start(ctx, "record decision")
	defer span.End()
	return e.cfg.Recorder.RecordDecision(context.WithoutCancel(ctx), e.decision(x, refusal), basis)
}

// subject is what the request says of itself, as far as it is known.
func (x *exchange) subject() limit.Subject {
	s := limit.Subject{Source: x.source, Client: canonicalGUID(x.request.clientID)}
	if x.assertion != nil {
		s.Issuer = x.assertion.Issuer
	}
	return s
}

// admit refuses to examine a request whose source, client or issuer has used
// up what refusals may cost.
func (e *Endpoint) admit(x *exchange) *oauth.Error {
	if x.limited = e.cfg.Gate.Admit(x.subject()); x.limited != limit.None {
		return oauth.Refuse(oauth.TooManyRequests).After(limit.Hold)
	}
	return nil
}

// note reports whether a request that was not examined is recorded: one in a
// while, with the number of those that were not.
func (x *exchange) note(gate *limit.Gate) (say bool) {
	say, x.skipped = gate.Note(x.limited, x.started)
	return say
}

// settle takes a refusal from the allowances, or notes that a token was
// issued. What is the server's own trouble costs nobody anything.
func (e *Endpoint) settle(x *exchange, refusal *oauth.Error) {
	switch {
	case refusal == nil:
		e.cfg.Gate.Issued(x.subject())
	case refusal.Status < http.StatusInternalServerError && x.limited == limit.None:
		e.cfg.Gate.Refused(x.subject())
	}
}

// decide runs the checks in their order and signs the token.
func (e *Endpoint) decide(w http.ResponseWriter, r *http.Request, x *exchange, tenantRef string) *oauth.Error {
	var refusal *oauth.Error
	x.request, refusal = parseRequest(w, r, x)
	if limited := e.admit(x); limited != nil {
		return limited
	}
	if refusal != nil {
		return refusal
	}
	x.asked, x.sentClient = x.request.resource, x.request.clientID
	if e.cfg.SVIDs {
		x.request.takeSVIDs(r)
	}
	return e.decideFor(r.Context(), x, tenantRef)
}

// decideAgain repeats what depends on the directory.
func (e *Endpoint) decideAgain(ctx context.Context, x *exchange, tenantRef string) *oauth.Error {
	x.tenant, x.named, x.client, x.credential, x.resource, x.roles, x.reported, x.token = nil, nil, nil, nil, nil, nil, nil, issued{}
	return e.decideFor(ctx, x, tenantRef)
}

func (e *Endpoint) decideFor(ctx context.Context, x *exchange, tenantRef string) *oauth.Error {
	var refusal *oauth.Error
	if x.tenant, refusal = e.ResolveTenant(ctx, tenantRef); refusal != nil {
		return refusal
	}
	x.request.resource, x.request.clientID = x.asked, x.sentClient
	if refusal = x.request.check(x.door, x.tenant.Compat); refusal != nil {
		return refusal
	}
	if x.request.bySVID(x.tenant.Compat) {
		if refusal = e.readSVID(x); refusal != nil {
			return refusal
		}
	}
	if x.client, refusal = e.findClient(ctx, x); refusal != nil {
		return refusal
	}
	if x.assertion == nil {
		if x.assertion, refusal = federation.Parse(x.request.assertion); refusal != nil {
			return refusal
		}
	}
	if refusal = e.attempt(ctx, x); refusal != nil {
		return refusal
	}
	if refusal = e.authorize(ctx, x); refusal != nil {
		return refusal
	}
	return e.mint(ctx, x)
}

// Stale reports whether a record that the decision rests on was replaced, or
// the database was: that it holds no record leaves none to be marked.
func (x *exchange) Stale() bool {
	return x.history.Stale() || x.tenant != nil && x.tenant.Stale() || x.named != nil && x.named.Stale() || x.client != nil && x.client.Stale() || x.resource != nil && x.resource.Stale()
}

// attempt decides on the records at hand whether the assertion proves to be
// the client.
func (e *Endpoint) attempt(ctx context.Context, x *exchange) *oauth.Error {
	refusal := e.cfg.Verifier.Admit(x.assertion, x.client.ClientID, x.tenant.Compat)
	if refusal != nil {
		return refusal
	}
	if refusal = Usable(x.client); refusal != nil {
		return refusal
	}
	if x.credential, refusal = federation.Match(x.client, x.assertion, x.tenant.SetsOf(x.assertion.Issuer, e.cfg.Clock())...); refusal != nil {
		return refusal
	}
	if refusal = x.judge(federation.CheckIssuer(x.assertion, &x.tenant.Policy)); refusal != nil {
		return refusal
	}
	// A tenant that changed an issuer may have taken away the very key.
	if managed := x.tenant.Issuer(x.assertion.Issuer); !x.proven || x.provenAs != managed {
		if refusal = e.admit(x); refusal != nil { // now that the issuer is known
			return refusal
		}
		if refusal = e.prove(ctx, x, managed); refusal != nil {
			return refusal
		}
		x.proven, x.provenAs = true, managed
	}
	if refusal = x.judge(federation.CheckClaims(x.assertion, &x.tenant.Policy)); refusal != nil {
		return refusal
	}
	if c := x.credential.Ceilings; c != nil {
		return e.within(x, c)
	}
	return nil
}

// judge notes which rules of the tenant's policy only report.
func (x *exchange) judge(refusal *oauth.Error, reported []string) *oauth.Error {
	x.reported = append(x.reported, reported...)
	return refusal
}

// prove verifies the assertion.
func (e *Endpoint) prove(ctx context.Context, x *exchange, managed *directory.IssuerRecord) *oauth.Error {
	ctx, span := tracing.Start(ctx, "verify assertion")
	defer span.End()
	return e.cfg.Verifier.Prove(ctx, x.assertion, x.tenant.Compat, managed)
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
func (e *Endpoint) decision(x *exchange, refusal *oauth.Error) *audit.Decision {
	d := &audit.Decision{At: x.started, CorrelationID: x.correlationID, TraceID: x.traceID, Source: x.source, Skipped: int(x.skipped),
		ClientID: oauth.Show(x.request.clientID), Allowed: refusal == nil, Explanation: e.stored(x, refusal), ReportOnly: x.reported}
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
		d.TokenID, d.TokenKeyID, d.TokenShared, d.ExpiresAt = x.token.id, x.token.keyID, x.token.shared, x.token.expiry
	}
	return d
}

func (x *exchange) outcome(refusal *oauth.Error, now time.Time) Outcome {
	o := Outcome{Status: http.StatusOK, Limited: limit.Kinds[x.limited], Skipped: x.skipped, Unrecorded: x.unrecorded, Duration: now.Sub(x.started),
		ClientID: x.request.clientID, KnownClient: x.client != nil, Source: x.source, TraceID: x.traceID, CorrelationID: x.correlationID, Algorithm: x.token.algorithm, ReportOnly: x.reported}
	if refusal != nil {
		o.Status, o.Code, o.Reason = refusal.Status, refusal.Code, refusal.Description
	}
	if x.tenant != nil {
		o.TenantID = x.tenant.ID
	}
	if x.credential != nil {
		o.Credential = x.credential.ID
	}
	return o
}
