package token

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/internal/audit"
	"cambio/internal/directory"
	"cambio/internal/federation"
	"cambio/internal/jose"
	"cambio/internal/limit"
	"cambio/internal/oauth"
)

const (
	tenantID   = "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77"
	clientID   = "3f0e9d1c-6a52-4b8f-8c11-5d2e7a904b63"
	clientSP   = "e58b6a40-1d2c-4e7f-9b3a-6c8d0f2e4a55"
	resourceID = "90d4c8f6-2b1e-4a3d-b7c5-1e9f8a6d4c02"
	resourceSP = "0a9b8c7d-6e5f-4a3b-9c1d-2e3f4a5b6c7d"
	roleID     = "11111111-2222-4333-8444-555555555555"
	issuer     = "https://idp.example"
	subject    = "repo:acme/shop:ref:refs/heads/main"
	audience   = "api://AzureADTokenExchange"
)

var now = time.Date(2026, 11, 2, 9, 15, 27, 0, time.UTC)

// world is an endpoint with everything around it faked, and the directory's
// state in the open.
type world struct {
	*Endpoint
	tenant      *directory.TenantRecord // nil: a relaxed one
	client      *directory.ClientRecord
	newer       *directory.ClientRecord // what the database holds by the time of recording; nil: nothing newer
	resource    *directory.ResourceRecord
	err         error // of every directory call
	recordErr   error
	decisions   []*audit.Decision
	outcomes    []Outcome
	lost        lost // whether the database lost what it held
	outdated    int  // decisions that had to be made again
	busy        bool // every record is out of date as soon as it is read
	private     ed25519.PrivateKey
	refusals    limit.Refusals
	public      *jose.PublicKey
	duringProof func()
}

func newWorld(t testing.TB) *world { return newLimitedWorld(t, limit.Refusals{}) }

func newLimitedWorld(t testing.TB, refusals limit.Refusals) *world {
	t.Helper()
	pub, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{client: newClient(), resource: newResource(), private: private, refusals: refusals}
	if w.public, err = jose.NewPublicKey(pub, "k1", jose.EdDSA); err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return now }
	verifier := federation.New(federation.Config{Keys: w, Clock: clock, Own: func(i string) bool { return strings.HasPrefix(i, "https://sts.example.net") }})
	w.Endpoint = New(Config{BaseURL: "https://sts.example.net", Directory: w, Verifier: verifier, Signer: fakeSigner{}, Recorder: w, Clock: clock,
		Lifetime: func() time.Duration { return time.Hour }, Observe: func(_ context.Context, o Outcome) { w.outcomes = append(w.outcomes, o) },
		Source: func(r *http.Request) string { return r.RemoteAddr }, Gate: limit.NewGate(w.refusals, clock)})
	return w
}

func newClient(credentials ...directory.Credential) *directory.ClientRecord {
	if credentials == nil {
		credentials = []directory.Credential{{ID: "c1", Name: "main", Issuer: issuer, Subject: subject, Audiences: []string{audience}}}
	}
	r := &directory.ClientRecord{TenantID: tenantID, ClientID: clientID, DisplayName: "shop", Credentials: credentials,
		ServicePrincipal: &directory.ServicePrincipal{ID: clientSP, AppID: clientID, AccountEnabled: true},
		Grants:           map[string][]string{resourceSP: {roleID}}}
	return r.Compile()
}

func newResource() *directory.ResourceRecord {
	return &directory.ResourceRecord{TenantID: tenantID, AppID: resourceID, DisplayName: "orders", ServicePrincipalID: resourceSP, Enabled: true,
		API: directory.APISettings{RequestedAccessTokenVersion: 2}, RoleValues: map[string]string{roleID: "Orders.Read.All"}}
}

func (w *world) Tenant(_ context.Context, ref string) (*directory.TenantRecord, error) {
	if !strings.EqualFold(ref, tenantID) && !strings.EqualFold(ref, "contoso.example") && !strings.EqualFold(ref, "adfs") {
		return nil, ErrNotFound
	}
	if w.tenant == nil {
		w.tenant = &directory.TenantRecord{Tenant: directory.Tenant{ID: tenantID, DisplayName: "Contoso", Compat: directory.Relaxed}}
	}
	return w.tenant, w.err
}

func (w *world) Client(_ context.Context, _, id string) (*directory.ClientRecord, error) {
	if id != clientID {
		return nil, ErrNotFound
	}
	if w.busy {
		w.client.MarkStale()
	}
	return w.client, w.err
}

func (w *world) Resource(_ context.Context, _, identifier string) (*directory.ResourceRecord, error) {
	if !slices.Contains([]string{resourceID, "api://orders", "https://orders/"}, identifier) {
		return nil, ErrNotFound
	}
	return w.resource, w.err
}

