package token

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
	"unsafe"

	"cambio/internal/directory"
	"cambio/internal/limit"
	"cambio/internal/oauth"
)

func TestFormsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	set := func(name, value string) func(url.Values) { return func(f url.Values) { f.Set(name, value) } }
	for name, c := range map[string]struct {
		door   Door
		change func(url.Values)
		want   oauth.Code
		status int
	}{
		"no grant_type":            {V2, func(f url.Values) { f.Del("grant_type") }, oauth.MissingParameter, 400},
		"password grant":           {V2, set("grant_type", "password"), oauth.UnsupportedGrant, 400},
		"no client_id":             {V2, func(f url.Values) { f.Del("client_id") }, oauth.MissingParameter, 400},
		"no scope":                 {V2, func(f url.Values) { f.Del("scope") }, oauth.MissingParameter, 400},
		"no resource on v1":        {V1, func(f url.Values) { f.Del("scope") }, oauth.MissingParameter, 400},
		"resource on v2":           {V2, set("resource", "api://orders"), oauth.ResourceOnV2, 400},
		"neither credential":       {V2, func(f url.Values) { f.Del("client_assertion") }, oauth.NoClientCredential, 401},
		"a secret":                 {V2, func(f url.Values) { f.Del("client_assertion"); f.Set("client_secret", "x") }, oauth.SecretNotAccepted, 401},
		"a secret too":             {V2, set("client_secret", "x"), oauth.MalformedRequest, 400},
		"no assertion type":        {V2, func(f url.Values) { f.Del("client_assertion_type") }, oauth.MissingParameter, 400},
		"SAML assertion type":      {V2, set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), oauth.MalformedAssertion, 400},
		"repeated parameter":       {V2, func(f url.Values) { f.Add("scope", "api://other/.default") }, oauth.MalformedRequest, 400},
		"repeated unknown":         {V2, func(f url.Values) { f["x"] = []string{"1", "2"} }, oauth.MalformedRequest, 400},
		"scope without .default":   {V2, set("scope", "api://orders"), oauth.ScopeNotDefault, 400},
		"two resources":            {V2, set("scope", "api://orders/.default api://x/.default"), oauth.SeveralResources, 400},
		".default beside another":  {V2, set("scope", "api://orders/.default api://orders/read"), oauth.ScopeInvalid, 400},
		"only OIDC scopes":         {V2, set("scope", "openid profile"), oauth.ScopeInvalid, 400},
		"line break in scope":      {V2, set("scope", "a\r\nX: 1"), oauth.ScopeInvalid, 400},
		"scope is not UTF-8":       {V2, set("scope", "\xff/.default"), oauth.ScopeInvalid, 400},
		"client_id is not UTF-8":   {V2, set("client_id", "\xff"), oauth.MalformedRequest, 400},
		"unknown client":           {V2, set("client_id", "11111111-1111-4111-8111-111111111111"), oauth.ClientNotFound, 400},
		"client_id is no GUID":     {V2, set("client_id", "{"+clientID+"}"), oauth.ClientNotFound, 400},
		"unknown resource":         {V2, set("scope", "api://nope/.default"), oauth.ResourceNotFound, 400},
		"a slash more, a resource": {V2, set("scope", "api://orders//.default"), oauth.ResourceNotFound, 400},
		"not a JWS":                {V2, set("client_assertion", "Bearer x"), oauth.MalformedAssertion, 400},
	} {
		form := w.form()
		c.change(form)
		recorder, answer := w.send(t, c.door, tenantID, form.Encode())
		if code(answer) != c.want || recorder.Code != c.status {
			t.Errorf("%s: AADSTS%d with status %d, want AADSTS%d with %d", name, code(answer), recorder.Code, c.want, c.status)
		}
		if recorder.Code == 400 && recorder.Header().Get("Retry-After") != "0" {
			t.Errorf("%s: a 400 without Retry-After: 0 is cached for a minute by az", name)
		}
		if !utf8.Valid(recorder.Body.Bytes()) {
			t.Errorf("%s: the answer is not UTF-8", name)
		}
	}
	if len(w.decisions) != 25 {
		t.Errorf("%d decisions recorded for 25 requests", len(w.decisions))
	}
}

