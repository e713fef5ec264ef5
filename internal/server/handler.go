package server

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"cambio/internal/arm"
	"cambio/internal/graph"
	"cambio/internal/management"
	"cambio/internal/oauth"
	"cambio/internal/store"
	"cambio/internal/token"
	"cambio/internal/tracing"
	"cambio/internal/trustapi"
)

// Handler answers the public listener.
func (s *Server) Handler() http.Handler {
	if s.opt.Tracer == nil {
		return http.HandlerFunc(s.serve)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, span := s.opt.Tracer.Request(r)
		defer span.End()
		recorder := &statusWriter{ResponseWriter: w}
		s.serve(recorder, r)
		span.Number("http.response.status_code", recorder.status)
		if recorder.status >= http.StatusInternalServerError {
			span.Fail("")
		}
	})
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	defer s.recover(w, r)
	m := s.router.find(r)
	if m.route != nil {
		tracing.Of(r.Context()).Route(r, m.route.pattern)
	}
	switch {
	case m.route == nil || m.route.open != nil && !m.route.exchange:
		s.serveOther(w, r, m)
	case m.route.exchange:
		m.route.open(w, r, m.params)
	default:
		s.serveManaged(w, r, m)
	}
}

// serveOther answers what is neither an exchange nor management.
func (s *Server) serveOther(w http.ResponseWriter, r *http.Request, m match) {
	recorder := &statusWriter{ResponseWriter: w}
	ids := token.NewErrorContext(s.opt.BaseURL, r, s.opt.Clock())
	event := request{message: "request", traceID: ids.TraceID, correlationID: ids.CorrelationID, began: time.Now()}
	switch {
	case m.route != nil:
		event.pattern = m.route.pattern
		m.route.open(recorder, r, m.params)
	case m.found:
		s.methodNotAllowed(recorder, r, m, ids)
	default:
		s.notFound(recorder, r, ids)
	}
	event.status = recorder.status
	s.logRequest(r, event)
}

// recover keeps a panic to its own request. The stack is for the log; the
// caller learns nothing of it.
func (s *Server) recover(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	s.opt.Log.Error("a request failed inside the server", "panic", p, "method", r.Method, "stack", stack())
	s.refuse(w, r, oauth.Refuse(oauth.TransientFailure))
}

// serveManaged runs a handler of a management API for an authenticated caller
// who holds the route's permission.
func (s *Server) serveManaged(w http.ResponseWriter, r *http.Request, m match) {
	recorder := &statusWriter{ResponseWriter: w}
	ids := token.NewErrorContext(s.opt.BaseURL, r, s.opt.Clock())
	call := &management.Call{Params: m.params, RequestID: ids.TraceID, CorrelationID: ids.CorrelationID}
	began := time.Now()
	defer func() {
		s.metrics.Management(apiNames[m.route.api], cmp.Or(recorder.status, http.StatusServiceUnavailable), time.Since(began))
		s.logRequest(r, request{message: "management request", pattern: m.route.pattern, status: recorder.status, traceID: ids.TraceID, correlationID: ids.CorrelationID,
			tenant: call.Tenant.ID, client: call.Caller.AppID, began: began})
	}()
	if s.opt.DB.Replicated() {
		s.confirmed(recorder, r, call, m.route.api, func(w http.ResponseWriter) { s.answerManaged(w, r, m, call) })
		return
	}
	s.answerManaged(recorder, r, m, call)
}

