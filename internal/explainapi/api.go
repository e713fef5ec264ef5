// Package explainapi answers, over the network, why a token was accepted or
// refused, and what would be decided about one now.
//
// It trusts the management.Call it is given and nothing else of a request.
// Explanations are for those who own the rule: readers of the audit trail,
// administrators of all applications, and owners of the one in question.
package explainapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"cambio/internal/explain"
	"cambio/internal/management"
	"cambio/internal/oauth"
	"cambio/internal/store"
	"cambio/internal/token"
	"cambio/internal/trustapi"
)

// Config is what the API needs. DB, Explain and BaseURL are required.
type Config struct {
	DB      *store.DB
	Explain func(context.Context, token.Question) (*explain.Input, *oauth.Error) // decides about a token and issues nothing
	BaseURL string                                                               // public origin, which next links begin with
	Logger  *slog.Logger                                                         // gets internal failures; nil: slog.Default()
}

const recordedPath = "/audit/v1/explanations"

// lookElsewhere is how long the credentials of other identities are searched
// for one that trusts the token.
const lookElsewhere = 250 * time.Millisecond

// Routes lists the API's routes.
func Routes(cfg Config) []management.Route {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	a := &api{cfg, make(chan struct{}, 1)}
	return []management.Route{
		{Method: http.MethodGet, Pattern: recordedPath, Permission: management.Authenticated, Rate: management.RateRead, Handler: a.handle(a.recorded)},
		{Method: http.MethodPost, Pattern: "/audit/v1/explain", Permission: management.Authenticated, Rate: management.RateRead, Handler: a.handle(a.live)},
	}
}

// api looks through the audit trail for one caller at a time.
type api struct {
	Config
	looking chan struct{}
}

// problem is an answer that is not a success. Its message is safe to show.
type problem struct {
	status        int
	code, message string
}

func (p *problem) Error() string { return p.message }

func badRequest(message string) error {
	return &problem{http.StatusBadRequest, "Request_BadRequest", message}
}

func (a *api) handle(serve func(*http.Request, http.ResponseWriter, *management.Call) (any, error)) management.Handler {
	return func(w http.ResponseWriter, r *http.Request, call *management.Call) {
		answer, err := any(nil), denied()
		if readsAll(call.Caller) || call.Caller.Holds(management.ApplicationReadWriteOwnedBy) {
			answer, err = serve(r, w, call)
		}
		if err != nil {
			a.fail(w, r, err, call)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("request-id", call.RequestID)
		h.Set("client-request-id", call.CorrelationID)
		_ = json.MarshalWrite(w, answer, json.Deterministic(true)) // a lost connection is nobody's news
	}
}

func (a *api) fail(w http.ResponseWriter, r *http.Request, err error, call *management.Call) {
	var p *problem
	var body *management.BodyError
	switch {
	case errors.As(err, &p):
		trustapi.WriteError(w, p.status, p.code, p.message, call)
		return
	case errors.As(err, &body):
		trustapi.WriteError(w, body.Status, "Request_BadRequest", body.Message, call)
		return
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		trustapi.WriteError(w, http.StatusServiceUnavailable, "serviceNotAvailable", "The service is busy. Try again.", call)
		return
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrClosed):
		trustapi.WriteError(w, http.StatusServiceUnavailable, "serviceNotAvailable", "The service cannot read anything now. Try again later.", call)
	default:
		trustapi.WriteError(w, http.StatusInternalServerError, "InternalServerError", "The service failed. The request-id identifies the log entry.", call)
	}
	a.Logger.Error("management request failed", "request_id", call.RequestID, "path", r.URL.Path, "error", err)
}

// readsAll reports whether a caller may know of every client of its tenant.
func readsAll(caller management.Caller) bool {
	return caller.Holds(management.AuditLogReadAll) || caller.Holds(management.ApplicationReadWriteAll)
}

// mayRead reports whether the caller may know what is decided about a client.
func (a *api) mayRead(ctx context.Context, call *management.Call, clientID string) (bool, error) {
	switch {
	case readsAll(call.Caller):
		return true, nil
	case clientID == call.Caller.AppID:
		return true, nil
	}
	return a.DB.Owns(ctx, call.Tenant.ID, call.Caller.PrincipalID, "", clientID)
}

func denied() error {
	return &problem{http.StatusForbidden, "Authorization_RequestDenied",
		"Insufficient privileges to complete the operation. Explanations are for holders of AuditLog.Read.All or Application.ReadWrite.All, and with Application.ReadWrite.OwnedBy for owners of the application."}
}

// list is the answer to a look through the audit trail.
type list struct {
	Explanations []*explain.Explanation `json:"explanations"`
	NextLink     string                 `json:"nextLink,omitzero"` // goes on with older decisions
}

