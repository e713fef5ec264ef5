package explain

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/internal/directory"
	"cambio/internal/federation"
	"cambio/internal/oauth"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

const (
	github   = "https://token.actions.githubusercontent.com"
	audience = "api://AzureADTokenExchange"
	clientID = "3f0e9d1c-6a52-4b8f-8c11-5d2e7a904b63"
	aks      = "https://westeurope.oic.prod-aks.azure.com/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/11111111-2222-4333-8444-555555555555/"
)

// claims are the members of a claim set as JSON, by name; "" removes one.
type claims map[string]string

// token makes a token of the usual claims and others.
func token(t testing.TB, over claims) *Token {
	t.Helper()
	members := claims{"iss": quote(github), "sub": quote("repo:acme/shop:ref:refs/heads/main"), "aud": quote(audience),
		"iat": fmt.Sprint(now.Unix() - 60), "nbf": fmt.Sprint(now.Unix() - 60), "exp": fmt.Sprint(now.Unix() + 300)}
	for name, value := range over {
		members[name] = value
	}
	var list []string
	for name, value := range members {
		if value != "" {
			list = append(list, quote(name)+":"+value)
		}
	}
	slices.Sort(list)
	b64 := base64.RawURLEncoding.EncodeToString
	out := ReadToken(b64([]byte(`{"alg":"RS256","kid":"k1","typ":"JWT"}`)) + "." + b64([]byte("{"+strings.Join(list, ",")+"}")) + "." + b64(make([]byte, 256)))
	if out == nil {
		t.Fatalf("the claims %v cannot be read", over)
	}
	return out
}

func quote(s string) string { return `"` + s + `"` }

func client(credentials ...directory.Credential) *directory.ClientRecord {
	r := &directory.ClientRecord{TenantID: "t", ClientID: clientID, DisplayName: "shop", Kind: directory.KindApplication, Credentials: credentials}
	return r.Compile()
}

func credential(issuer, subject string) directory.Credential {
	return directory.Credential{ID: "c1", Name: "main", Issuer: issuer, Subject: subject, Audiences: []string{audience}}
}

func flexible(t testing.TB, expression string) directory.Credential {
	t.Helper()
	e, err := directory.ParseExpression(expression)
	if err != nil {
		t.Fatal(err)
	}
	c := credential(github, "")
	c.Expression = e
	return c
}

// main is the subject of the usual token.
const mainBranch = "repo:acme/shop:ref:refs/heads/main"

type nearMiss struct {
	name       string
	in         Input
	over       claims
	credential directory.Credential
	class      Class
	field      string
	fix        string // in the text
	command    string // whole; "-" for none
}

func update(flags string) string {
	return "cambio credential update main --app " + clientID + " " + flags
}