func (w *world) Lookup(context.Context, string, *directory.IssuerRecord, jose.Header) ([]*jose.PublicKey, error) {
	if w.duringProof != nil {
		w.duringProof()
	}
	return []*jose.PublicKey{w.public}, nil
}

func (w *world) Renew(context.Context, string, *directory.IssuerRecord, jose.Header, []*jose.PublicKey) []*jose.PublicKey {
	return nil
}

func (w *world) RecordDecision(_ context.Context, d *audit.Decision, basis interface{ Stale() bool }) error {
	if w.newer != nil {
		w.client.MarkStale()
		w.client, w.newer = w.newer, nil
	}
	if basis != nil && basis.Stale() {
		w.outdated++
		return ErrOutdated
	}
	w.decisions = append(w.decisions, d)
	return w.recordErr
}

func (w *world) History() interface{ Stale() bool } { return &w.lost }

type lost bool

func (l *lost) Stale() bool { return bool(*l) }

type fakeSigner struct{}

func (fakeSigner) Active(string) string { return "key-1" }

func (fakeSigner) Sign(dst []byte, algorithm, typ string, claims []byte) ([]byte, string, error) {
	b64 := base64.RawURLEncoding
	dst = b64.AppendEncode(dst, []byte(`{"typ":"`+typ+`","alg":"`+algorithm+`"}`))
	dst = b64.AppendEncode(append(dst, '.'), claims)
	return append(dst, ".c2ln"...), "key-1", nil
}

// assertion signs good claims; change edits them.
func (w *world) assertion(change func(map[string]any)) string {
	claims := map[string]any{"iss": issuer, "sub": subject, "aud": audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	if change != nil {
		change(claims)
	}
	payload, _ := json.Marshal(claims)
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(`{"alg":"EdDSA","kid":"k1"}`)) + "." + b64(payload)
	return input + "." + b64(ed25519.Sign(w.private, []byte(input)))
}

func (w *world) form() url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {clientID}, "scope": {"api://orders/.default"},
		"client_assertion_type": {oauth.AssertionTypeJWT}, "client_assertion": {w.assertion(nil)}}
}

// send posts a form to a door and decodes the answer.
func (w *world) send(t testing.TB, door Door, tenant, body string, headers ...string) (*httptest.ResponseRecorder, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/"+tenant+"/oauth2/v2.0/token", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	w.ServeTenant(recorder, r, door, tenant)
	var answer map[string]any
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s: %v", recorder.Body, err)
	}
	return recorder, answer
}

// code is the AADSTS number of an answer; 0 for a token.
func code(answer map[string]any) oauth.Code {
	codes, _ := answer["error_codes"].([]any)
	if len(codes) == 0 {
		return 0
	}
	return oauth.Code(codes[0].(float64))
}