func TestFormsThatAreAccepted(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(url.Values){
		"MSAL Go's scopes":       func(f url.Values) { f.Set("scope", "api://orders/.default openid offline_access profile") },
		"OIDC scopes first":      func(f url.Values) { f.Set("scope", "openid  profile api://orders/.default") },
		"resource by appId":      func(f url.Values) { f.Set("scope", resourceID+"/.default") },
		"resource ends in slash": func(f url.Values) { f.Set("scope", "https://orders//.default") },
		"upper-case client id":   func(f url.Values) { f.Set("client_id", strings.ToUpper(clientID)) },
		"telemetry in the form":  func(f url.Values) { f.Set("x-client-SKU", "msal.js.node"); f.Set("client_info", "1") },
		"claims":                 func(f url.Values) { f.Set("claims", `{"access_token":{"xms_cc":{"values":["CP1"]}}}`) },
	} {
		form := w.form()
		change(form)
		if _, answer := w.send(t, V2, tenantID, form.Encode()); code(answer) != 0 {
			t.Errorf("%s: %v", name, answer)
		}
	}
	if _, answer := w.send(t, V2, tenantID, w.form().Encode(), "Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"); code(answer) != 0 {
		t.Errorf("with a charset: %v", answer)
	}
}

func TestBodiesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	form := w.form().Encode()
	for name, c := range map[string]struct {
		body    string
		headers []string
	}{
		"JSON":             {`{}`, []string{"Content-Type", "application/json"}},
		"multipart":        {form, []string{"Content-Type", "multipart/form-data; boundary=x"}},
		"no type":          {form, []string{"Content-Type", ""}},
		"UTF-16":           {form, []string{"Content-Type", "application/x-www-form-urlencoded; charset=utf-16"}},
		"compressed":       {form, []string{"Content-Encoding", "gzip"}},
		"too large":        {form + "&pad=" + strings.Repeat("a", 200<<10), nil},
		"too many":         {form + strings.Repeat("&a", 1) + manyParameters(), nil},
		"semicolons":       {strings.ReplaceAll(form, "&", ";"), nil},
		"bad escape":       {form + "&x=%zz", nil},
		"basic and assert": {form, []string{"Authorization", "Basic Og=="}},
	} {
		recorder, answer := w.send(t, V2, tenantID, c.body, c.headers...)
		if code(answer) != oauth.MalformedRequest || recorder.Code != 400 {
			t.Errorf("%s: AADSTS%d with status %d", name, code(answer), recorder.Code)
		}
	}
}

func manyParameters() string {
	var b strings.Builder
	for i := range 100 {
		b.WriteString("&p" + strings.Repeat("x", i) + "=1")
	}
	return b.String()
}

func TestTenantSegment(t *testing.T) {
	w := newWorld(t)
	for ref, want := range map[string]oauth.Code{
		tenantID: 0, strings.ToUpper(tenantID): 0, "contoso.example": 0, "CONTOSO.example": 0, "adfs": 0,
		"common": oauth.TenantNotSpecific, "Organizations": oauth.TenantNotSpecific,
		"11111111-1111-4111-8111-111111111111": oauth.UnknownTenant, "other.example": oauth.UnknownTenant,
		"contoso": oauth.MalformedTenant, "a b": oauth.MalformedTenant, "-x.example": oauth.MalformedTenant, strings.Repeat("a.", 200) + "b": oauth.MalformedTenant,
	} {
		tenant, refusal := w.ResolveTenant(context.Background(), ref)
		if want == 0 {
			if refusal != nil || tenant.ID != tenantID {
				t.Errorf("%q: %v", ref, refusal)
			}
		} else if refusal == nil || refusal.Code != want {
			t.Errorf("%q: %v, want AADSTS%d", ref, refusal, want)
		}
	}
}

func TestClientsThatMayNotSignIn(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*directory.ClientRecord)
		want   oauth.Code
		status int
	}{
		"disabled":             {func(r *directory.ClientRecord) { r.Disabled = true }, oauth.ClientDisabled, 400},
		"principal disabled":   {func(r *directory.ClientRecord) { r.ServicePrincipal.AccountEnabled = false }, oauth.ClientDisabled, 400},
		"no service principal": {func(r *directory.ClientRecord) { r.ServicePrincipal = nil }, oauth.NoServicePrincipal, 401},
	} {
		w := newWorld(t)
		c.change(w.client)
		recorder, answer := w.send(t, V2, tenantID, w.form().Encode())
		if code(answer) != c.want || recorder.Code != c.status {
			t.Errorf("%s: AADSTS%d with status %d", name, code(answer), recorder.Code)
		}
	}
}