// answerManaged authenticates the caller, and answers.
func (s *Server) answerManaged(w http.ResponseWriter, r *http.Request, m match, call *management.Call) {
	tenant, caller, err := s.authenticate(r)
	switch {
	case errors.Is(err, errUnauthenticated):
		s.challenge(w)
		fail(w, m.route.api, http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token validation failure: "+err.Error()+".", call)
	case err != nil:
		s.opt.Log.Error("a caller could not be authenticated", "error", err)
		w.Header().Set("Retry-After", "1")
		fail(w, m.route.api, http.StatusServiceUnavailable, "ServiceUnavailable", "The directory cannot be read at the moment. Try again.", call)
	case !caller.Holds(m.route.permission):
		fail(w, m.route.api, http.StatusForbidden, "Authorization_RequestDenied",
			"Insufficient privileges to complete the operation. It takes the app role '"+string(m.route.permission)+"' of the management resource.", call)
	case !s.allowances[m.route.rate].Allow(tenant.ID, caller.PrincipalID):
		w.Header().Set("Retry-After", "1")
		fail(w, m.route.api, http.StatusTooManyRequests, "TooManyRequests",
			"The caller sent more "+string(m.route.rate)+" requests than its allowance. Send this one again after a second.", call)
	case !m.route.conditional && guarded(r):
		fail(w, m.route.api, http.StatusBadRequest, "Request_BadRequest", management.NoPreconditionsMessage, call)
	default:
		call.Tenant, call.Caller = tenant, caller
		call.Remaining = s.allowances[m.route.rate].Left(tenant.ID, caller.PrincipalID)
		call.StillAllowed = func(ctx context.Context) (err error) {
			if call.Caller, err = s.stillAllowed(ctx, r, caller, m.route.permission); errors.Is(err, management.ErrNoLongerAllowed) {
				s.challenge(w)
			}
			return err
		}
		s.manage(w, r, m.route, call)
	}
}

// manage runs the handler of a route; reads take their turn.
func (s *Server) manage(w http.ResponseWriter, r *http.Request, rt *route, call *management.Call) {
	if rt.rate == management.RateRead {
		leave, err := s.pacer.enter(r.Context())
		if err != nil {
			return // the caller has gone
		}
		defer leave()
	}
	rt.managed(w, r, call)
}

// challenge says how to authenticate, as every 401 must (RFC 9110 §15.5.2).
func (s *Server) challenge(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer authorization_uri="`+s.opt.BaseURL+`/common/oauth2/authorize", error="invalid_token"`)
}

// guarded reports whether a write depends on an entity tag. Reads that show no
// tags may be asked for with one: they are always answered in full.
func guarded(r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return false
	}
	return r.Header.Get("If-Match") != "" || r.Header.Get("If-None-Match") != ""
}

// fail answers in the error shape of the API that the route belongs to.
func fail(w http.ResponseWriter, a api, status int, code, message string, call *management.Call) {
	if a == armAPI {
		if as, ok := armCodes[code]; ok {
			code = as
		}
		if status == http.StatusMethodNotAllowed {
			code = "MethodNotAllowed"
		}
		arm.WriteError(w, status, code, message, call)
		return
	}
	if a == trustAPI || a == auditAPI {
		trustapi.WriteError(w, status, code, message, call)
		return
	}
	graph.WriteError(w, status, code, message, call)
}

// armCodes are Azure Resource Manager's words for what Graph calls otherwise.
var armCodes = map[string]string{
	"InvalidAuthenticationToken":  "AuthenticationFailed",
	"Authorization_RequestDenied": "AuthorizationFailed",
	"Request_BadRequest":          "BadRequest",
}

// apiOf guesses the API of a path that has no route, for the error's shape.
func apiOf(r *http.Request) api {
	first, _, _ := strings.Cut(strings.TrimLeft(r.URL.Path, "/"), "/")
	switch strings.ToLower(first) {
	case "v1.0", "beta":
		return graphAPI
	case "subscriptions", "providers", "tenants", "metadata":
		return armAPI
	case "trust":
		return trustAPI
	case "audit":
		return auditAPI
	}
	return login
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request, ids token.ErrorContext) {
	call := &management.Call{RequestID: ids.TraceID, CorrelationID: ids.CorrelationID}
	switch a := apiOf(r); a {
	case graphAPI, trustAPI, auditAPI:
		fail(w, a, http.StatusNotFound, "Request_ResourceNotFound", "There is nothing at this path.", call)
	case armAPI:
		fail(w, a, http.StatusNotFound, "InvalidResourceType", "There is nothing at this path.", call)
	default:
		refusal := oauth.Refuse(oauth.MalformedRequest, "there is nothing at this path").Answered(oauth.InvalidRequest, http.StatusNotFound)
		refusal.URI = false // the page is about forms
		token.WriteError(w, refusal, ids)
	}
}

func (s *Server) methodNotAllowed(w http.ResponseWriter, r *http.Request, m match, ids token.ErrorContext) {
	slices.Sort(m.allowed)
	w.Header().Set("Allow", strings.Join(m.allowed, ", "))
	call := &management.Call{RequestID: ids.TraceID, CorrelationID: ids.CorrelationID}
	switch a := apiOf(r); {
	case a != login:
		fail(w, a, http.StatusMethodNotAllowed, "Request_BadRequest", "This path takes "+strings.Join(m.allowed, ", ")+".", call)
	case slices.Contains(m.allowed, http.MethodPost):
		token.WriteError(w, oauth.Refuse(oauth.PostOnly, r.Method), ids)
	default:
		token.WriteError(w, oauth.Refuse(oauth.MalformedRequest, "this path takes "+strings.Join(m.allowed, ", ")).Answered(oauth.InvalidRequest, http.StatusMethodNotAllowed), ids)
	}
}

// OperationsHandler answers the operations listener. It has no
// authentication and shows nothing that needs one.
func (s *Server) OperationsHandler() http.Handler {
	mux := http.NewServeMux()
	plain := func(status int, text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		}
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(http.StatusOK, "ok\n")(w) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := s.Ready(r.Context()); err != nil {
			s.opt.Log.Error("not ready", "error", err)
			plain(http.StatusServiceUnavailable, "not ready: the database or the signing keys cannot be used; the log says more\n")(w)
			return
		}
		plain(http.StatusOK, "ok\n")(w)
	})
	mux.Handle("GET /metrics", s.metrics.Handler())
	return mux
}

// Ready reports whether requests can be served: the database answers, the last
// write was stored, and the signing keys are those of the database. While
// writes fail, asking tries one, so that recovery is noticed without traffic.
func (s *Server) Ready(ctx context.Context) error {
	if s.keysUnread.Load() {
		return errors.New("the signing keys could not be read")
	}
	if s.opt.DB.WriteFailed() {
		return s.opt.DB.Write(ctx, store.Change{Via: "readiness", Action: "database.probe"}, func(*store.Tx) error { return nil })
	}
	_, err := s.opt.DB.FeedPosition(ctx)
	return err
}
