package federation

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cambio/internal/directory"
	"cambio/internal/jose"
	"cambio/internal/oauth"
)

const (
	issuer   = "https://idp.example/Path"
	subject  = "repo:acme/Shop:ref:refs/heads/main"
	audience = "api://AzureADTokenExchange"
)

var now = time.Date(2026, 11, 2, 9, 15, 27, 0, time.UTC)

// provider signs test assertions with one Ed25519 key.
type provider struct {
	private ed25519.PrivateKey
	public  *jose.PublicKey
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	pub, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jose.NewPublicKey(pub, "k1", jose.EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	return &provider{private, key}
}

// sign makes a token of literal header and payload.
func (p *provider) sign(header, payload string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	return input + "." + b64(ed25519.Sign(p.private, []byte(input)))
}

const header = `{"alg":"EdDSA","kid":"k1","typ":"JWT"}`

// token signs claims; over replaces or, with an empty value, removes members.
func (p *provider) token(over map[string]string) string {
	members := map[string]string{"iss": quote(issuer), "sub": quote(subject), "aud": quote(audience),
		"iat": fmt.Sprint(now.Unix()), "nbf": fmt.Sprint(now.Unix()), "exp": fmt.Sprint(now.Add(time.Hour).Unix())}
	for k, v := range over {
		members[k] = v
	}
	var list []string
	for k, v := range members {
		if v != "" {
			list = append(list, quote(k)+":"+v)
		}
	}
	return p.sign(header, "{"+strings.Join(list, ",")+"}")
}

func quote(s string) string { return `"` + s + `"` }

// fakeKeys is a KeySource of fixed answers that counts its calls.
type fakeKeys struct {
	keys    []*jose.PublicKey
	renewed []*jose.PublicKey
	err     error
	lookups int
}

func (f *fakeKeys) Lookup(context.Context, string, *directory.IssuerRecord, jose.Header) ([]*jose.PublicKey, error) {
	f.lookups++
	return f.keys, f.err
}

func (f *fakeKeys) Renew(context.Context, string, *directory.IssuerRecord, jose.Header, []*jose.PublicKey) []*jose.PublicKey {
	return f.renewed
}

func verifier(keys KeySource) *Verifier {
	return New(Config{Keys: keys, Clock: func() time.Time { return now },
		Own:              func(i string) bool { return strings.HasPrefix(i, "https://sts.example/") },
		IssuedAtOptional: func(i string) bool { return i == "https://spire.example" }})
}

func client(credentials ...directory.Credential) *directory.ClientRecord {
	r := &directory.ClientRecord{ClientID: "3f0e9d1c-6a52-4b8f-8c11-5d2e7a904b63", DisplayName: "shop", Credentials: credentials}
	return r.Compile()
}

func credential() directory.Credential {
	return directory.Credential{ID: "c1", Name: "main", Issuer: issuer, Subject: subject, Audiences: []string{audience}}
}

// verify runs the core as the endpoint does.
func verify(v *Verifier, c *directory.ClientRecord, token string, compat directory.Compat) oauth.Code {
	a, refusal := Parse(token)
	if refusal == nil {
		refusal = v.Admit(a, c.ClientID, compat)
	}
	if refusal == nil {
		_, refusal = Match(c, a)
	}
	if refusal == nil {
		refusal = v.Prove(context.Background(), a, compat, nil)
	}
	if refusal == nil {
		return 0
	}
	return refusal.Code
}

func at(d time.Duration) string { return fmt.Sprint(now.Add(d).Unix()) }

func TestClaimsDecide(t *testing.T) {
	p := newProvider(t)
	for name, c := range map[string]struct {
		over map[string]string
		want oauth.Code
	}{
		"good":                        {nil, 0},
		"audience in a list":          {map[string]string{"aud": `["x","` + audience + `"]`}, 0},
		"fractional time":             {map[string]string{"exp": at(time.Hour) + ".5"}, 0},
		"exactly 25 hours":            {map[string]string{"exp": at(25 * time.Hour)}, 0},
		"25 hours and a second":       {map[string]string{"exp": at(25*time.Hour + time.Second)}, oauth.LifetimeTooLong},
		"no iat":                      {map[string]string{"iat": ""}, oauth.LifetimeTooLong},
		"no exp":                      {map[string]string{"exp": ""}, oauth.AssertionOutsideValidity},
		"no nbf":                      {map[string]string{"nbf": ""}, 0},
		"expired within the skew":     {map[string]string{"exp": at(-4 * time.Minute)}, 0},
		"expired beyond the skew":     {map[string]string{"exp": at(-6 * time.Minute)}, oauth.AssertionOutsideValidity},
		"not yet valid":               {map[string]string{"nbf": at(6 * time.Minute)}, oauth.AssertionOutsideValidity},
		"issued in the future":        {map[string]string{"iat": at(6 * time.Minute)}, oauth.AssertionOutsideValidity},
		"no iss":                      {map[string]string{"iss": ""}, oauth.MissingClaim},
		"no sub":                      {map[string]string{"sub": ""}, oauth.MissingClaim},
		"no aud":                      {map[string]string{"aud": ""}, oauth.MissingClaim},
		"empty aud list":              {map[string]string{"aud": "[]"}, oauth.MissingClaim},
		"sub is a number":             {map[string]string{"sub": "1"}, oauth.MalformedAssertion},
		"exp is a string":             {map[string]string{"exp": `"1"`}, oauth.MalformedAssertion},
		"exp beyond every calendar":   {map[string]string{"exp": "1e300"}, oauth.MalformedAssertion},
		"NUL in sub":                  {map[string]string{"sub": `"a\u0000b"`}, oauth.MalformedAssertion},
		"issuer with a slash more":    {map[string]string{"iss": quote(issuer + "/")}, oauth.IssuerMismatch},
		"issuer in another case":      {map[string]string{"iss": quote(strings.ToLower(issuer))}, oauth.CaseMismatch},
		"subject in another case":     {map[string]string{"sub": quote(strings.ToLower(subject))}, oauth.CaseMismatch},
		"audience in another case":    {map[string]string{"aud": quote(strings.ToLower(audience))}, oauth.CaseMismatch},
		"another subject":             {map[string]string{"sub": quote("repo:acme/shop:pull_request")}, oauth.SubjectMismatch},
		"subject with white space":    {map[string]string{"sub": quote(subject + " ")}, oauth.SubjectMismatch},
		"another audience":            {map[string]string{"aud": quote("api://other")}, oauth.AudienceMismatch},
		"an own token":                {map[string]string{"iss": quote("https://sts.example/t/v2.0")}, oauth.OwnTokenAsAssertion},
		"signed by the client itself": {map[string]string{"iss": quote("3f0e9d1c-6a52-4b8f-8c11-5d2e7a904b63")}, oauth.SignatureInvalid},
	} {
		keys := &fakeKeys{keys: []*jose.PublicKey{p.public}}
		if got := verify(verifier(keys), client(credential()), p.token(c.over), directory.Relaxed); got != c.want {
			t.Errorf("%s: AADSTS%d, want AADSTS%d", name, got, c.want)
		}
		// Nothing is fetched for a token that no credential names.
		switch c.want {
		case 0, oauth.AssertionOutsideValidity:
		default:
			if keys.lookups != 0 {
				t.Errorf("%s: the issuer's keys were asked for before the token matched", name)
			}
		}
	}
}

func TestHeaderDecides(t *testing.T) {
	p := newProvider(t)
	payload := strings.Split(p.token(nil), ".")[1]
	raw, _ := base64.RawURLEncoding.DecodeString(payload)
	for head, want := range map[string]oauth.Code{
		`{"alg":"EdDSA","kid":"k1"}`:                0,
		`{"alg":"EdDSA","kid":"k1","typ":"jwt"}`:    0,
		`{"alg":"EdDSA","kid":"k1","typ":"JWS"}`:    0,
		`{"alg":"EdDSA","kid":"k1","typ":"at+jwt"}`: oauth.MalformedAssertion,
		`{"alg":"EdDSA","kid":"k1","crit":["x"]}`:   oauth.MalformedAssertion,
		`{"alg":"none","kid":"k1"}`:                 oauth.AlgorithmNotSupported,
		`{"alg":"HS256","kid":"k1"}`:                oauth.AlgorithmNotSupported,
		`{"alg":"EdDSA","alg":"EdDSA","kid":"k1"}`:  oauth.MalformedAssertion,
		`{"alg":"eddsa","kid":"k1"}`:                oauth.AlgorithmNotSupported,
	} {
		keys := &fakeKeys{keys: []*jose.PublicKey{p.public}}
		if got := verify(verifier(keys), client(credential()), p.sign(head, string(raw)), directory.Relaxed); got != want {
			t.Errorf("%s: AADSTS%d, want AADSTS%d", head, got, want)
		}
	}
	if got := verify(verifier(&fakeKeys{}), client(credential()), p.token(nil), directory.Strict); got != oauth.AlgorithmNotSupported {
		t.Errorf("a strict tenant answered AADSTS%d to EdDSA; Entra takes RSA only", got)
	}
}

func TestKeySourceDecides(t *testing.T) {
	p, other := newProvider(t), newProvider(t)
	gone := &UnavailableError{Reason: "it did not answer", Temporary: true, RetryAfter: 3 * time.Second}
	bad := &UnavailableError{Reason: "it is another issuer's"}
	for name, c := range map[string]struct {
		keys   fakeKeys
		compat directory.Compat
		want   oauth.Code
		status int
	}{
		"right key":                {fakeKeys{keys: []*jose.PublicKey{p.public}}, directory.Relaxed, 0, 0},
		"second of two keys":       {fakeKeys{keys: []*jose.PublicKey{other.public, p.public}}, directory.Relaxed, 0, 0},
		"wrong key":                {fakeKeys{keys: []*jose.PublicKey{other.public}}, directory.Relaxed, oauth.SignatureInvalid, 401},
		"key replaced under a kid": {fakeKeys{keys: []*jose.PublicKey{other.public}, renewed: []*jose.PublicKey{p.public}}, directory.Relaxed, 0, 0},
		"unknown kid":              {fakeKeys{err: fmt.Errorf("wrapped: %w", ErrUnknownKey)}, directory.Relaxed, oauth.SigningKeyNotFound, 401},
		"kid required":             {fakeKeys{err: ErrKeyIDRequired}, directory.Relaxed, oauth.KeyIDMissing, 401},
		"issuer down":              {fakeKeys{err: gone}, directory.Relaxed, oauth.IssuerUnavailable, 503},
		"issuer's document bad":    {fakeKeys{err: bad}, directory.Relaxed, oauth.IssuerUnavailable, 401},
		"cancelled":                {fakeKeys{err: context.Canceled}, directory.Relaxed, oauth.TransientFailure, 503},
	} {
		a, refusal := Parse(p.token(nil))
		if refusal != nil {
			t.Fatal(refusal)
		}
		refusal = verifier(&c.keys).Prove(context.Background(), a, c.compat, nil)
		switch {
		case c.want == 0 && refusal != nil, c.want != 0 && (refusal == nil || refusal.Code != c.want || refusal.Status != c.status):
			t.Errorf("%s: %v, want AADSTS%d with status %d", name, refusal, c.want, c.status)
		}
	}
	a, _ := Parse(p.token(nil))
	if r := verifier(&fakeKeys{err: gone}).Prove(context.Background(), a, directory.Strict, nil); r == nil || r.Status != 400 || r.OAuth != oauth.InvalidRequest {
		t.Errorf("a strict tenant answers an unreachable issuer as Entra does, with 400 invalid_request; got %+v", r)
	}
}

// A token that expires while its issuer's keys are being fetched is refused.
func TestTimesAreCheckedAfterTheFetch(t *testing.T) {
	p := newProvider(t)
	clock := now
	v := New(Config{Keys: slowKeys{p.public, func() { clock = clock.Add(2 * time.Hour) }}, Clock: func() time.Time { return clock }, Own: func(string) bool { return false }})
	a, refusal := Parse(p.token(nil))
	if refusal != nil {
		t.Fatal(refusal)
	}
	if r := v.Prove(context.Background(), a, directory.Relaxed, nil); r == nil || r.Code != oauth.AssertionOutsideValidity {
		t.Errorf("got %v, want AADSTS%d", r, oauth.AssertionOutsideValidity)
	}
}

type slowKeys struct {
	key  *jose.PublicKey
	wait func()
}

func (s slowKeys) Lookup(context.Context, string, *directory.IssuerRecord, jose.Header) ([]*jose.PublicKey, error) {
	s.wait()
	return []*jose.PublicKey{s.key}, nil
}

func (s slowKeys) Renew(context.Context, string, *directory.IssuerRecord, jose.Header, []*jose.PublicKey) []*jose.PublicKey {
	return nil
}

func TestMatchIsPerCredential(t *testing.T) {
	second := directory.Credential{ID: "c2", Issuer: issuer, Subject: "other", Audiences: []string{"api://other"}}
	c := client(credential(), second)
	for name, a := range map[string]*Assertion{
		"subject of one, audience of the other": {Issuer: issuer, Subject: subject, Audiences: []string{"api://other"}},
		"and the reverse":                       {Issuer: issuer, Subject: "other", Audiences: []string{audience}},
	} {
		if found, refusal := Match(c, a); refusal == nil || refusal.Code != oauth.AudienceMismatch {
			t.Errorf("%s: %v, %v", name, found, refusal)
		}
	}
	if found, refusal := Match(c, &Assertion{Issuer: issuer, Subject: "other", Audiences: []string{"api://other"}}); refusal != nil || found.ID != "c2" {
		t.Errorf("got %v, %v", found, refusal)
	}
	if _, refusal := Match(client(), &Assertion{Issuer: issuer, Subject: subject, Audiences: []string{audience}}); refusal == nil || refusal.Code != oauth.NoFederatedCredential {
		t.Errorf("without any credential: %v", refusal)
	}
}

func TestRequiredClaims(t *testing.T) {
	p := newProvider(t)
	policy := &directory.FederationPolicy{RequiredClaims: []directory.RequiredClaim{
		{Issuer: issuer, Claim: "enterprise", Values: []string{"acme", "acme-labs"}}, {Issuer: "https://other.example", Claim: "x", Values: []string{"y"}}}}
	for value, allowed := range map[string]bool{`"acme"`: true, `"acme-labs"`: true, `"Acme"`: false, `["acme"]`: false, `1`: false, ``: false} {
		a, refusal := Parse(p.token(map[string]string{"enterprise": value}))
		if refusal != nil {
			t.Fatal(refusal)
		}
		var reported []string
		refusal, reported = CheckClaims(a, policy)
		if reported != nil {
			t.Errorf("reported %v", reported)
		}
		if allowed != (refusal == nil) || refusal != nil && refusal.Code != oauth.RequiredClaimMissing {
			t.Errorf("enterprise %s: %v", value, refusal)
		}
	}
}

func TestReportOnlyRules(t *testing.T) {
	a, refusal := Parse(newProvider(t).token(nil))
	if refusal != nil {
		t.Fatal(refusal)
	}
	policy := &directory.FederationPolicy{AllowedIssuers: directory.AllowedIssuers{Issuers: []string{"https://other.example"}, Mode: directory.ReportOnly},
		RequiredClaims: []directory.RequiredClaim{{Issuer: issuer, Claim: "a", Values: []string{"b"}, Mode: directory.ReportOnly}, {Issuer: issuer, Claim: "c", Values: []string{"d"}, Mode: directory.ReportOnly}}}
	if refusal, reported := CheckIssuer(a, policy); refusal != nil || !slices.Equal(reported, []string{"federationPolicy.allowedIssuers"}) {
		t.Errorf("issuer: %v, reported %v", refusal, reported)
	}
	if refusal, reported := CheckClaims(a, policy); refusal != nil || !slices.Equal(reported, []string{"federationPolicy.requiredClaims[0]", "federationPolicy.requiredClaims[1]"}) {
		t.Errorf("claims: %v, reported %v", refusal, reported)
	}
	policy.AllowedIssuers.Mode, policy.RequiredClaims[1].Mode = directory.Enforce, directory.Enforce
	if refusal, _ := CheckIssuer(a, policy); refusal == nil || refusal.Code != oauth.FederationDisabled || !strings.Contains(refusal.Description, "'federationPolicy.allowedIssuers'") {
		t.Errorf("an issuer that is not allowed: %v", refusal)
	}
	if refusal, reported := CheckClaims(a, policy); refusal == nil || refusal.Code != oauth.RequiredClaimMissing || len(reported) != 1 {
		t.Errorf("claims: %v, reported %v", refusal, reported)
	}
}

func TestMissingIssuedAtCanBeAllowed(t *testing.T) {
	p := newProvider(t)
	a, refusal := Parse(p.token(map[string]string{"iat": "", "iss": quote("https://spire.example")}))
	if refusal != nil {
		t.Fatal(refusal)
	}
	if r := verifier(&fakeKeys{keys: []*jose.PublicKey{p.public}}).Prove(context.Background(), a, directory.Relaxed, nil); r != nil {
		t.Errorf("an issuer that may leave iat out was refused: %v", r)
	}
}

func FuzzParse(f *testing.F) {
	p := newProvider(f)
	f.Add(p.token(nil))
	f.Add(p.sign(header, `{"iss":1}`))
	f.Add("..")
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		a, refusal := Parse(token)
		if (a == nil) == (refusal == nil) && refusal == nil {
			t.Fatal("neither an assertion nor a refusal")
		}
		if refusal == nil && (a.Issuer == "" || a.Subject == "" || len(a.Audiences) == 0) {
			t.Fatalf("accepted without its claims: %+v", a)
		}
	})
}