func matching(t *testing.T) []nearMiss {
	inAudience := func(a string) directory.Credential {
		c := credential(github, mainBranch)
		c.Audiences = []string{a}
		return c
	}
	ids := "repo:acme@1234567/shop@89012345:ref:refs/heads/main"
	sa := "system:serviceaccount:shop:api"
	onCluster := func(sub string) claims { return claims{"iss": quote(aks), "sub": quote(sub)} }
	return []nearMiss{
		{name: "case of the subject", credential: credential(github, "repo:Acme/shop:ref:refs/heads/main"), class: CaseOnly, field: FieldSubject, fix: "as the token has it", command: update("--subject " + mainBranch)},
		{name: "case of the issuer", credential: credential("https://Token.actions.githubusercontent.com", mainBranch), class: CaseOnly, field: FieldIssuer, command: update("--issuer " + github)},
		{name: "case of the audience", credential: inAudience("api://azureadtokenexchange"), class: CaseOnly, field: FieldAudience, command: update("--audience " + audience)},
		{name: "case of a pattern", credential: flexible(t, "claims['sub'] matches 'repo:Acme/*'"), class: CaseOnly, field: "claims['sub']", command: "-"},
		{name: "slash", credential: credential(github+"/", mainBranch), class: IssuerSpelling, field: FieldIssuer, command: update("--issuer " + github)},
		{name: "double slash", over: claims{"iss": quote("https://idp.example//a")}, credential: credential("https://idp.example/a", mainBranch), class: IssuerSpelling, field: FieldIssuer, command: update("--issuer https://idp.example//a")},
		{name: "scheme", credential: credential("http://token.actions.githubusercontent.com", mainBranch), class: IssuerSpelling, field: FieldIssuer, command: update("--issuer " + github)},
		{name: "port", credential: credential(github+":443", mainBranch), class: IssuerSpelling, field: FieldIssuer, command: update("--issuer " + github)},
		{name: "slash of the audience", credential: inAudience(audience + "/"), class: IssuerSpelling, field: FieldAudience, command: update("--audience " + audience)},
		{name: "white space", credential: credential(github, mainBranch+" "), class: LookAlike, field: FieldSubject, command: update("--subject " + mainBranch)},
		{name: "percent-encoding", credential: credential(github, "repo:acme/shop:ref:refs%2Fheads%2Fmain"), class: LookAlike, field: FieldSubject, command: update("--subject " + mainBranch)},
		{name: "look-alike in the rule", credential: credential(github, "repo:аcme/shop:ref:refs/heads/main"), class: LookAlike, field: FieldSubject, command: update("--subject " + mainBranch)},
		{name: "full-width in the rule", credential: credential(github, "repo:acme/shop:ref:refs/heads/ｍain"), class: LookAlike, field: FieldSubject, command: update("--subject " + mainBranch)},
		{name: "look-alike in the token", over: claims{"sub": quote("repo:аcme/shop:ref:refs/heads/main")}, credential: credential(github, mainBranch), class: LookAlike, field: FieldSubject, command: "-"},
		{name: "ids sent, names expected", over: claims{"sub": quote(ids)}, credential: credential(github, mainBranch), class: NameOrIDForm, field: FieldSubject, fix: "ids", command: update("--subject " + ids)},
		{name: "names sent, ids expected", over: claims{"repository_id": quote("89012345"), "repository_owner_id": quote("1234567")}, credential: credential(github, ids), class: NameOrIDForm, field: FieldSubject, command: update("--subject " + mainBranch)},
		{name: "names sent, ids expected, none in the token", credential: credential(github, ids), class: NameOrIDForm, field: FieldSubject, command: update("--subject " + mainBranch)},
		{name: "renamed", over: claims{"sub": quote("repo:acme@1234567/store@89012345:ref:refs/heads/main")}, credential: credential(github, ids), class: NameOrIDForm, field: FieldSubject, command: update("--subject repo:acme@1234567/store@89012345:ref:refs/heads/main")},
		{name: "recreated repository", over: claims{"sub": quote("repo:acme@1234567/shop@99999999:ref:refs/heads/main")}, credential: credential(github, ids), class: OtherOwner, field: FieldSubject, fix: "Do not change", command: "-"},
		{name: "recycled owner", over: claims{"sub": quote("repo:acme@7654321/shop@99999999:ref:refs/heads/main")}, credential: credential(github, ids), class: OtherOwner, field: FieldSubject, fix: "Do not change", command: "-"},
		{name: "recycled owner by claims", over: claims{"repository_id": quote("99999999"), "repository_owner_id": quote("7654321")}, credential: credential(github, ids), class: OtherOwner, field: FieldSubject, fix: "Do not change", command: "-"},
		{name: "recycled owner elsewhere in the repository", over: claims{"sub": quote("repo:acme@7654321/shop@99999999:environment:prod")}, credential: credential(github, ids), class: OtherOwner, field: FieldSubject, fix: "Do not change", command: "-"},
		{name: "environment for ref", over: claims{"sub": quote("repo:acme/shop:environment:prod")}, credential: credential(github, mainBranch), class: EnvironmentOrRef, field: FieldSubject, fix: "Change the job", command: update("--subject repo:acme/shop:environment:prod")},
		{name: "ref for environment", credential: credential(github, "repo:acme/shop:environment:prod"), class: EnvironmentOrRef, field: FieldSubject, command: update("--subject " + mainBranch)},
		{name: "pull request for branch", over: claims{"sub": quote("repo:acme/shop:pull_request")}, credential: credential(github, mainBranch), class: OtherContext, field: FieldSubject, fix: "Pull requests", command: "-"},
		{name: "tag for branch", over: claims{"sub": quote("repo:acme/shop:ref:refs/tags/v1")}, credential: credential(github, mainBranch), class: OtherContext, field: FieldSubject, command: update("--subject repo:acme/shop:ref:refs/tags/v1")},
		{name: "customised subject", over: claims{"sub": quote("repository_owner:acme:environment:prod"), "repository": quote("acme/shop"), "environment": quote("prod")}, credential: credential(github, "repo:acme/shop:environment:prod"), class: CustomSubject, field: FieldSubject, fix: "default", command: update("--subject repository_owner:acme:environment:prod")},
		{name: "customised rule", over: claims{"repository_owner": quote("acme"), "environment": quote("prod")}, credential: credential(github, "repository_owner:acme:environment:prod"), class: CustomSubject, field: FieldSubject, command: update("--subject " + mainBranch)},
		{name: "called workflow", over: claims{"repository": quote("acme/shop"), "job_workflow_ref": quote("acme/ci/.github/workflows/deploy.yml@refs/heads/main")}, credential: credential(github, "repo:acme/ci:ref:refs/heads/main"), class: CalledWorkflow, field: FieldSubject, fix: "calling repository", command: update("--subject " + mainBranch)},
		{name: "called workflow in an expression", over: claims{"repository": quote("acme/shop"), "job_workflow_ref": quote("acme/ci/.github/workflows/deploy.yml@refs/heads/main")}, credential: flexible(t, "claims['repository'] eq 'acme/ci'"), class: CalledWorkflow, field: "claims['repository']", command: "-"},
		{name: "GitHub's default audience", over: claims{"aud": quote("https://github.com/acme")}, credential: credential(github, mainBranch), class: OtherAudience, field: FieldAudience, fix: audience, command: "-"},
		{name: "another cloud's audience", over: claims{"aud": quote(audience + "USGov")}, credential: credential(github, mainBranch), class: OtherAudience, field: FieldAudience, command: "-"},
		{name: "another cluster", over: onCluster(sa), credential: credential(strings.Replace(aks, "1111", "9999", 1), sa), class: OtherCluster, field: FieldIssuer, fix: "set of issuers", command: update("--issuer " + aks)},
		{name: "a cluster outside of the set", over: onCluster(sa), credential: credential(directory.IssuerSetReference("clusters"), sa), class: OtherCluster, field: FieldIssuer, fix: "cambio issuer set put", command: "-"},
		{name: "swapped", over: onCluster(sa), credential: credential(aks, "system:serviceaccount:api:shop"), class: ServiceAccountParts, field: FieldSubject, command: update("--subject " + sa)},
		{name: "without its prefix", over: onCluster(sa), credential: credential(aks, "shop/api"), class: ServiceAccountParts, field: FieldSubject, command: update("--subject " + sa)},
		{name: "plural prefix", over: onCluster(sa), credential: credential(aks, "system:serviceaccounts:shop:api"), class: ServiceAccountParts, field: FieldSubject, command: update("--subject " + sa)},
		{name: "name prefixed", over: onCluster(sa), credential: credential(aks, "system:serviceaccount:shop:shop-api"), class: ServiceAccountParts, field: FieldSubject, command: update("--subject " + sa)},
		{name: "issuer of an enterprise", over: claims{"iss": quote(github + "/acme-corp")}, credential: credential(github, mainBranch), class: EnterpriseIssuer, field: FieldIssuer, command: update("--issuer " + github + "/acme-corp")},
		{name: "issuer without the enterprise", credential: credential(github+"/acme-corp", mainBranch), class: EnterpriseIssuer, field: FieldIssuer, command: update("--issuer " + github)},
		{name: "Azure Pipelines", over: claims{"iss": quote("https://login.microsoftonline.com/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/v2.0"), "sub": quote("/eid1/c/pub/t/x/a/y/5f0c1d2e")},
			credential: credential("https://vstoken.dev.azure.com/5c0e7d1a-1f2e-4b3c-8d4e-9a8b7c6d5e4f", "sc://acme/shop/production"), class: AzurePipelinesForm, field: FieldIssuer, fix: "service connection",
			command: update("--issuer https://login.microsoftonline.com/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/v2.0 --subject /eid1/c/pub/t/x/a/y/5f0c1d2e")},
		{name: "type of a claim", over: claims{"ref_protected": "true"}, credential: flexible(t, "claims['ref_protected'] eq 'true'"), class: ClaimType, field: "claims['ref_protected']", fix: "as a string", command: "-"},
		{name: "type of a claim: list", over: claims{"groups": `["a"]`}, credential: flexible(t, "claims['groups'] eq 'a'"), class: ClaimType, field: "claims['groups']", command: "-"},
		{name: "another branch", over: claims{"sub": quote("repo:acme/shop:ref:refs/heads/dev")}, credential: credential(github, mainBranch), class: "", field: FieldSubject, fix: "make a credential", command: "cambio credential create --app " + clientID + " --from-token FILE"},
		{name: "another repository", over: claims{"sub": quote("repo:acme/other:ref:refs/heads/main")}, credential: credential(github, mainBranch), class: "", field: FieldSubject, command: "cambio credential create --app " + clientID + " --from-token FILE"},
	}
}

