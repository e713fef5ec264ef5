package server

import (
	"net/http"

	"cambio/internal/arm"
	"cambio/internal/auditapi"
	"cambio/internal/explainapi"
	"cambio/internal/graph"
	"cambio/internal/management"
	"cambio/internal/token"
	"cambio/internal/trustapi"
)

// api is a family of routes that share an error shape.
type api int

const (
	login api = iota // OAuth errors; no authentication
	graphAPI
	armAPI
	trustAPI
	auditAPI
)

// apiNames are what metrics call the families.
var apiNames = map[api]string{graphAPI: "graph", armAPI: "arm", trustAPI: "trust", auditAPI: "audit"}

// route is one row of the route table: everything that the server can be
// asked, and what it takes to ask it.
type route struct {
	api         api
	method      string
	pattern     string
	permission  management.Permission // empty: open to anybody
	action      string                // audit action of a write
	rate        management.RateClass  // whose allowance a request takes from; empty: no caller is known
	conditional bool                  // shows an ETag, or honours If-Match and If-None-Match
	exchange    bool                  // the token endpoint, which says itself what it did
	foldCase    bool                  // match literal segments without regard to case
	open        func(w http.ResponseWriter, r *http.Request, params map[string]string)
	managed     management.Handler
}

// managed is the row of a management API's route.
func managed(a api, r management.Route) route {
	return route{api: a, method: r.Method, pattern: r.Pattern, permission: r.Permission, action: r.Action,
		rate: r.Rate, conditional: r.Conditional, foldCase: a == armAPI, managed: r.Handler}
}

// routes is the complete route table.
func (s *Server) routes() []route {
	get := func(pattern string, h func(http.ResponseWriter, *http.Request, map[string]string)) route {
		return route{api: login, method: http.MethodGet, pattern: pattern, open: h}
	}
	table := []route{
		s.tokenRoute("/{tenant}/oauth2/v2.0/token", token.V2),
		s.tokenRoute("/{tenant}/oauth2/token", token.V1),
		get("/{tenant}/v2.0/.well-known/openid-configuration", s.serveDiscoveryV2),
		get("/{tenant}/.well-known/openid-configuration", s.serveDiscoveryV1),
		get("/.well-known/oauth-authorization-server/{tenant}/v2.0", s.serveDiscoveryV2),
		get("/.well-known/oauth-authorization-server/{tenant}", s.serveDiscoveryV1),
		get("/{tenant}/discovery/v2.0/keys", s.serveKeys),
		get("/{tenant}/discovery/keys", s.serveKeys),
		get("/{tenant}/discovery/instance", s.serveInstance),
		get("/{tenant}/oauth2/v2.0/authorize", s.serveNoSignIn),
		get("/{tenant}/oauth2/authorize", s.serveNoSignIn),
		get("/error", s.serveErrorPage),
		get("/", s.serveRoot),
		get("/trust/v1/schema", trustapi.ServeSchema),
		get("/metadata/endpoints", wrap(arm.MetadataHandler(s.opt.BaseURL))),
	}
	for _, prefix := range s.mounts() {
		table = append(table, prefix)
	}
	for _, r := range graph.Routes(s.graph) {
		table = append(table, managed(graphAPI, r))
	}
	for _, r := range arm.Routes(s.arm) {
		table = append(table, managed(armAPI, r))
	}
	for _, r := range trustapi.Routes(s.trust) {
		table = append(table, managed(trustAPI, r))
	}
	for _, r := range explainapi.Routes(explainapi.Config{DB: s.opt.DB, Explain: s.endpoint.Explain, BaseURL: s.opt.BaseURL, Logger: s.opt.Log}) {
		table = append(table, managed(auditAPI, r))
	}
	for _, r := range auditapi.Routes(auditapi.Config{DB: s.opt.DB, BaseURL: s.opt.BaseURL, Logger: s.opt.Log}) {
		table = append(table, managed(auditAPI, r))
	}
	return table
}

// tokenRoute is a door of the token endpoint. Clients of the AD FS alias get
// the v2 form at the v1 path too.
func (s *Server) tokenRoute(pattern string, door token.Door) route {
	return route{api: login, method: http.MethodPost, pattern: pattern, exchange: true,
		open: func(w http.ResponseWriter, r *http.Request, params map[string]string) {
			d := door
			if isADFS(params["tenant"]) {
				d = token.ADFS
			}
			s.endpoint.ServeTenant(w, r, d, params["tenant"])
		}}
}

// mounts are the handlers that the development mode adds, such as its
// identity provider.
func (s *Server) mounts() []route {
	var table []route
	for _, m := range s.opt.Mounts {
		table = append(table, route{api: login, method: m.Method, pattern: m.Pattern, open: wrap(m.Handler)})
	}
	return table
}

func wrap(h http.Handler) func(http.ResponseWriter, *http.Request, map[string]string) {
	return func(w http.ResponseWriter, r *http.Request, _ map[string]string) { h.ServeHTTP(w, r) }
}

// RouteInfo is a row of the route table as documentation and tests see it.
type RouteInfo struct {
	Method, Pattern string
	Permission      management.Permission // empty: open to anybody
	Action          string                // audit action of a write
	Rate            management.RateClass
	Conditional     bool
}

// Table lists every route.
func (s *Server) Table() []RouteInfo {
	var table []RouteInfo
	for _, r := range s.routes() {
		table = append(table, RouteInfo{r.method, r.pattern, r.permission, r.action, r.rate, r.conditional})
	}
	return table
}
