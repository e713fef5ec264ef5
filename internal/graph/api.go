package graph

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
)

// Config is what the API needs. DB and BaseURL are required.
type Config struct {
	DB      *store.DB
	BaseURL string // public base URL; no request header ever changes it

	// CheckIssuer decides whether an issuer may be contacted at all. Its error
	// text is shown to the caller. When nil, no issuer may.
	CheckIssuer func(issuer string) error

	// ManagementAppID gives the appId of a tenant's management resource, or "".
	// That application cannot be deleted, disabled or stripped, by anybody,
	// through this API. Nil: no tenant has one.
	ManagementAppID func(tenantID string) string

	// PageKey authenticates page tokens; see management.NewPageTokens.
	PageKey []byte

	Logger *slog.Logger     // gets internal failures; nil: slog.Default()
	Clock  func() time.Time // nil: time.Now
}

// API is the Graph-shaped management API. It holds no state but its
// configuration and may be used by any number of goroutines.
type API struct {
	db              *store.DB
	baseURL         string // without a trailing slash
	checkIssuer     func(string) error
	managementAppID func(string) string
	pages           *management.PageTokens
	logger          *slog.Logger
	now             func() time.Time
}

// New makes the API.
func New(cfg Config) *API {
	a := &API{
		db: cfg.DB, baseURL: strings.TrimRight(cfg.BaseURL, "/"), checkIssuer: cfg.CheckIssuer, managementAppID: cfg.ManagementAppID,
		pages: management.NewPageTokens(cfg.PageKey), logger: cfg.Logger, now: cfg.Clock,
	}
	if a.managementAppID == nil {
		a.managementAppID = func(string) string { return "" }
	}
	if a.logger == nil {
		a.logger = slog.Default()
	}
	if a.now == nil {
		a.now = time.Now
	}
	return a
}

// surface is the API under one of its two version prefixes.
type surface struct {
	*API
	version string // "v1.0" or "beta"
}

// request is one call of one route.
type request struct {
	*surface
	w          http.ResponseWriter
	r          *http.Request
	call       *management.Call
	conditions management.Preconditions
}

// handle makes a handler that writes what the step returns as an error.
func (s *surface) handle(step func(*request) error) management.Handler {
	return func(w http.ResponseWriter, r *http.Request, c *management.Call) {
		q := &request{surface: s, w: w, r: r, call: c}
		setHeaders(w.Header(), c)
		var err error
		if q.conditions, err = management.ReadPreconditions(r.Header); err == nil {
			err = step(q)
		}
		if err == nil {
			return
		}
		if errors.Is(err, errNotModified) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		p, internal := problemOf(q.conceal(err))
		if internal {
			s.logger.Error("management request failed", "request_id", c.RequestID, "path", r.URL.Path, "error", err)
		}
		writeProblem(w, p, c, s.now())
	}
}

// write runs a mutation as one transaction with its audit row.
func (q *request) write(action, target string, fn func(*store.Tx) error) error {
	if check := q.call.StillAllowed; check != nil {
		if err := check(q.r.Context()); err != nil {
			return err
		}
	}
	return q.db.Write(q.r.Context(), store.Change{
		TenantID: q.call.Tenant.ID, PrincipalID: q.call.Caller.PrincipalID, ClientID: q.call.Caller.AppID,
		Via: "graph", CorrelationID: q.call.CorrelationID, Action: action, Target: target,
	}, fn)
}

// errNotModified ends a GET whose If-None-Match names what would be shown.
var errNotModified = errors.New("not modified")

// show answers with one object, as entity does, and with the ETag of what it
// shows.
func (q *request) show(shown any, contextPath string, o object) error {
	if _, err := selection(q.r); err != nil {
		return err
	}
	tag := management.ETag(shown)
	q.w.Header().Set("ETag", tag)
	if q.conditions.NotModified(tag) {
		return errNotModified
	}
	return q.entity(contextPath, o)
}

// guard refuses a write to an object that is not what the request asks for.
// It must be asked within the write.
func (q *request) guard(object any) error { return q.hold(management.ETag(object)) }

// guardAbsent is guard for an object that the write would create.
func (q *request) guardAbsent() error { return q.hold("") }

func (q *request) hold(tag string) error {
	if q.conditions.Hold(tag) {
		return nil
	}
	return &Problem{http.StatusPreconditionFailed, management.CodePreconditionFailed, management.PreconditionFailedMessage}
}

// same reports whether a change would leave an object as it is. Then nothing
// is written, and no compiled record is dropped for it.
func same(before, after any) bool { return management.ETag(before) == management.ETag(after) }

func (q *request) noContent() error {
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// entity answers with one object. contextPath is the part of the context URL
// after $metadata#, for example applications.
func (q *request) entity(contextPath string, o object) error {
	selected, err := selection(q.r)
	if err != nil {
		return err
	}
	if len(selected) > 0 {
		contextPath += "(" + strings.Join(selected, ",") + ")"
	}
	writeJSON(q.w, http.StatusOK, q.withContext(contextPath+"/$entity", o.pick(selected)))
	return nil
}

// created answers a POST. path is that of the new object, below the version.
func (q *request) created(contextPath, path string, o object) error {
	q.w.Header().Set("Location", q.baseURL+"/"+q.version+path)
	writeJSON(q.w, http.StatusCreated, q.withContext(contextPath+"/$entity", o))
	return nil
}

func (q *request) withContext(path string, o object) object {
	return append(object{{"@odata.context", q.baseURL + "/" + q.version + "/$metadata#" + path}}, o...)
}

// page answers with a list. next is the position after its last object when
// there are more.
func (q *request) page(contextPath string, opts query, values []object, next string, total int) error {
	if len(opts.selected) > 0 {
		contextPath += "(" + strings.Join(opts.selected, ",") + ")"
	}
	answer := q.withContext(contextPath, nil)
	if opts.count {
		answer = append(answer, member{"@odata.count", total})
	}
	if next != "" {
		answer = append(answer, member{"@odata.nextLink", q.nextLink(q.r, q.call, opts, next)})
	}
	for i := range values {
		values[i] = values[i].pick(opts.selected)
	}
	writeJSON(q.w, http.StatusOK, append(answer, member{"value", values}))
	return nil
}

// parseKey reads what stands between the parentheses of an address such as
// applications(appId='…'): a property and its value, or a value alone.
func parseKey(text string) (property, value string, ok bool) {
	s := &scanner{rest: text}
	if !strings.HasPrefix(text, "'") {
		property = s.name()
		s.failed = !s.take("=")
	}
	value = s.literal()
	if !s.done() || value == "" {
		return "", "", false
	}
	return property, value, true
}

// createIfMissing reports whether the request asks to create what it updates
// (RFC 7240; Graph's upsert).
func createIfMissing(r *http.Request) bool {
	for _, header := range r.Header.Values("Prefer") {
		for _, p := range strings.Split(header, ",") {
			if strings.EqualFold(strings.TrimSpace(p), "create-if-missing") {
				return true
			}
		}
	}
	return false
}

// guid returns a GUID in its stored form, or false for anything else.
func guid(s string) (string, bool) {
	return strings.ToLower(s), directory.IsGUID(s)
}