// decide asks the token path's own matching for the refusal.
func decide(t *testing.T, c *directory.ClientRecord, tok *Token) oauth.Code {
	t.Helper()
	var list []string
	for name, raw := range tok.Claims.All() {
		list = append(list, quote(name)+":"+string(raw))
	}
	b64 := base64.RawURLEncoding.EncodeToString
	a, refusal := federation.Parse(b64([]byte(`{"alg":"RS256"}`)) + "." + b64([]byte("{"+strings.Join(list, ",")+"}")) + "." + b64(make([]byte, 256)))
	if refusal != nil {
		return refusal.Code
	}
	if _, refusal = federation.Match(c, a); refusal == nil {
		t.Fatal("the token matches")
	}
	return refusal.Code
}

// TestMatchingClasses: each near miss of a credential that the token path
// refuses, with its class, its field and what is proposed.
func TestMatchingClasses(t *testing.T) {
	for _, c := range matching(t) {
		c.in.At, c.in.Token, c.in.Client = now, token(t, c.over), client(c.credential)
		c.in.Code = decide(t, c.in.Client, c.in.Token)
		check(t, &c)
	}
}

func check(t *testing.T, c *nearMiss) {
	t.Helper()
	e := Explain(&c.in)
	if e.Class != c.class || e.Field != c.field {
		t.Errorf("%s: class %q, field %q; want %q, %q (AADSTS%d)\n%+v", c.name, e.Class, e.Field, c.class, c.field, c.in.Code, e.Candidates)
		return
	}
	if e.Summary == "" || e.Fix == nil || !strings.Contains(e.Fix.Text, c.fix) {
		t.Errorf("%s: %q, fix %+v; want %q in it", c.name, e.Summary, e.Fix, c.fix)
		return
	}
	if want := strings.TrimPrefix(c.command, "-"); e.Fix.Command != want {
		t.Errorf("%s: command %q, want %q", c.name, e.Fix.Command, want)
	}
	if e.Class == OtherOwner && e.Fix.Command != "" {
		t.Errorf("%s: a fix is proposed for another owner", c.name)
	}
}

