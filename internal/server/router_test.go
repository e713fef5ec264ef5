package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func testRouter() *router {
	return newRouter([]route{
		{method: "GET", pattern: "/"},
		{method: "POST", pattern: "/{tenant}/oauth2/v2.0/token"},
		{method: "GET", pattern: "/{tenant}/discovery/keys"},
		{method: "GET", pattern: "/v1.0/applications"},
		{method: "POST", pattern: "/v1.0/applications"},
		{method: "GET", pattern: "/v1.0/applications/{application}"},
		{method: "GET", pattern: "/v1.0/applications({applicationKey})"},
		{method: "GET", pattern: "/v1.0/applications/{application}/federatedIdentityCredentials/{credential}"},
		{method: "GET", pattern: "/v1.0/applications/{application}/federatedIdentityCredentials/$count"},
		{method: "PUT", pattern: "/subscriptions/{subscription}/resourceGroups/{group}", foldCase: true},
	})
}

func TestRouterFinds(t *testing.T) {
	r := testRouter()
	for _, c := range []struct{ method, path, pattern, params string }{
		{"GET", "/", "/", ""},
		{"POST", "/common/oauth2/v2.0/token", "/{tenant}/oauth2/v2.0/token", "tenant=common"},
		{"POST", "/contoso.example/oauth2/v2.0/token/", "/{tenant}/oauth2/v2.0/token", "tenant=contoso.example"},
		{"POST", "//contoso.example/oauth2/v2.0/token", "/{tenant}/oauth2/v2.0/token", "tenant=contoso.example"},
		{"HEAD", "/x/discovery/keys", "/{tenant}/discovery/keys", "tenant=x"},
		{"GET", "/v1.0/applications/a%2Fb", "/v1.0/applications/{application}", "application=a/b"},
		{"GET", "/v1.0/applications(appId='x')", "/v1.0/applications({applicationKey})", "applicationKey=appId='x'"},
		{"GET", "/v1.0/applications%28appId=%27x%27%29", "/v1.0/applications({applicationKey})", "applicationKey=appId='x'"},
		{"GET", "/v1.0/applications/i/federatedIdentityCredentials/$count", "/v1.0/applications/{application}/federatedIdentityCredentials/$count", "application=i"},
		{"PUT", "/Subscriptions/S1/resourcegroups/RG", "/subscriptions/{subscription}/resourceGroups/{group}", "group=RG subscription=S1"},
		// What must not be found.
		{"POST", "/a/b/oauth2/v2.0/token", "", ""},
		{"POST", "/a%2foauth2/v2.0/token", "", ""},
		{"POST", "/./oauth2/v2.0/token", "", ""},
		{"POST", "/../x/oauth2/v2.0/token", "", ""},
		{"POST", "/%2e%2e/oauth2/v2.0/token", "", ""},
		{"POST", "/a%00b/oauth2/v2.0/token", "", ""},
		{"POST", "/a%0d%0ab/oauth2/v2.0/token", "", ""},
		{"POST", "/x/OAUTH2/v2.0/token", "", ""},
		{"POST", "/x/oauth2//token", "", ""},
		{"GET", "/v1.0", "", ""},
		{"GET", "/v1.0/oauth2/v2.0/token", "", ""}, // a reserved first segment is no tenant
	} {
		u, err := url.Parse("https://sts.example.net" + c.path)
		if err != nil {
			t.Fatal(err)
		}
		m := r.find(&http.Request{Method: c.method, URL: u})
		got, params := "", ""
		if m.route != nil {
			got, params = m.route.pattern, describeParams(m.params)
		}
		if got != c.pattern || params != c.params {
			t.Errorf("%s %s: %q with %q, want %q with %q", c.method, c.path, got, params, c.pattern, c.params)
		}
	}
}

func describeParams(params map[string]string) string {
	var parts []string
	for _, name := range []string{"application", "applicationKey", "credential", "group", "subscription", "tenant"} {
		if v, ok := params[name]; ok {
			parts = append(parts, name+"="+v)
		}
	}
	return strings.Join(parts, " ")
}

func TestRouterKnowsOtherMethods(t *testing.T) {
	m := testRouter().find(httptest.NewRequest("DELETE", "/v1.0/applications", nil))
	if !m.found || m.route != nil || len(m.allowed) != 2 {
		t.Errorf("got %+v", m)
	}
}

func TestRouterRefusesContradictions(t *testing.T) {
	for name, routes := range map[string][]route{
		"the same row twice":        {{method: "GET", pattern: "/a"}, {method: "GET", pattern: "/a"}},
		"two names for one segment": {{method: "GET", pattern: "/a/{x}"}, {method: "GET", pattern: "/a/{y}/b"}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: the table was accepted", name)
				}
			}()
			newRouter(routes)
		}()
	}
}

func TestPlaceHolds(t *testing.T) {
	const base = "https://sts.example.net:8443"
	for _, c := range []struct {
		base, issuer string
		want         bool
	}{
		{base, base, true}, {base, base + "/", true}, {base, base + "/tenant/v2.0", true}, {base, "HTTPS://STS.example.net:8443/x", true},
		{base, base + "?x", true}, {base, "https://user@sts.example.net:8443/x", true},
		{base, base + "0/x", false}, {base, "https://sts.example.net", false}, {base, "https://sts.example.net:8443.evil.example", false},
		{base, "https://other.example/" + base, false}, {base, "%zz", false},
		{"https://sts.example.net", "https://sts.example.net:443/t/v2.0", true}, {"https://sts.example.net:443", "https://STS.example.net/t", true},
		{base + "/idp", base + "/idp", true}, {base + "/idp", base + "/idp/", true}, {base + "/idp", base + "/idpx", false},
	} {
		p, err := placeOf(c.base)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.holds(c.issuer); got != c.want {
			t.Errorf("%s at %s: %v, want %v", c.issuer, c.base, got, c.want)
		}
	}
}

func FuzzRouter(f *testing.F) {
	r := testRouter()
	f.Add("/a/oauth2/v2.0/token")
	f.Add("/v1.0/applications(appId='x')")
	f.Add("/%2f%2e/(")
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		m := r.find(&http.Request{Method: "GET", URL: u})
		for _, v := range m.params {
			if v == "" || strings.ContainsAny(v, "\x00\r\n") && m.route != nil && !strings.Contains(m.route.pattern, "({") {
				t.Errorf("%q gave the variable %q", path, v)
			}
		}
	})
}