// A JWT-SVID without iss has its trust domain as its issuer, but not in a
// strict tenant, and not if its subject is no SPIFFE ID.
func TestIssuerOfJWTSVIDs(t *testing.T) {
	const td, id = "spiffe://example.org", "spiffe://example.org/ns/shop/sa/api"
	p := newProvider(t)
	trusted := client(directory.Credential{ID: "c1", Name: "main", Issuer: td, Subject: id, Audiences: []string{audience}})
	for name, c := range map[string]struct {
		over   map[string]string
		compat directory.Compat
		want   oauth.Code
	}{
		"no iss":                  {map[string]string{"iss": "", "sub": quote(id)}, directory.Relaxed, 0},
		"no iss, strict":          {map[string]string{"iss": "", "sub": quote(id)}, directory.Strict, oauth.AlgorithmNotSupported},
		"an empty iss":            {map[string]string{"iss": `""`, "sub": quote(id)}, directory.Relaxed, oauth.MissingClaim},
		"another trust domain":    {map[string]string{"iss": "", "sub": quote("spiffe://example.com/ns/shop/sa/api")}, directory.Relaxed, oauth.IssuerMismatch},
		"no SPIFFE ID":            {map[string]string{"iss": ""}, directory.Relaxed, oauth.MissingClaim},
		"a path that is none":     {map[string]string{"iss": "", "sub": quote(td + "/a/../ns")}, directory.Relaxed, oauth.MissingClaim},
		"speaks of another":       {map[string]string{"iss": quote(td), "sub": quote("spiffe://example.com/ns")}, directory.Relaxed, oauth.SubjectMismatch},
		"an iss that is no other": {map[string]string{"iss": quote(issuer), "sub": quote(id)}, directory.Relaxed, oauth.IssuerMismatch},
	} {
		if got := verify(verifier(&fakeKeys{keys: []*jose.PublicKey{p.public}}), trusted, p.token(c.over), c.compat); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	a, refusal := Parse(p.token(map[string]string{"iss": "", "sub": quote(id)}))
	if refusal != nil {
		t.Fatal(refusal)
	}
	a.jws.Header.Algorithm = jose.RS256 // which strict tenants take
	if refusal := verifier(&fakeKeys{}).Admit(a, trusted.ClientID, directory.Strict); refusal == nil || refusal.Code != oauth.MissingClaim {
		t.Errorf("strict: %v", refusal)
	}
}