// others are the classes that do not come from comparing a credential that the
// token misses.
func others() []nearMiss {
	ordinary := credential(github, mainBranch)
	with := func(c directory.Ceilings) directory.Credential {
		out := ordinary
		out.Ceilings, _ = c.Compile()
		return out
	}
	pinned := func(mode string) *directory.IssuerRecord {
		return directory.Issuer{Issuer: github, IssuerSettings: directory.IssuerSettings{Mode: mode}, KeysAt: now.Add(-24 * time.Hour)}.Compile()
	}
	required := &directory.FederationPolicy{RequiredClaims: []directory.RequiredClaim{{Issuer: "https://other.example", Claim: "x", Values: []string{"y"}}, {Issuer: github, Claim: "enterprise_id", Values: []string{"5"}}}}
	window := with(directory.Ceilings{NotAfter: now.Add(-time.Hour)})
	ahead := with(directory.Ceilings{NotBefore: now.Add(time.Hour)})
	return []nearMiss{
		{name: "another identity", in: Input{Code: oauth.IssuerMismatch, Elsewhere: &Elsewhere{ClientID: "aaaa", Identity: "other", Credential: "x"}}, credential: credential("https://idp.example", "x"), class: OtherIdentity, field: "client_id", fix: "Send client_id aaaa"},
		{name: "another identity, not to be seen", in: Input{Code: oauth.NoFederatedCredential, Elsewhere: &Elsewhere{}}, class: OtherIdentity, field: "client_id", fix: "identity"},
		{name: "expired", in: Input{Code: oauth.AssertionOutsideValidity, Earlier: now.Add(-time.Hour)}, over: claims{"exp": fmt.Sprint(now.Unix() - 1800), "iat": fmt.Sprint(now.Unix() - 7200), "nbf": ""}, class: Expired, field: "exp", fix: "fresh token"},
		{name: "lifetime", in: Input{Code: oauth.LifetimeTooLong}, over: claims{"exp": fmt.Sprint(now.Unix() + 200000)}, class: LifetimeOrTimes, field: "exp", fix: "shorter"},
		{name: "no iat", in: Input{Code: oauth.LifetimeTooLong}, over: claims{"iat": ""}, class: LifetimeOrTimes, field: "iat", fix: "issued_at_optional"},
		{name: "no exp", in: Input{Code: oauth.AssertionOutsideValidity}, over: claims{"exp": ""}, class: LifetimeOrTimes, field: "exp", fix: "expire"},
		{name: "unknown key", in: Input{Code: oauth.SigningKeyNotFound}, class: UnknownKey, field: "kid", fix: "rotation", command: "cambio issuer check " + github},
		{name: "rotated key", in: Input{Code: oauth.SigningKeyNotFound, Managed: pinned(directory.IssuerDiscover), Keys: []KeySeen{{KeyID: "k1", LastSeen: now.Add(-time.Hour)}}}, class: UnknownKey, field: "kid", fix: "fetched anew", command: "cambio issuer keys " + github},
		{name: "stale pin", in: Input{Code: oauth.SigningKeyNotFound, Managed: pinned(directory.IssuerPin)}, class: UnknownKey, field: "kid", fix: "--jwks-file", command: "cambio issuer keys " + github},
		{name: "another key under the kid", in: Input{Code: oauth.SignatureInvalid, Managed: pinned(directory.IssuerPush)}, class: UnknownKey, field: "kid", fix: "issuer push", command: "cambio issuer keys " + github},
		{name: "a key that waits", in: Input{Code: oauth.SigningKeyNotFound, Managed: pinned(directory.IssuerDiscover), Keys: []KeySeen{{KeyID: "k1", Current: true}}}, class: UnknownKey, field: "kid", fix: "approve", command: "cambio issuer keys " + github},
		{name: "TLS", in: Input{Code: oauth.IssuerUnavailable, Fetch: &Fetch{URL: github + "/.well-known/openid-configuration", Reason: "tls", Text: "its certificate is not trusted"}}, class: FetchFailed, field: FieldIssuer, fix: "certificate authority", command: "cambio issuer check " + github},
		{name: "no bundle", in: Input{Code: oauth.IssuerUnavailable, Managed: pinned(directory.IssuerBundle), Fetch: &Fetch{Reason: "invalid_bundle", Text: "the document is not a SPIFFE bundle"}}, class: FetchFailed, field: FieldIssuer, fix: "bundle_endpoint", command: "cambio issuer keys " + github},
		{name: "HTML", in: Input{Code: oauth.IssuerUnavailable, Fetch: &Fetch{Reason: "invalid_json", Text: "the document is not well-formed JSON"}}, class: FetchFailed, field: FieldIssuer, fix: "HTML", command: "cambio issuer check " + github},
		{name: "algorithm", in: Input{Code: oauth.AlgorithmNotSupported, Algorithms: []string{"RS256"}}, class: AlgorithmRefused, field: "alg", fix: "sign with one of these"},
		{name: "type of exp", in: Input{Code: oauth.MalformedAssertion}, over: claims{"exp": quote("1")}, class: ClaimType, field: "exp", fix: "RFC 7519"},
		{name: "type of aud", in: Input{Code: oauth.MalformedAssertion}, over: claims{"aud": "7"}, class: ClaimType, field: "aud", fix: "RFC 7519"},
		{name: "type of a required claim", in: Input{Code: oauth.RequiredClaimMissing, Policy: required}, over: claims{"enterprise_id": "5"}, class: ClaimType, field: "claims['enterprise_id']", fix: "string"},
		{name: "disabled", in: Input{Code: oauth.CredentialDisabled}, credential: with(directory.Ceilings{Disabled: true}), class: CredentialState, field: FieldState, fix: "Enable", command: update("--enable")},
		{name: "report-only", in: Input{Code: oauth.CredentialReportOnly}, credential: with(directory.Ceilings{ReportOnly: true}), class: CredentialState, field: FieldState, fix: "would be accepted", command: update("--report-only=false")},
		{name: "ended", in: Input{Code: oauth.CredentialOutsideWindow, Credential: &window}, credential: window, class: CredentialState, field: FieldState, fix: "window", command: update("--not-before '' --not-after ''")},
		{name: "not begun", in: Input{Code: oauth.CredentialOutsideWindow, Credential: &ahead}, credential: ahead, class: CredentialState, field: FieldState, fix: "window", command: update("--not-before '' --not-after ''")},
		{name: "made afterwards", in: Input{Code: oauth.SubjectMismatch, Created: map[string]time.Time{"c1": now.Add(time.Minute)}}, credential: ordinary, class: CredentialState, field: FieldState, fix: "Try again"},
		{name: "member at another time", in: Input{Code: oauth.IssuerMismatch, ClosedSets: []string{directory.IssuerSetReference("clusters")}}, credential: credential(directory.IssuerSetReference("clusters"), mainBranch), class: CredentialState, field: FieldIssuer, fix: "set put"},
		{name: "federation disabled", in: Input{Code: oauth.FederationDisabled}, class: TenantPolicy, field: "policy", fix: "lifts", command: "cambio tenant update --federation enabled"},
		{name: "issuer that is not allowed", in: Input{Code: oauth.FederationDisabled, Policy: &directory.FederationPolicy{AllowedIssuers: directory.AllowedIssuers{Issuers: []string{"https://other.example"}}}}, class: TenantPolicy, field: "issuer", fix: "add the issuer"},
		{name: "required claim", in: Input{Code: oauth.RequiredClaimMissing, Policy: required}, class: TenantPolicy, field: "claims['enterprise_id']", fix: "federationPolicy"},
		{name: "self-signed", in: Input{Code: oauth.SignatureInvalid}, over: claims{"iss": quote(clientID), "sub": quote(clientID)}, class: OwnToken, field: "iss", fix: "platform"},
		{name: "own token", in: Input{Code: oauth.OwnTokenAsAssertion}, class: OwnToken, field: "iss", fix: "platform"},
		{name: "not valid yet", in: Input{Code: oauth.AssertionOutsideValidity}, over: claims{"nbf": fmt.Sprint(now.Unix() + 3600)}, class: "", field: "nbf", fix: "clocks"},
		{name: "bad signature", in: Input{Code: oauth.SignatureInvalid}, class: "", field: "signature", fix: "unmodified", command: "cambio issuer check " + github},
		{name: "no credential", in: Input{Code: oauth.NoFederatedCredential}, class: "", field: FieldState, fix: "Create one", command: "cambio credential create --app " + clientID + " --from-token FILE"},
		{name: "not assigned", in: Input{Code: oauth.NotAssigned}, class: "", field: "resource", fix: "Assign"},
	}
}

