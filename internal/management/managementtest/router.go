// Package managementtest serves the routes of a management API to its tests,
// without authentication: the caller is given. It is never linked into the
// server.
package managementtest

import (
	"net/http"
	"net/url"
	"strings"

	"cambio/internal/management"
)

// Router serves Routes as the server would to one caller.
type Router struct {
	Routes   []management.Route
	FoldCase bool // match literal segments without regard to case

	// Call says on whose behalf a request is made.
	Call func(*http.Request) management.Call
}

// ServeHTTP calls the handler of the first route that matches and whose
// permission the caller has; 404 and 403 have no body.
func (rt Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, route := range rt.Routes {
		params, ok := rt.match(route.Pattern, r.URL.EscapedPath())
		if !ok || route.Method != r.Method {
			continue
		}
		call := rt.Call(r)
		call.Params = params
		if !call.Caller.Holds(route.Permission) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		route.Handler(w, r, &call)
		return
	}
	w.WriteHeader(http.StatusNotFound)
}

func (rt Router) match(pattern, path string) (map[string]string, bool) {
	want, have := strings.Split(pattern, "/"), strings.Split(strings.TrimSuffix(path, "/"), "/")
	if len(want) != len(have) {
		return nil, false
	}
	params := map[string]string{}
	for i := range want {
		segment, err := url.PathUnescape(have[i])
		if err != nil {
			return nil, false
		}
		prefix, rest, variable := strings.Cut(want[i], "{")
		name, suffix, _ := strings.Cut(rest, "}")
		if !variable {
			if segment != prefix && !(rt.FoldCase && strings.EqualFold(segment, prefix)) {
				return nil, false
			}
			continue
		}
		value, ok := strings.CutPrefix(segment, prefix)
		if !ok || !strings.HasSuffix(value, suffix) || suffix == "" && prefix == "" && value == "" {
			return nil, false
		}
		params[name] = strings.TrimSuffix(value, suffix)
	}
	return params, true
}
