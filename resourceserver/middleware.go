package resourceserver

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// claimsKey is the key of the caller's claims in a request's context.
type claimsKey struct{}

// FromContext returns the claims of the caller, which Middleware put there.
func FromContext(ctx context.Context) (*Claims, bool) {
	claims, ok := ctx.Value(claimsKey{}).(*Claims)
	return claims, ok
}

// Middleware lets a request pass that carries a valid access token in its
// Authorization header, and gives next the claims through FromContext.
// Everything else is answered here, as RFC 6750 section 3 asks:
//
//   - 401 without an error code when there is no bearer token,
//   - 400 invalid_request when there are several, or one in the query string,
//   - 401 invalid_token when the token is not accepted,
//   - 503 with Retry-After when the issuer's keys are not available.
func (v *Validator) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, problem := bearer(r)
		if problem != nil {
			problem.write(w)
			return
		}
		claims, err := v.Validate(r.Context(), token)
		var invalid *InvalidTokenError
		switch {
		case err == nil:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, claims)))
		case errors.As(err, &invalid):
			(&challenge{http.StatusUnauthorized, "invalid_token", invalid.Reason}).write(w)
		default:
			w.Header().Set("Retry-After", strconv.Itoa(int(coolDown.Seconds())))
			http.Error(w, ErrUnavailable.Error(), http.StatusServiceUnavailable)
		}
	})
}

// RequireRole lets a request pass whose caller holds the app role; others are
// answered 403 insufficient_scope. It belongs behind Middleware: a request
// that did not come through it has no caller and is answered 401.
func RequireRole(role string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := FromContext(r.Context())
		switch {
		case !ok:
			(&challenge{status: http.StatusUnauthorized}).write(w)
		case !claims.HasRole(role):
			(&challenge{http.StatusForbidden, "insufficient_scope", "the caller lacks the role that this request needs"}).write(w)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// bearer takes the token from the one place where it may stand. The query
// string is not such a place: it ends up in logs.
func bearer(r *http.Request) (string, *challenge) {
	values := r.Header.Values("Authorization")
	switch {
	case len(values) > 1:
		return "", &challenge{http.StatusBadRequest, "invalid_request", "there is more than one Authorization header"}
	case r.URL.Query().Has("access_token"):
		return "", &challenge{http.StatusBadRequest, "invalid_request", "an access token belongs into the Authorization header"}
	case len(values) == 0:
		return "", &challenge{status: http.StatusUnauthorized}
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", &challenge{status: http.StatusUnauthorized}
	}
	return strings.TrimLeft(token, " "), nil
}

// challenge is an answer of RFC 6750 section 3. Code and description are
// constants of this package, so they need no quoting.
type challenge struct {
	status            int
	code, description string
}

func (c *challenge) write(w http.ResponseWriter) {
	header := "Bearer"
	if c.code != "" {
		header += ` error="` + c.code + `", error_description="` + c.description + `"`
	}
	w.Header().Set("WWW-Authenticate", header)
	http.Error(w, http.StatusText(c.status), c.status)
}
