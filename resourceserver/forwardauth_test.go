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
		name, query, authorization string
		status                     int
	}{
		{"role", "?role=Orders.Read", "Bearer " + good, 200},
		{"wrong role", "?role=Orders.Write", "Bearer " + good, 403},
		{"one of two roles", "?role=Orders.Read&role=Orders.Write", "Bearer " + good, 403},
		{"role in another case", "?role=orders.read", "Bearer " + good, 403},
		{"no token", "?role=Orders.Read", "", 401},
		{"another scheme", "?role=Orders.Read", "Basic eDp5", 401},
		{"malformed", "?role=Orders.Read", "Bearer", 401},
		{"expired", "?role=Orders.Read", "Bearer " + sign(t, i, key, nil, map[string]any{"exp": 1}), 401},
		{"for another", "?role=Orders.Read", "Bearer " + sign(t, i, key, nil, map[string]any{"aud": "another"}), 401},
		{"without roles", "?role=Orders.Read", "Bearer " + sign(t, i, key, nil, map[string]any{"roles": nil}), 403},
		// A gateway that asks wrongly lets nobody in.
		{"no question", "", "Bearer " + good, 500},
		{"empty role", "?role=", "Bearer " + good, 500},
		{"misspelt", "?roles=Orders.Read", "Bearer " + good, 500},
		{"something else too", "?role=Orders.Read&other=1", "Bearer " + good, 500},
		{"unreadable", "?role=Orders.Read;x", "Bearer " + good, 500},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/verify"+test.query, nil)
			r.Header.Set(RolesHeader, "forged")
			if test.authorization != "" {
				r.Header.Set("Authorization", test.authorization)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			h := w.Header()
			if w.Code != test.status || h.Get("Cache-Control") != "no-store" {
				t.Errorf("%d, %v", w.Code, h)
			}
			passed := test.status == 200
			for name, want := range map[string]string{SubjectHeader: "principal", ClientHeader: "client", RolesHeader: "Orders.Read"} {
				if !passed {
					want = ""
				}
				if values, there := h[name]; !there || values[0] != want {
					t.Errorf("%s: %q, want %q", name, values, want)
				}
			}
		})
	}
}

// TestForwardAuthOfTwoHeaders: what Middleware calls a bad request is a
// refusal here.
func TestForwardAuthOfTwoHeaders(t *testing.T) {
	key := rsaKey(t, "1")
	i := newIssuer(t, key)
	r := httptest.NewRequest("GET", "/verify?role=Orders.Read", nil)
	r.Header["Authorization"] = []string{"Bearer " + sign(t, i, key, nil, nil), "Bearer x"}
	w := httptest.NewRecorder()
	validator(t, i).ForwardAuth().ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("%d", w.Code)
	}
}