func TestV2Answer(t *testing.T) {
	w := newWorld(t)
	recorder, answer := w.send(t, V2, tenantID, w.form().Encode())
	if recorder.Code != 200 || len(answer) != 4 || answer["token_type"] != "Bearer" || answer["expires_in"] != 3600.0 || answer["ext_expires_in"] != 3600.0 {
		t.Fatalf("status %d: %v", recorder.Code, answer)
	}
	claims := payload(t, answer)
	want := map[string]any{"aud": resourceID, "iss": "https://sts.example.net/" + tenantID + "/v2.0", "iat": float64(now.Unix()), "nbf": float64(now.Unix()),
		"exp": float64(now.Unix() + 3600), "azp": clientID, "azpacr": "2", "oid": clientSP, "sub": clientSP, "roles": []any{"Orders.Read.All"}, "tid": tenantID, "ver": "2.0"}
	compare(t, claims, want)
	for name, value := range map[string]string{"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store, no-cache", "Pragma": "no-cache"} {
		if got := recorder.Header().Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	d := w.decisions[0]
	if !d.Allowed || d.CredentialID != "c1" || d.TokenID != claims["uti"] || d.TokenKeyID != "key-1" || d.Resource != resourceID || d.Issuer != issuer {
		t.Errorf("the decision record is incomplete: %+v", d)
	}
	if len(w.outcomes) != 1 || w.outcomes[0].Code != 0 {
		t.Errorf("outcomes: %+v", w.outcomes)
	}
}

func TestV1Answer(t *testing.T) {
	w := newWorld(t)
	w.resource.API.RequestedAccessTokenVersion = 0
	form := w.form()
	form.Del("scope")
	form.Set("resource", "api://orders")
	_, answer := w.send(t, V1, "contoso.example", form.Encode())
	token := answer["access_token"]
	compare(t, answer, map[string]any{"token_type": "Bearer", "expires_in": "3600", "ext_expires_in": "3600", "resource": "api://orders",
		"expires_on": fmt.Sprint(now.Unix() + 3600), "not_before": fmt.Sprint(now.Unix()), "access_token": token})
	iss := "https://sts.example.net/" + tenantID + "/"
	compare(t, payload(t, answer), map[string]any{"aud": "api://orders", "iss": iss, "idp": iss, "iat": float64(now.Unix()), "nbf": float64(now.Unix()),
		"exp": float64(now.Unix() + 3600), "appid": clientID, "appidacr": "2", "oid": clientSP, "sub": clientSP, "roles": []any{"Orders.Read.All"}, "tid": tenantID, "ver": "1.0"})
}

func TestTokenProfiles(t *testing.T) {
	w := newWorld(t)
	w.resource.API.AccessTokenProfile, w.resource.API.AccessTokenSigningAlgorithm, w.resource.OptionalIdtyp = "rfc9068", "ES256", true
	w.client.Grants = nil
	_, answer := w.send(t, ADFS, "adfs", w.form().Encode())
	if head, _, _ := strings.Cut(answer["access_token"].(string), "."); !strings.HasPrefix(head, base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"at+jwt","alg":"ES256"`))[:30]) {
		t.Errorf("header %q", head)
	}
	claims := payload(t, answer)
	if claims["client_id"] != clientID || claims["jti"] != claims["uti"] || claims["idtyp"] != "app" {
		t.Errorf("claims %v", claims)
	}
	if _, has := claims["roles"]; has {
		t.Error("roles must be left out when there are none")
	}
}

func payload(t *testing.T, answer map[string]any) map[string]any {
	t.Helper()
	token, _ := answer["access_token"].(string)
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no token in %v", answer)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return claims
}

// compare wants exactly the given members; uti is random.
func compare(t *testing.T, got, want map[string]any) {
	t.Helper()
	for name, value := range want {
		if fmt.Sprint(got[name]) != fmt.Sprint(value) {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok && name != "uti" {
			t.Errorf("unexpected member %s: %v", name, got[name])
		}
	}
}

func TestErrorObject(t *testing.T) {
	w := newWorld(t)
	form := w.form()
	form.Set("client_assertion", w.assertion(func(c map[string]any) { c["sub"] = "other<b>" }))
	const id = "5f3c1a52-3f6e-4b0d-9d84-1f2d6a7c0b11"
	recorder, answer := w.send(t, V2, tenantID, form.Encode(), "client-request-id", strings.ToUpper(id), "return-client-request-id", "true")
	if recorder.Code != 401 || answer["error"] != "invalid_client" || code(answer) != oauth.SubjectMismatch || answer["correlation_id"] != id ||
		recorder.Header().Get("client-request-id") != id || recorder.Header().Get("x-ms-request-id") != answer["trace_id"] {
		t.Errorf("status %d, headers %v: %v", recorder.Code, recorder.Header(), answer)
	}
	want := regexp.MustCompile(`^AADSTS700213: .*'other·b·'.* Trace ID: [0-9a-f-]{36} Correlation ID: ` + id + ` Timestamp: 2026-11-02 09:15:27Z$`)
	if text, _ := answer["error_description"].(string); !want.MatchString(text) {
		t.Errorf("description %q", text)
	}
	if answer["timestamp"] != "2026-11-02 09:15:27Z" || answer["error_uri"] != "https://sts.example.net/error?code=700213" {
		t.Errorf("%v", answer)
	}
	if recorder.Header().Get("Retry-After") != "" {
		t.Error("a 401 needs no Retry-After")
	}
	if d := w.decisions[0]; d.Allowed || d.Code != 700213 || d.Subject != "other<b>" {
		t.Errorf("decision %+v", d)
	}
}

// Whatever the directory and the recorder do, no token leaves without a
// record.
func TestNoTokenWithoutARecord(t *testing.T) {
	w := newWorld(t)
	w.recordErr = errors.New("disk full")
	recorder, answer := w.send(t, V2, tenantID, w.form().Encode())
	if recorder.Code != 503 || answer["access_token"] != nil || code(answer) != oauth.TransientFailure || recorder.Header().Get("Retry-After") != "1" {
		t.Errorf("status %d: %v", recorder.Code, answer)
	}
}

func TestDirectoryOutage(t *testing.T) {
	w := newWorld(t)
	w.err = errors.New("sqlite: disk I/O error at /var/lib/x")
	recorder, answer := w.send(t, V2, tenantID, w.form().Encode())
	if recorder.Code != 503 || strings.Contains(recorder.Body.String(), "sqlite") {
		t.Errorf("status %d: %v", recorder.Code, answer)
	}
}