func TestAssignment(t *testing.T) {
	const disabled = "99999999-2222-4333-8444-555555555555"
	for name, c := range map[string]struct {
		grants   []string
		required bool
		want     oauth.Code
		roles    int
	}{
		"role":                        {[]string{roleID}, true, 0, 1},
		"no role, not required":       {nil, false, 0, 0},
		"no role, required":           {nil, true, oauth.NotAssigned, 0},
		"default role":                {[]string{directory.DefaultAppRoleID}, true, 0, 0},
		"a role that is switched off": {[]string{disabled}, true, oauth.NotAssigned, 0},
	} {
		w := newWorld(t)
		w.client.Grants[resourceSP] = c.grants
		w.resource.AssignmentRequired = c.required
		_, answer := w.send(t, V2, tenantID, w.form().Encode())
		if code(answer) != c.want {
			t.Errorf("%s: AADSTS%d, want AADSTS%d", name, code(answer), c.want)
		} else if c.want == 0 {
			roles, _ := payload(t, answer)["roles"].([]any)
			if len(roles) != c.roles {
				t.Errorf("%s: roles %v", name, roles)
			}
		}
	}
	w := newWorld(t)
	w.resource.Enabled = false
	if _, answer := w.send(t, V2, tenantID, w.form().Encode()); code(answer) != oauth.ResourceDisabled {
		t.Errorf("disabled resource: %v", answer)
	}
}

// What the database holds when a decision is recorded decides, and not what
// was remembered of it: for a permission as for a refusal.
func TestDecisionsRestOnTheDatabase(t *testing.T) {
	other := directory.Credential{ID: "old", Issuer: issuer, Subject: "other", Audiences: []string{audience}}
	w := newWorld(t)
	w.client, w.newer = newClient(other), w.client
	if _, answer := w.send(t, V2, tenantID, w.form().Encode()); code(answer) != 0 || w.outdated != 1 || len(w.decisions) != 1 {
		t.Errorf("a credential that the database holds was refused: %v, %d times outdated, %d records", answer, w.outdated, len(w.decisions))
	}
	w = newWorld(t)
	w.newer = newClient(other)
	if _, answer := w.send(t, V2, tenantID, w.form().Encode()); code(answer) != oauth.SubjectMismatch || w.outdated != 1 || len(w.decisions) != 1 {
		t.Errorf("a credential that the database no longer holds was accepted: %v, %d times outdated, %d records", answer, w.outdated, len(w.decisions))
	}
	if d := w.decisions[0]; d.Allowed || d.TokenID != "" || d.CredentialID != "" {
		t.Errorf("the record of the refusal tells of the token that was thrown away: %+v", d)
	}
	w = newWorld(t)
	w.newer = newClient()
	w.newer.Grants = nil
	if _, answer := w.send(t, V2, tenantID, w.form().Encode()); code(answer) != 0 || payload(t, answer)["roles"] != nil {
		t.Errorf("a role that was taken away is in the token: %v", answer)
	}
	w = newWorld(t)
	disabled := w.resource
	disabled.Enabled = false
	disabled.MarkStale()
	if w.send(t, V2, tenantID, w.form().Encode()); w.outdated != 1 {
		t.Errorf("a refusal because of a resource as it was: %d times outdated", w.outdated)
	}
	w = newWorld(t)
	if _, answer := w.send(t, V2, tenantID, w.form().Encode()); code(answer) != 0 || w.outdated != 0 {
		t.Errorf("nothing had changed: %v, %d times outdated", answer, w.outdated)
	}
}

// A decision that was made again is given up when the database was replaced
// meanwhile: it may rest on what was lost.
func TestNoDecisionOnWhatWasLost(t *testing.T) {
	w := newWorld(t)
	w.busy, w.lost = true, true
	recorder, answer := w.send(t, V2, tenantID, w.form().Encode())
	if code(answer) != oauth.TransientFailure || recorder.Code != 503 || len(w.decisions) != 0 {
		t.Errorf("%v, %d records", answer, len(w.decisions))
	}
}

// That a client is not there was read from a database that another one took
// over from: no record tells.
func TestNoRefusalForWhatWasLost(t *testing.T) {
	w := newWorld(t)
	form := w.form()
	form.Set("client_id", "11111111-1111-4111-8111-111111111111")
	w.lost = true
	if _, answer := w.send(t, V2, tenantID, form.Encode()); code(answer) != oauth.TransientFailure || len(w.decisions) != 0 {
		t.Errorf("%v, %d records", answer, len(w.decisions))
	}
}

// A credential that is deleted while the issuer's keys are fetched does not
// give a token: the answer would come after the delete returned.
func TestRevocationDuringTheFetch(t *testing.T) {
	w := newWorld(t)
	w.duringProof = func() {
		w.client.MarkStale()
		w.client = newClient(directory.Credential{ID: "c2", Issuer: issuer, Subject: "other", Audiences: []string{audience}})
	}
	if _, answer := w.send(t, V2, tenantID, w.form().Encode()); code(answer) != oauth.SubjectMismatch {
		t.Errorf("AADSTS%d for a credential that was deleted meanwhile", code(answer))
	}
}

