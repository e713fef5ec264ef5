package resourceserver

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// Headers by which ForwardAuth says who calls. They are in every answer, empty
// unless the request may pass, so that a gateway that copies them replaces
// those of the same name in the request.
const (
	SubjectHeader = "Cambio-Subject" // sub
	ClientHeader  = "Cambio-Client"  // azp or appid: the client id
	RolesHeader   = "Cambio-Roles"   // separated by blanks
)

// ForwardAuth answers a gateway that asks whether a request may pass, as
// nginx's auth_request and Caddy's forward_auth do. The gateway sends the
// request's Authorization header; the query says which app roles the caller
// must hold, all of them and at least one: /?role=Orders.Read. The answer is
// 200 with the headers above, or what Middleware and RequireRole answer, but
// for 400, which gateways take for a failure of their own: it is 401 here.
// A query that asks for no role, or for anything else, is answered with 500:
// a gateway that is configured wrongly lets nobody in. No answer may be kept.
func (v *Validator) ForwardAuth() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		for _, name := range []string{SubjectHeader, ClientHeader, RolesHeader} {
			h.Set(name, "")
		}
		roles, err := rolesAsked(r.URL.RawQuery)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		asked := r.Clone(r.Context())
		asked.URL.RawQuery = "" // the gateway's, not the caller's
		if _, problem := bearer(asked); problem != nil {
			problem.status = http.StatusUnauthorized
			problem.write(w)
			return
		}
		v.Middleware(passes(roles)).ServeHTTP(w, asked)
	})
}

// rolesAsked reads the query strictly.
func rolesAsked(query string) ([]string, error) {
	const want = "the gateway must ask for one role at least, as in ?role=Orders.Read, and for nothing else"
	values, err := url.ParseQuery(query)
	roles := values["role"]
	if err != nil || len(values) != 1 || len(roles) == 0 {
		return nil, errors.New(want)
	}
	for _, role := range roles {
		if role == "" {
			return nil, errors.New(want)
		}
	}
	return roles, nil
}

// passes answers for a caller whose token is valid.
func passes(roles []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := FromContext(r.Context()) // Middleware has put them there
		for _, role := range roles {
			if !claims.HasRole(role) {
				RequireRole(role, nil).ServeHTTP(w, r)
				return
			}
		}
		h := w.Header()
		h.Set(SubjectHeader, claims.Subject)
		h.Set(ClientHeader, claims.ClientID)
		h.Set(RolesHeader, strings.Join(claims.Roles, " "))
		w.WriteHeader(http.StatusOK)
	})
}
