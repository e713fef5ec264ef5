package resourceserver

import (
	"net/http/httptest"
	"testing"
)

func TestForwardAuth(t *testing.T) {
	key := rsaKey(t, "1")
	i := newIssuer(t, key)
	handler := validator(t, i).ForwardAuth()
	good := sign(t, i, key, nil, nil)
	for _, test := range []struct {
		name, query, token string
		status             int
	}{
		{"good", "", good, 200},
		{"role", "?role=Orders.Read", good, 200},
		{"wrong role", "?role=Orders.Write", good, 403},
		{"one of two roles", "?role=Orders.Read&role=Orders.Write", good, 403},
		{"role in another case", "?role=orders.read", good, 403},
		{"empty role", "?role=", good, 403},
		{"no token", "?role=Orders.Read", "", 401},
		{"expired", "?role=Orders.Read", sign(t, i, key, nil, map[string]any{"exp": 1}), 401},
		{"for another", "?role=Orders.Read", sign(t, i, key, nil, map[string]any{"aud": "another"}), 401},
		{"without roles", "", sign(t, i, key, nil, map[string]any{"roles": nil}), 200},
		{"without roles, role", "?role=Orders.Read", sign(t, i, key, nil, map[string]any{"roles": nil}), 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/verify"+test.query, nil)
			r.Header.Set(RolesHeader, "forged")
			if test.token != "" {
				r.Header.Set("Authorization", "Bearer "+test.token)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			h := w.Header()
			if w.Code != test.status || h.Get("Cache-Control") != "no-store" {
				t.Errorf("%d, %v", w.Code, h)
			}
			if passed := test.status == 200; passed != (h.Get(SubjectHeader) != "") || passed != (h.Get(ClientHeader) != "") || passed != (h[RolesHeader] != nil) || h.Get(RolesHeader) == "forged" {
				t.Errorf("headers %v", h)
			}
		})
	}
}
