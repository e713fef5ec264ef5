package arm

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

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

	// PageKey authenticates page tokens; see management.NewPageTokens.
	PageKey []byte

	Logger *slog.Logger // gets internal failures; nil: slog.Default()
}

// API is the ARM-shaped management API. It holds no state but its
// configuration and may be used by any number of goroutines.
type API struct {
	db          *store.DB
	baseURL     string // without a trailing slash
	checkIssuer func(string) error
	pages       *management.PageTokens
	logger      *slog.Logger
}

// New makes the API.
func New(cfg Config) *API {
	a := &API{
		db: cfg.DB, baseURL: strings.TrimRight(cfg.BaseURL, "/"), checkIssuer: cfg.CheckIssuer,
		pages: management.NewPageTokens(cfg.PageKey), logger: cfg.Logger,
	}
	if a.logger == nil {
		a.logger = slog.Default()
	}
	return a
}

// request is one call of one route.
type request struct {
	*API
	w          http.ResponseWriter
	r          *http.Request
	call       *management.Call
	query      url.Values
	conditions management.Preconditions
}

// handle makes a handler that checks what every request must have and writes
// what the step returns as an error.
func (a *API) handle(step func(*request) error) management.Handler {
	return func(w http.ResponseWriter, r *http.Request, c *management.Call) {
		q := &request{API: a, w: w, r: r, call: c}
		correlate(w.Header(), r.Header, c)
		setHeaders(w.Header(), c)
		err := q.checkQuery()
		if err == nil {
			q.conditions, err = management.ReadPreconditions(r.Header)
		}
		if err == nil {
			err = q.checkSubscription()
		}
		if err == nil {
			err = step(q)
		}
		if err == nil {
			return
		}
		if errors.Is(err, errNotModified) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		p, internal := problemOf(err)
		if internal {
			a.logger.Error("management request failed", "request_id", c.RequestID, "path", r.URL.Path, "error", err)
		}
		WriteError(w, p.Status, p.Code, p.Message, c)
	}
}

// correlate takes the caller's own id for the request over: azurerm sends one
// for all requests of a run, SDKs one for each. Only GUIDs are sent back.
func correlate(answer, asked http.Header, c *management.Call) {
	own := asked.Get("x-ms-client-request-id")
	for _, id := range []string{own, asked.Get("x-ms-correlation-request-id")} { // the last one counts
		if directory.IsGUID(id) {
			c.CorrelationID = strings.ToLower(id)
		}
	}
	if directory.IsGUID(own) && strings.EqualFold(asked.Get("x-ms-return-client-request-id"), "true") {
		answer.Set("x-ms-client-request-id", own)
	}
}

// errNotModified ends a GET whose If-None-Match names what would be shown.
var errNotModified = errors.New("not modified")

// show answers a GET with an object, and the ETag of its noun.
func (q *request) show(noun, v any) error {
	tag := management.ETag(noun)
	q.w.Header().Set("ETag", tag)
	if q.conditions.NotModified(tag) {
		return errNotModified
	}
	writeJSON(q.w, http.StatusOK, v)
	return nil
}

// guard refuses a write when the noun, nil if there is none, is not what the
// request asks for. It must be asked within the write.
func (q *request) guard(noun any) error {
	tag := ""
	if noun != nil {
		tag = management.ETag(noun)
	}
	if q.conditions.Hold(tag) {
		return nil
	}
	return &Problem{http.StatusPreconditionFailed, management.CodePreconditionFailed, management.PreconditionFailedMessage}
}

func (q *request) checkQuery() error {
	values, err := url.ParseQuery(q.r.URL.RawQuery)
	if err != nil {
		return badRequest("The query string is malformed.")
	}
	q.query = values
	return checkVersion(values["api-version"])
}

// checkVersion wants one well-formed api-version. Which one matters for the
// expressions of credentials only: everything else has the same shape in all
// of them, that of 2024-11-30 and later.
func checkVersion(versions []string) error {
	if len(versions) == 0 || len(versions) == 1 && versions[0] == "" {
		return &Problem{http.StatusBadRequest, CodeMissingAPIVersion, "The api-version query parameter (?api-version=) is required for all requests."}
	}
	if len(versions) > 1 || !isVersion(versions[0]) {
		return &Problem{http.StatusBadRequest, CodeInvalidAPIVersion, "The api-version '" + shorten(versions[0]) + "' is invalid. Send one of the form 2024-11-30 or 2025-01-31-preview."}
	}
	return nil
}