func TestOtherClasses(t *testing.T) {
	for _, c := range others() {
		c.in.At, c.in.Token = now, token(t, c.over)
		c.in.Client = client()
		if c.credential.Name != "" {
			c.in.Client = client(c.credential)
		}
		check(t, &c)
	}
}

// TestEveryClassHasACase: the catalogue's 24, each found at least once above.
func TestEveryClassHasACase(t *testing.T) {
	seen := map[Class]bool{}
	for _, c := range append(matching(t), others()...) {
		seen[c.class] = true
	}
	if len(Classes()) != 24 {
		t.Errorf("%d classes", len(Classes()))
	}
	for i, row := range Classes() {
		if row.Class != Class(fmt.Sprintf("NM%d", i+1)) || row.Title == "" || row.Found == "" || row.Remedy == "" || row.Class.Title() != row.Title {
			t.Errorf("the row %+v is not complete, or not in its place", row)
		}
		if !seen[row.Class] {
			t.Errorf("%s has no case", row.Class)
		}
		if _, ok := advices[row.Class]; !ok {
			t.Errorf("%s has no advice", row.Class)
		}
	}
}

// TestOtherOwnerIsNotOverlooked: a nearer credential of another class does not
// hide that the names belong to somebody else now.
func TestOtherOwnerIsNotOverlooked(t *testing.T) {
	pinned := credential(github, "repo:acme@1234567/shop@89012345:ref:refs/heads/main")
	pinned.Name, pinned.ID = "pinned", "c2"
	c := client(credential(github, mainBranch), pinned)
	tok := token(t, claims{"sub": quote("repo:acme@7654321/shop@99999999:ref:refs/heads/main")})
	e := Explain(&Input{At: now, Token: tok, Client: c, Code: oauth.SubjectMismatch})
	if e.Class != OtherOwner || e.Candidates[0].Name != "pinned" || e.Fix.Command != "" {
		t.Errorf("class %s, candidate %s, %+v", e.Class, e.Candidates[0].Name, e.Fix)
	}
}