// A tenant that becomes strict while the issuer's keys are fetched refuses what
// strict tenants refuse.
func TestTenantNarrowedDuringTheFetch(t *testing.T) {
	narrowed := func() *world {
		w := newWorld(t)
		w.duringProof = func() {
			old := w.tenant
			w.tenant = &directory.TenantRecord{Tenant: old.Tenant}
			w.tenant.Compat = directory.Strict
			old.MarkStale()
		}
		return w
	}
	w := narrowed()
	if _, answer := w.send(t, V2, tenantID, w.form().Encode()); code(answer) != oauth.AlgorithmNotSupported {
		t.Errorf("AADSTS%d for EdDSA in a tenant that is strict by now", code(answer))
	}
	w = narrowed()
	form := w.form()
	form.Set("resource", "api://orders")
	form.Del("scope")
	if _, answer := w.send(t, V2, tenantID, form.Encode()); code(answer) != oauth.ResourceOnV2 {
		t.Errorf("AADSTS%d for the parameter resource in a tenant that is strict by now", code(answer))
	}
}

// Requests that are not examined are answered 429; one in a while is recorded,
// and none of them keeps a client away that was issued a token.
func TestPolicyThatOnlyReports(t *testing.T) {
	w := newWorld(t)
	w.tenant = &directory.TenantRecord{Tenant: directory.Tenant{ID: tenantID, DisplayName: "Contoso", Compat: directory.Relaxed, Policy: directory.FederationPolicy{
		AllowedIssuers: directory.AllowedIssuers{Issuers: []string{"https://other.example"}, Mode: directory.ReportOnly}}}}
	if _, answer := w.send(t, V2, tenantID, w.form().Encode()); code(answer) != 0 {
		t.Fatalf("refused: %v", answer)
	}
	want := []string{"federationPolicy.allowedIssuers"}
	if d := w.decisions[0]; !d.Allowed || !slices.Equal(d.ReportOnly, want) || !slices.Equal(w.outcomes[0].ReportOnly, want) {
		t.Errorf("decision %+v, outcome %+v", d, w.outcomes[0])
	}
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLimitedWorld(t, limit.Refusals{Source: 1, Client: 100, Issuer: 100, All: 1000})
		good, bad := w.form().Encode(), w.form()
		bad.Set("client_assertion", "nonsense")
		if _, answer := w.send(t, V2, tenantID, good); code(answer) != 0 {
			t.Fatal(answer)
		}
		examined, limited := 0, 0
		stranger := w.form()
		stranger.Set("client_id", "11111111-1111-4111-8111-111111111111")
		for range 14 {
			recorder, answer := w.send(t, V2, tenantID, stranger.Encode())
			switch code(answer) {
			case oauth.ClientNotFound:
				examined++
			case oauth.TooManyRequests:
				limited++
				if recorder.Code != 429 || recorder.Header().Get("Retry-After") != "1" {
					t.Errorf("%d %v", recorder.Code, recorder.Header())
				}
			}
		}
		if examined != 10 || limited != 4 {
			t.Errorf("%d examined, %d limited", examined, limited)
		}
		if n := len(w.decisions); n != 12 || w.decisions[11].Code != int(oauth.TooManyRequests) {
			t.Errorf("%d records", n)
		}
		if w.outcomes[14].Limited != "source" {
			t.Errorf("outcome %+v", w.outcomes[14])
		}
		if _, answer := w.send(t, V2, tenantID, good); code(answer) != 0 {
			t.Errorf("the client is kept away: %v", answer)
		}
		if _, answer := w.send(t, V2, tenantID, bad.Encode()); code(answer) != oauth.MalformedAssertion {
			t.Errorf("its refusals are examined: %v", answer)
		}
		if _, answer := w.send(t, V2, tenantID, "grant_type=%zz"); code(answer) != oauth.TooManyRequests {
			t.Errorf("what cannot be read counts for its source: %v", answer)
		}
	})
}

