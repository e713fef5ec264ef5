// Package trustapi is the management API of the declarative trust
// configuration: a tenant's document, what another document would change, and
// making those changes, all of them or none.
//
// It trusts the management.Call it is given and nothing else of a request:
// documents are parsed by package trust, and what they want is accepted only
// by the directory's rules.
package trustapi

import (
	"log/slog"
	"net/http"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
	"cambio/internal/trust"
)

// Config is what the API needs. DB is required.
type Config struct {
	DB *store.DB

	// CheckIssuer decides whether an issuer may be contacted at all. Its error
	// text is shown to the caller. When nil, no issuer may.
	CheckIssuer func(issuer string) error

	// Delegated is what tenants may decide of the issuers that they manage.
	Delegated directory.Delegated

	// KeysChanged is told which keys a managed issuer began and ceased to
	// publish, once that is written. Nil: nobody is.
	KeysChanged func(i *directory.Issuer, added, removed []store.IssuerKey)
	// Health is what this server knows of an issuer that is discovered. Nil:
	// nothing.
	Health func(*directory.IssuerRecord) IssuerHealth

	// ManagementAppID gives the appId of a tenant's management resource, or "".
	// No document can change or delete that application. Nil: no tenant has one.
	ManagementAppID func(tenantID string) string

	Logger *slog.Logger // gets internal failures; nil: slog.Default()
}

// API is the management API of trust configurations. It may be used by any
// number of goroutines.
type API struct {
	cfg       Config
	arriving  chan struct{} // holds one for each document that is here or on its way
	documents chan struct{} // holds one for each document that is worked on
}

// New makes the API.
func New(cfg Config) *API {
	if cfg.ManagementAppID == nil {
		cfg.ManagementAppID = func(string) string { return "" }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &API{cfg, make(chan struct{}, maxArriving), make(chan struct{}, maxDocuments)}
}

// ActionApply is the audit action of a document that was applied. Each object
// that it changed has a row of its own beside it, such as application.create.
const ActionApply = "trust.apply"

// Routes lists the API's routes.
func Routes(a *API) []management.Route {
	return append(issuerRoutes(a), []management.Route{
		{Method: http.MethodGet, Pattern: "/trust/v1/configuration", Permission: management.TrustRead, Rate: management.RateRead, Conditional: true, Handler: a.handle((*request).export)},
		{Method: http.MethodPost, Pattern: "/trust/v1/plan", Permission: management.TrustRead, Rate: management.RateRead, Handler: a.handle((*request).plan)},
		{Method: http.MethodPost, Pattern: "/trust/v1/apply", Permission: management.TrustWrite, Action: ActionApply, Rate: management.RateWrite, Conditional: true, Handler: a.handle((*request).apply)},
	}...)
}

// ServeSchema answers with the JSON Schema of documents. It needs no
// permission: it says nothing about anybody.
func ServeSchema(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
	w.Header().Set("Content-Type", "application/schema+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(trust.Schema())
}

// override is a finding that is let pass, with the credential that it is about.
type override struct{ action, parent, name string }

// request is one call of one route.
type request struct {
	*API
	w    http.ResponseWriter
	r    *http.Request
	call *management.Call

	written func() // what follows once a write is durable; nil: nothing

	passed []override // findings of lint that the document gives reasons for

	managementAppID string // asked for once: within a write nothing but the write may read
}

// handle makes a handler that writes what the step returns as an error.
func (a *API) handle(step func(*request) error) management.Handler {
	return func(w http.ResponseWriter, r *http.Request, c *management.Call) {
		q := &request{API: a, w: w, r: r, call: c, managementAppID: a.cfg.ManagementAppID(c.Tenant.ID)}
		err := step(q)
		if err == nil {
			return
		}
		p, internal := problemOf(err)
		if internal {
			a.cfg.Logger.Error("management request failed", "request_id", c.RequestID, "path", r.URL.Path, "error", err)
		}
		writeProblem(w, p, c)
	}
}