// isVersion: a date, perhaps with a suffix of lower-case letters.
func isVersion(v string) bool {
	if len(v) < 10 || len(v) > 40 {
		return false
	}
	for i := 0; i < 10; i++ {
		if hyphen := i == 4 || i == 7; hyphen != (v[i] == '-') || !hyphen && (v[i] < '0' || v[i] > '9') {
			return false
		}
	}
	suffix, ok := strings.CutPrefix(v[10:], "-")
	return v[10:] == "" || ok && suffix != "" && strings.Trim(suffix, "abcdefghijklmnopqrstuvwxyz") == ""
}

// checkSubscription: the only subscription that a caller can name is that of
// its own tenant.
func (q *request) checkSubscription() error {
	id, named := q.call.Params["subscription"]
	if named && !strings.EqualFold(id, q.call.Tenant.ID) {
		return &Problem{http.StatusNotFound, CodeSubscriptionNotFound, "The subscription '" + shorten(id) + "' could not be found. The subscription of this tenant is '" + q.call.Tenant.ID + "'."}
	}
	return nil
}

// subscription is the id of the tenant's one subscription.
func (q *request) subscription() string { return q.call.Tenant.ID }

// write runs a mutation as one transaction with its audit row.
func (q *request) write(action, target string, fn func(*store.Tx) error) error {
	if check := q.call.StillAllowed; check != nil {
		if err := check(q.r.Context()); err != nil {
			return err
		}
	}
	return q.db.Write(q.r.Context(), store.Change{
		TenantID: q.call.Tenant.ID, PrincipalID: q.call.Caller.PrincipalID, ClientID: q.call.Caller.AppID,
		Via: "arm", CorrelationID: q.call.CorrelationID, Action: action, Target: target,
	}, fn)
}

// put answers a PUT with the object and the ETag of its noun: 201 with a
// relative Location for a new resource, 200 for one that existed.
func (q *request) put(made bool, id string, noun, v any) error {
	q.w.Header().Set("ETag", management.ETag(noun))
	if !made {
		writeJSON(q.w, http.StatusOK, v)
		return nil
	}
	q.w.Header().Set("Location", id)
	q.w.Header().Set("x-ms-ratelimit-remaining-subscription-writes", strconv.Itoa(q.call.Remaining))
	writeJSON(q.w, http.StatusCreated, v)
	return nil
}

// deleted answers a DELETE: 200 when there was something, 204 when not.
func (q *request) deleted(err error) error {
	if store.IsNotFound(err) {
		q.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err == nil {
		q.w.WriteHeader(http.StatusOK)
	}
	return err
}

// listJSON is a page of a list.
type listJSON[T any] struct {
	Value    []T    `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

// listQuery reads $top and $skiptoken.
func (q *request) listQuery() (l store.ListQuery, err error) {
	if text := q.query.Get("$top"); q.query.Has("$top") {
		l.Top, err = strconv.Atoi(text)
		if err != nil || l.Top < 1 {
			return l, badRequest("$top must be a whole number of at least 1.")
		}
	}
	if token := q.query.Get("$skiptoken"); token != "" {
		after, ok := q.pages.Open(token, q.pageScope())
		if !ok {
			return l, badRequest("The $skiptoken is not one that this list gave out. Use nextLink unchanged, or start without it.")
		}
		l.After = after
	}
	return l, nil
}

func (q *request) pageScope() string {
	return q.call.Tenant.ID + "\x00" + strings.ToLower(q.r.URL.Path)
}

// nextLink is the URL of the page after the given position.
func (q *request) nextLink(after string) string {
	values := url.Values{}
	for name, v := range q.query {
		values[name] = v
	}
	values.Set("$skiptoken", q.pages.Seal(after, q.pageScope()))
	return q.baseURL + q.r.URL.EscapedPath() + "?" + values.Encode()
}

// tags are never null in JSON.
func tags(t map[string]string) map[string]string {
	if t == nil {
		return map[string]string{}
	}
	return t
}

// sameLocation compares regions as ARM does: "West Europe" is westeurope.
func sameLocation(a, b string) bool {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }
	return plain(a) == plain(b)
}

// moved refuses a PUT that would move a resource to another region.
func moved(kind, name, from, to string) error {
	if to == "" || sameLocation(from, to) {
		return nil
	}
	return &Problem{http.StatusConflict, CodeInvalidLocation, "The " + kind + " '" + name + "' exists in location '" + from + "' and cannot be moved to '" + shorten(to) + "'. Use that location, or another name."}
}
