package resourceserver

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMiddleware(t *testing.T) {
	key := rsaKey(t, "1")
	i := newIssuer(t, key)
	mux := http.NewServeMux()
	mux.HandleFunc("/open", func(w http.ResponseWriter, r *http.Request) {
		claims, ok := FromContext(r.Context())
		if !ok {
			t.Error("no claims in the context")
			return
		}
		io.WriteString(w, claims.ClientID)
	})
	mux.Handle("/read", RequireRole("Orders.Read", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	mux.Handle("/write", RequireRole("Orders.Write", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("served without the role")
	})))
	handler := validator(t, i).Middleware(mux)
	token := sign(t, i, key, nil, nil)
	for _, test := range []struct {
		name, path    string
		authorization []string
		status        int
		challenge     string
	}{
		{"good", "/open", []string{"Bearer " + token}, 200, ""},
		{"scheme in any case", "/open", []string{"bearer  " + token}, 200, ""},
		{"role", "/read", []string{"Bearer " + token}, 200, ""},
		{"no role", "/write", []string{"Bearer " + token}, 403, `Bearer error="insufficient_scope", error_description="the caller lacks the role that this request needs"`},
		{"nothing", "/open", nil, 401, "Bearer"},
		{"another scheme", "/open", []string{"Basic eDp5"}, 401, "Bearer"},
		{"empty token", "/open", []string{"Bearer"}, 401, `Bearer error="invalid_token", error_description="it is not a JSON Web Token"`},
		{"expired", "/open", []string{"Bearer " + sign(t, i, key, nil, map[string]any{"exp": 1})}, 401, `Bearer error="invalid_token", error_description="it has expired"`},
		{"two headers", "/open", []string{"Bearer " + token, "Bearer " + token}, 400, `Bearer error="invalid_request", error_description="there is more than one Authorization header"`},
		{"in the query", "/open?access_token=" + token, nil, 400, `Bearer error="invalid_request", error_description="an access token belongs into the Authorization header"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", test.path, nil)
			for _, value := range test.authorization {
				r.Header.Add("Authorization", value)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != test.status || w.Header().Get("WWW-Authenticate") != test.challenge {
				t.Errorf("%d %q", w.Code, w.Header().Get("WWW-Authenticate"))
			}
			if strings.Contains(w.Body.String(), token) {
				t.Error("the token is in the answer")
			}
		})
	}
	t.Run("keys unavailable", func(t *testing.T) {
		i.set(func() { i.down = true })
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/open", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		validator(t, i).Middleware(mux).ServeHTTP(w, r)
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), i.URL) {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	})
	t.Run("role without the middleware", func(t *testing.T) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", "/write", nil))
		if w.Code != 401 {
			t.Error(w.Code)
		}
	})
}
