package resourceserver

import (
	"net/http"
	"strings"
)

// Headers by which ForwardAuth says who calls. They are always there, so that
// a gateway that copies them replaces those of the same name in the request.
const (
	SubjectHeader = "Cambio-Subject" // sub
	ClientHeader  = "Cambio-Client"  // azp or appid: the client id
	RolesHeader   = "Cambio-Roles"   // separated by blanks; empty: none
)

// ForwardAuth answers a gateway that asks whether a request may pass, as
// nginx's auth_request and Caddy's forward_auth do. The gateway sends the
// request's Authorization header; the query says which app roles the caller
// must hold, all of them: /?role=Orders.Read. The answer is 200 with the
// headers above, or what Middleware and RequireRole answer; none may be kept.
func (v *Validator) ForwardAuth() http.Handler {
	verify := v.Middleware(http.HandlerFunc(passes))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		verify.ServeHTTP(w, r)
	})
}

func passes(w http.ResponseWriter, r *http.Request) {
	claims, _ := FromContext(r.Context()) // Middleware has put them there
	for _, role := range r.URL.Query()["role"] {
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
}
