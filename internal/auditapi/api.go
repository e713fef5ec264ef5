// Package auditapi lets the administrators of a tenant read its part of the
// audit trail over the network.
//
// It trusts the management.Call it is given and nothing else of a request. A
// record that names no tenant, or another one, is never shown.
package auditapi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"cambio/internal/audit"
	"cambio/internal/management"
	"cambio/internal/store"
	"cambio/internal/trail"
	"cambio/internal/trustapi"
)

// Config is what the API needs. DB and BaseURL are required.
type Config struct {
	DB      *store.DB
	BaseURL string       // public origin, which next links begin with
	Logger  *slog.Logger // gets internal failures; nil: slog.Default()
}

// How many records one answer has.
const (
	usualLimit = 100
	mostLimit  = 500
)

const recordsPath = "/audit/v1/records"

// Routes lists the API's routes.
func Routes(cfg Config) []management.Route {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	a := &api{cfg, make(chan struct{}, 1)}
	return []management.Route{
		{Method: http.MethodGet, Pattern: recordsPath, Permission: management.AuditLogReadAll, Rate: management.RateRead, Handler: a.serve},
	}
}

// api reads one page at a time: one takes some ten milliseconds of a core, and
// a caller may ask for many at once.
type api struct {
	Config
	reading chan struct{}
}

func (a *api) page(ctx context.Context, q *query) (store.AuditPage, error) {
	select {
	case a.reading <- struct{}{}:
		defer func() { <-a.reading }()
		return a.DB.AuditPage(ctx, q.filter, q.after, q.limit)
	case <-ctx.Done():
		return store.AuditPage{}, ctx.Err()
	}
}

// query is what is asked for.
type query struct {
	filter store.AuditFilter
	after  int64
	limit  int
}

func (a *api) serve(w http.ResponseWriter, r *http.Request, call *management.Call) {
	q, values, err := parse(r.URL.RawQuery)
	if err != nil {
		trustapi.WriteError(w, http.StatusBadRequest, "Request_BadRequest", err.Error(), call)
		return
	}
	q.filter.TenantID = call.Tenant.ID
	page, err := a.page(r.Context(), &q)
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
	_, _ = w.Write(a.answer(page, values)) // a lost connection is nobody's news
}

func (a *api) fail(w http.ResponseWriter, r *http.Request, err error, call *management.Call) {
	switch {
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

// answer is the page as JSON: its records as `cambio audit` prints them.
func (a *api) answer(page store.AuditPage, values url.Values) []byte {
	b := []byte(`{"records":[`)
	for i := range page.Records {
		if i > 0 {
			b = append(b, ',')
		}
		b = bytes.TrimSuffix(trail.AppendLine(b, &page.Records[i]), []byte("\n"))
	}
	b = append(b, ']')
	if page.More {
		values.Set("after", strconv.FormatInt(page.Last, 10))
		next, _ := json.Marshal(a.BaseURL + recordsPath + "?" + values.Encode()) // text marshals
		b = append(append(b, `,"nextLink":`...), next...)
	}
	return append(b, '}')
}

// parse reads the query. Errors are safe to show.
func parse(raw string) (q query, values url.Values, err error) {
	q.limit = usualLimit
	if values, err = url.ParseQuery(raw); err != nil {
		return q, nil, errors.New("The query cannot be read.")
	}
	for name, list := range values {
		set, ok := parameters[name]
		switch {
		case !ok:
			return q, nil, errors.New("A parameter of the query is not known. There are after, limit, correlationId, clientId, kind and outcome.")
		case len(list) != 1:
			return q, nil, errors.New("The parameter " + name + " is there more than once.")
		}
		if !set(&q, list[0]) {
			return q, nil, errors.New("The parameter " + name + " must be " + wanted[name] + ".")
		}
	}
	return q, values, nil
}

// parameters set what a parameter of the query says, unless it cannot be.
var parameters = map[string]func(*query, string) bool{
	"after": func(q *query, text string) bool {
		n, err := strconv.ParseInt(text, 10, 64)
		q.after = n
		return err == nil && n >= 0
	},
	"limit": func(q *query, text string) bool {
		n, err := strconv.Atoi(text)
		q.limit = n
		return err == nil && n >= 1 && n <= mostLimit
	},
	"correlationId": func(q *query, text string) bool { return guid(&q.filter.CorrelationID, text) },
	"clientId":      func(q *query, text string) bool { return guid(&q.filter.ClientID, text) },
	"kind": func(q *query, text string) bool {
		return oneOf(&q.filter.Kind, text, audit.KindExchange, audit.KindChange)
	},
	"outcome": func(q *query, text string) bool { return oneOf(&q.filter.Outcome, text, audit.Allowed, audit.Refused) },
}

// wanted says what values parameters take.
var wanted = map[string]string{
	"after": "the id of a record, or 0", "limit": "a number from 1 to " + strconv.Itoa(mostLimit), "correlationId": "a GUID, as it was sent", "clientId": "a GUID",
	"kind": audit.KindExchange + " or " + audit.KindChange, "outcome": audit.Allowed + " or " + audit.Refused,
}

func guid(to *string, text string) bool {
	*to = text
	return len(text) == 36 && uuid.Validate(text) == nil
}

func oneOf(to *string, text, a, b string) bool {
	*to = text
	return text == a || text == b
}