func TestToleratesWhatCannotBeRead(t *testing.T) {
	for _, in := range []Input{{}, {Code: oauth.MalformedAssertion}, {Code: oauth.ClientNotFound}, {Code: oauth.IssuerMismatch, Client: client()}, {Code: oauth.TransientFailure}, {Code: oauth.CredentialDisabled, Client: client()}} {
		if e := Explain(&in); e.Summary == "" {
			t.Errorf("%d: no summary", in.Code)
		}
	}
	for class := range advices {
		e := &Explanation{Code: int(oauth.SubjectMismatch), Class: class}
		if e.Advise(); e.Summary == "" {
			t.Errorf("%s without candidates: no summary", class)
		}
	}
	if ReadToken("x") != nil || ReadToken("a.b.c") != nil {
		t.Error("what is no token was read")
	}
}

// ordinary is a refusal as GitHub's tokens bring it about, with all their
// claims.
func ordinary(t testing.TB) (*Input, *Recorded) {
	ids := claims{"jti": quote("0123456789abcdef0123456789abcdef")}
	for name, value := range map[string]string{"repository": "acme/shop", "repository_id": "89012345", "repository_owner": "acme", "repository_owner_id": "1234567", "actor": "somebody", "actor_id": "55",
		"workflow": "deploy", "ref": "refs/heads/main", "ref_type": "branch", "sha": "0123456789012345678901234567890123456789", "run_id": "99", "environment": "prod", "event_name": "push",
		"job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main", "runner_environment": "github-hosted"} {
		ids[name] = quote(value)
	}
	ids["sub"] = quote("repo:acme/shop:environment:prod")
	in := &Input{At: now, Token: token(t, ids), Code: oauth.SubjectMismatch, Source: "192.0.2.7", Client: client(credential(github, mainBranch), credential(github, "repo:acme/site:environment:prod"), credential(aks, "system:serviceaccount:shop:api"))}
	return in, &Recorded{Decision: Decision{Record: "7", At: now, CorrelationID: "c", TraceID: "t"}, Code: int(in.Code), ClientID: clientID, Issuer: github, Subject: in.Token.text("sub"),
		Audiences: in.Token.audiences(), KeyID: "k1", Algorithm: "RS256", Source: "192.0.2.7"}
}