// recorded explains decisions of the audit trail.
func (a *api) recorded(r *http.Request, _ http.ResponseWriter, call *management.Call) (any, error) {
	guid, before, err := parse(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest(err.Error())
	}
	page, err := a.decisions(r.Context(), call.Tenant.ID, guid, before)
	if err != nil {
		return nil, err
	}
	answer := list{Explanations: []*explain.Explanation{}}
	for i := range page.Records {
		record := &page.Records[i]
		// A record of somebody else's client is as good as none.
		if may, err := a.mayRead(r.Context(), call, record.ClientID); err != nil || !may {
			if err != nil {
				return nil, err
			}
			continue
		}
		e, err := restore(record)
		if err != nil {
			return nil, err
		}
		a.addElsewhere(r.Context(), call, e, subjectOf(record))
		answer.Explanations = append(answer.Explanations, e)
	}
	if page.More {
		answer.NextLink = a.BaseURL + recordedPath + "?" + url.Values{"id": {guid}, "before": {strconv.FormatInt(page.Before, 10)}}.Encode()
	}
	return answer, nil
}

func (a *api) decisions(ctx context.Context, tenantID, guid string, before int64) (store.DecisionPage, error) {
	select {
	case a.looking <- struct{}{}:
		defer func() { <-a.looking }()
		return a.DB.Decisions(ctx, tenantID, guid, before)
	case <-ctx.Done():
		return store.DecisionPage{}, ctx.Err()
	}
}

// parse reads the query. Errors are safe to show.
func parse(raw string) (guid string, before int64, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", 0, errors.New("The query cannot be read.")
	}
	for name, list := range values {
		switch {
		case name != "id" && name != "before":
			return "", 0, errors.New("A parameter of the query is not known. There are id and before.")
		case len(list) != 1:
			return "", 0, errors.New("The parameter " + name + " is there more than once.")
		}
	}
	guid = values.Get("id")
	if len(guid) != 36 || uuid.Validate(guid) != nil {
		return "", 0, errors.New("The parameter id must be a correlation id or a trace id, a GUID as the refusal shows it.")
	}
	if text := values.Get("before"); text != "" {
		if before, err = strconv.ParseInt(text, 10, 64); err != nil || before < 1 {
			return "", 0, errors.New("The parameter before must be the id of a record.")
		}
	}
	return uuid.MustParse(guid).String(), before, nil
}

// asked is the body of a question about a token.
type asked struct {
	ClientID string `json:"clientId"`
	Token    string `json:"token"`
	Resource string `json:"resource"`
	Source   string `json:"source"`
}

// live explains what would be decided about a token now.
func (a *api) live(r *http.Request, w http.ResponseWriter, call *management.Call) (any, error) {
	body, err := management.ReadJSONBody(w, r)
	if err != nil {
		return nil, err
	}
	var q asked
	if err := json.Unmarshal(body, &q, json.RejectUnknownMembers(true)); err != nil {
		return nil, badRequest("The body must be a JSON object with the strings clientId and token, and, if wanted, resource and source.")
	}
	client, err := uuid.Parse(q.ClientID)
	if err != nil || len(q.ClientID) != 36 || q.Token == "" {
		return nil, badRequest("clientId must be a client id, a GUID, and token the token.")
	}
	if may, err := a.mayRead(r.Context(), call, client.String()); err != nil || !may {
		return nil, errors.Join(err, denied())
	}
	in, refusal := a.Explain(r.Context(), token.Question{TenantID: call.Tenant.ID, ClientID: client.String(), Assertion: q.Token, Resource: q.Resource, Source: q.Source})
	if in == nil || refusal != nil && (refusal.Code == oauth.TransientFailure || refusal.Code == oauth.TooManyRequests) {
		return nil, &problem{http.StatusServiceUnavailable, "serviceNotAvailable", "The service is busy. Try again."}
	}
	if err := a.addKeys(r.Context(), in); err != nil {
		return nil, err
	}
	e := explain.Explain(in)
	a.addElsewhere(r.Context(), call, e, in.Subject())
	return e, nil
}

// addKeys adds the history of the keys of a managed issuer.
func (a *api) addKeys(ctx context.Context, in *explain.Input) error {
	if in.Managed == nil {
		return nil
	}
	keys, err := a.DB.IssuerKeys(ctx, in.Managed.ID)
	for _, k := range keys {
		in.Keys = append(in.Keys, explain.KeySeen{Thumbprint: k.Thumbprint, KeyID: k.KeyID, FirstSeen: k.FirstSeen, LastSeen: k.LastSeen, Current: k.Current})
	}
	return err
}

// addElsewhere looks for another identity that trusts the token, which was
// probably meant. Only its owners are told which one it is.
func (a *api) addElsewhere(ctx context.Context, call *management.Call, e *explain.Explanation, subject string) {
	if !e.MayBeElsewhere() || subject == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookElsewhere)
	defer cancel()
	holder, err := a.DB.TrustedElsewhere(ctx, call.Tenant.ID, e.Issuer.Presented, subject, e.Client.ID)
	if err != nil {
		return // there is none, or it takes too long to know
	}
	other := &explain.Elsewhere{}
	if may, err := a.mayRead(ctx, call, holder.ClientID); err == nil && may {
		*other = explain.Elsewhere{ClientID: holder.ClientID, Identity: holder.DisplayName, Credential: holder.Credential}
	}
	e.MeantElsewhere(other)
}
