package server

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// Whatever stands in the variables of an address, in its query and in its
// headers, no management route fails, and none shows an entity tag of an
// error or content with a 304 or 204.
func TestHostileAddresses(t *testing.T) {
	w := newWorld(t)
	variable := regexp.MustCompile(`\{[A-Za-z]+\}`)
	values := []string{
		"%ff%fe", "%00", "%27", "%27%27", "=%27", "uniqueName=%27%ff%27", "uniqueName=%27" + strings.Repeat("x", 4000) + "%27", "name=%27%ED%A0%80%27",
		"appId=%27%27", "%F0%9F%98%80", "..%2f..", "a%2fb", "%25", "$count", "(", "())", strings.Repeat("%27", 301), "00000000-0000-0000-0000-000000000000",
	}
	queries := []string{"$top=99999999999999999999999", "$skiptoken=%ff", "$skiptoken=" + strings.Repeat("A", 5000), "$filter=%ff", "$filter=%27", "$select=%00", "$count=x", "%zz", "$top=-1",
		"api-version=2024-11-30&$filter=name%20eq%20%27%ff%27", "api-version=%ff"}
	ask := func(method, path, body string, headers ...string) {
		t.Helper()
		req, err := http.NewRequest(method, base+path, strings.NewReader(body))
		if err != nil {
			return // no client can send it
		}
		req.Header.Set("Authorization", "Bearer "+w.tokens["admin"])
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header[headers[i]] = []string{headers[i+1]}
		}
		got := httptest.NewRecorder()
		w.Handler().ServeHTTP(got, req)
		if got.Code >= 500 {
			t.Errorf("%s %s: %d %s", method, path, got.Code, got.Body)
		}
		if got.Code >= 400 && got.Header().Get("ETag") != "" || (got.Code == 304 || got.Code == 204) && got.Body.Len() > 0 {
			t.Errorf("%s %s: %d with ETag %q and %d bytes", method, path, got.Code, got.Header().Get("ETag"), got.Body.Len())
		}
	}
	for _, r := range w.Table() {
		if r.Permission == "" {
			continue
		}
		w.allowances = w.opt.Management.allowances(w.opt.Clock) // the test is about something else
		for _, value := range values {
			path := strings.ReplaceAll(r.Pattern, "{subscription}", w.admin.TenantID)
			if !strings.Contains(path, "{") {
				break
			}
			ask(r.Method, variable.ReplaceAllString(path, value)+"?api-version=2024-11-30", w.body(r))
			if last := strings.LastIndex(path, "{"); last >= 0 { // the objects above exist
				path, _, _ := strings.Cut(w.path(t, path[:last])+value+variable.ReplaceAllString(path[last:], ""), "?")
				ask(r.Method, path+"?api-version=2024-11-30", w.body(r))
			}
		}
		if r.Method != "GET" {
			continue
		}
		path, _, _ := strings.Cut(w.path(t, r.Pattern), "?")
		for _, query := range queries {
			ask("GET", path+"?"+query, "")
			ask("HEAD", path+"?"+query, "")
		}
		for _, tags := range []string{"*", `"`, `W/`, `"a", *`, ",", strings.Repeat(`"x",`, 2000) + `"x"`, "\xff"} {
			ask("GET", path+"?api-version=2024-11-30", "", "If-None-Match", tags)
			ask("GET", path+"?api-version=2024-11-30", "", "If-Match", tags)
		}
	}
}