// TestStoredSaysTheSame: what an audit record holds gives the same explanation
// as was made when the decision fell, for every case.
func TestStoredSaysTheSame(t *testing.T) {
	in, r := ordinary(t)
	if n := len(Explain(in).Stored()); n > 1400 {
		t.Errorf("an ordinary one takes %d bytes: %s", n, Explain(in).Stored())
	}
	compare := func(name string, in *Input, r *Recorded) {
		want := Explain(in)
		raw := want.Stored()
		got, err := Restore(r, raw)
		if err != nil {
			t.Fatal(err)
		}
		want.Decision = &r.Decision
		if marshal(t, got) != marshal(t, want) {
			t.Errorf("%s:\n got %s\nwant %s", name, marshal(t, got), marshal(t, want))
		}
	}
	compare("ordinary", in, r)
	for _, c := range append(matching(t), others()...) {
		c.in.At, c.in.Token, c.in.Client = now, token(t, c.over), client(c.credential)
		if c.in.Code == 0 {
			c.in.Code = decide(t, c.in.Client, c.in.Token)
		}
		compare(c.name, &c.in, &Recorded{Decision: r.Decision, Code: int(c.in.Code), ClientID: clientID, Issuer: c.in.Token.text("iss"), Subject: c.in.Token.text("sub"), Audiences: c.in.Token.audiences(), KeyID: "k1", Algorithm: "RS256"})
	}
}