// With sharing turned on equal requests get one token, for as long as nothing
// that it is made of changes.
func TestSharedTokens(t *testing.T) {
	w := newWorld(t)
	w.Endpoint.shared = newShared(30 * time.Second)
	ask := func(change func(url.Values)) string {
		t.Helper()
		form := w.form()
		if change != nil {
			change(form)
		}
		_, answer := w.send(t, V2, tenantID, form.Encode())
		if code(answer) != 0 {
			t.Fatal(answer)
		}
		return payload(t, answer)["uti"].(string)
	}
	first := ask(nil)
	if again := ask(nil); again != first || !w.decisions[1].TokenShared || w.decisions[0].TokenShared || w.decisions[1].TokenID != first {
		t.Errorf("an equal request got %s after %s; recorded as shared: %v", again, first, w.decisions[1].TokenShared)
	}
	if other := ask(func(f url.Values) { f.Set("scope", resourceID+"/.default") }); other == first {
		t.Error("a request for the resource under another name shares a token")
	}
	other := directory.Credential{ID: "c2", Name: "other", Issuer: issuer, Subject: "other", Audiences: []string{audience}}
	w.client = newClient(append(w.client.Credentials, other)...)
	changed := ask(nil)
	if changed == first {
		t.Error("a client that was changed shares the token of before")
	}
	if ask(func(f url.Values) {
		f.Set("client_assertion", w.assertion(func(c map[string]any) { c["sub"] = "other" }))
	}) == changed {
		t.Error("another subject shares a token")
	}
	w.resource = newResource()
	if ask(nil) == changed {
		t.Error("a resource that was changed shares the token of before")
	}
}

func TestSharedTokensEnd(t *testing.T) {
	s, key := newShared(30*time.Second), sharedKey{audience: "a"}
	s.put(key, issued{id: "t", keyID: "k", issuedAt: now})
	for _, c := range []struct {
		keyID string
		at    time.Duration
		want  bool
	}{{"k", 29 * time.Second, true}, {"k", 30 * time.Second, false}, {"successor", time.Second, false}} {
		if _, ok := s.get(key, c.keyID, now.Add(c.at)); ok != c.want {
			t.Errorf("signed with k, asked for %s after %v: %v", c.keyID, c.at, ok)
		}
	}
	for i := range 10 * mostShared {
		s.put(sharedKey{audience: fmt.Sprint(i)}, issued{keyID: "k", issuedAt: now})
	}
	if n := len(s.newer) + len(s.older); n > 2*mostShared {
		t.Errorf("%d tokens are kept", n)
	}
}

// What is kept of a request must not keep its whole body alive.
func TestFieldsAreCopies(t *testing.T) {
	body := "client_id=" + clientID + "&pad=" + strings.Repeat("a", 1000)
	var q request
	if refusal := q.parseForm(body); refusal != nil {
		t.Fatal(refusal)
	}
	if start := unsafe.StringData(body); uintptr(unsafe.Pointer(unsafe.StringData(q.clientID))) == uintptr(unsafe.Pointer(start))+uintptr(len("client_id=")) {
		t.Error("client_id is a part of the body")
	}
}

// Others may write to the client all the time; its exchanges are decided all
// the same, allowed and refused.
func TestDecisionsEndWhileOthersWrite(t *testing.T) {
	for _, subject := range []string{subject, "other"} {
		w := newWorld(t)
		w.busy = true
		form := w.form()
		form.Set("client_assertion", w.assertion(func(c map[string]any) { c["sub"] = subject }))
		_, answer := w.send(t, V2, tenantID, form.Encode())
		if got := code(answer); got != 0 && subject != "other" || got != oauth.SubjectMismatch && subject == "other" {
			t.Errorf("%s: %v", subject, answer)
		}
		if w.outdated != 1 || len(w.decisions) != 1 {
			t.Errorf("%s: %d times outdated, %d records", subject, w.outdated, len(w.decisions))
		}
	}
}

func FuzzRequest(f *testing.F) {
	w := newWorld(f)
	f.Add(w.form().Encode())
	f.Add("grant_type=client_credentials&client_id=%zz")
	f.Add("a=1&a=2;b=3")
	f.Fuzz(func(t *testing.T, body string) {
		var q request
		if refusal := q.parseForm(body); refusal != nil {
			return
		}
		if refusal := q.check(V2, directory.Relaxed); refusal == nil && (q.clientID == "" || q.assertion == "" || q.resource == "") {
			t.Fatalf("accepted without its parameters: %q", body)
		}
	})
}

func FuzzScope(f *testing.F) {
	f.Add("api://orders/.default openid")
	f.Add("/.default")
	f.Fuzz(func(t *testing.T, scope string) {
		if resource, refusal := defaultScope(scope); refusal == nil && (resource == "" || !strings.Contains(scope, resource+"/.default")) {
			t.Fatalf("%q became %q", scope, resource)
		}
	})
}

func BenchmarkServeTenant(b *testing.B) {
	w := newWorld(b)
	form := w.form().Encode()
	b.ReportAllocs()
	for b.Loop() {
		w.send(b, V2, tenantID, form)
		w.decisions, w.outcomes = w.decisions[:0], w.outcomes[:0]
	}
}