func marshal(t testing.TB, e *Explanation) string {
	t.Helper()
	raw, err := json.Marshal(e, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestStoredIsBounded: neither tokens nor credentials can make it large.
func TestStoredIsBounded(t *testing.T) {
	long := strings.Repeat("é", 300)
	var all []directory.Credential
	for i := range 50 {
		c := credential(github, "repo:"+long+fmt.Sprint(i))
		c.Name = fmt.Sprint(i)
		for range 20 {
			c.Audiences = append(c.Audiences, "api://"+long)
		}
		all = append(all, c)
	}
	over := claims{"sub": quote("repo:" + long)}
	policy := &directory.FederationPolicy{}
	for i := range 60 {
		name := fmt.Sprintf("claim%d", i)
		over[name] = quote(long[:150])
		policy.Claims.Keep = append(policy.Claims.Keep, name)
	}
	e := Explain(&Input{At: now, Token: token(t, over), Client: client(all...), Code: oauth.SubjectMismatch, Policy: policy})
	if raw := e.Stored(); len(raw) == 0 || len(raw) > 4096 {
		t.Errorf("%d bytes", len(raw))
	}
	if e.Of != 50 || len(e.Candidates) != 3 || len(e.Claims) == 0 || len(e.Claims) > 24 {
		t.Errorf("%d credentials, %d candidates, %d claims", e.Of, len(e.Candidates), len(e.Claims))
	}
}

// TestClaimsAreKeptByPolicy: by default those that identify the workload or
// are compared; a policy adds and takes away, everywhere.
func TestClaimsAreKeptByPolicy(t *testing.T) {
	in, _ := ordinary(t)
	in.Client = client(flexible(t, "claims['runner_environment'] eq 'self-hosted' and claims['repository_id'] eq '1'"))
	e := Explain(in)
	for name, want := range map[string]string{"repository": "acme/shop", "repository_id": "89012345", "environment": "prod", "runner_environment": "github-hosted", "actor": "", "sha": "", "run_id": "", "jti": ""} {
		if e.Claims[name] != want {
			t.Errorf("by default %s is %q, want %q", name, e.Claims[name], want)
		}
	}
	in.Policy = &directory.FederationPolicy{Claims: directory.ClaimPolicy{Keep: []string{"run_id"}, Hash: []string{"actor", "runner_environment"}, Omit: []string{"repository", "repository_id"}}}
	e = Explain(in)
	text := marshal(t, e)
	if e.Claims["run_id"] != "99" || !strings.HasPrefix(e.Claims["actor"], "sha256:") {
		t.Errorf("the policy is not followed: %v", e.Claims)
	}
	for _, secret := range []string{"somebody", "github-hosted", "89012345"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in %s", secret, text)
		}
	}
	if stored := string(e.Stored()); strings.Contains(stored, "89012345") || strings.Contains(stored, "somebody") {
		t.Error("what is not kept was stored: " + stored)
	}
}

// TestManyCredentials: the near one is found among very many, in bounded time.
func TestManyCredentials(t *testing.T) {
	var all []directory.Credential
	for i := range 900 {
		all = append(all, credential(github, fmt.Sprintf("repo:acme/project-%d:environment:prod", i)))
	}
	near := credential(github, "repo:acme/shop:ref:refs/heads/Main")
	near.Name = "near"
	all = append(all, near)
	e := Explain(&Input{At: now, Token: token(t, nil), Client: client(all...), Code: oauth.CaseMismatch})
	if e.Class != CaseOnly || e.Candidates[0].Name != "near" || e.Compared != 901 {
		t.Errorf("class %s of %d, candidate %s", e.Class, e.Compared, e.Candidates[0].Name)
	}
}

func BenchmarkExplain(b *testing.B) {
	in, _ := ordinary(b)
	b.Run("3", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Explain(in).Stored()
		}
	})
	var all []directory.Credential
	for i := range 1000 {
		all = append(all, credential(github, fmt.Sprintf("repo:acme/project-%d:environment:prod", i)))
	}
	in.Client = client(all...)
	b.Run("1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Explain(in).Stored()
		}
	})
}
