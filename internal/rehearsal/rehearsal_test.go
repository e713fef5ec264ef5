package rehearsal

import (
	"fmt"
	"strings"
	"testing"

	"cambio/internal/directory"
	"cambio/internal/trust"
)

const document = `
version: 1
managedIdentities:
- resourceGroup: RG1
  name: id1
  federatedIdentityCredentials: [{name: cluster, issuer: "https://oidc.example/", subject: "system:serviceaccount:a:b", audiences: [a, b]}]
applications:
- uniqueName: shop
  appId: 0b1c2d3e-0000-4000-8000-000000000003
  federatedIdentityCredentials: [{name: main, issuer: "https://i.example", subject: main, audiences: [a]}]
- uniqueName: disabled
  isDisabled: true
  federatedIdentityCredentials: [{name: main, issuer: "https://i.example", subject: main, audiences: [a]}]
- uniqueName: bare
  servicePrincipal: null
  federatedIdentityCredentials: [{name: main, issuer: "https://i.example", subject: main, audiences: [a]}]
- uniqueName: flexible
  federatedIdentityCredentials: [{name: any-branch, issuer: "https://i.example", claimsMatchingExpression: {value: "claims['sub'] matches 'repo:acme/*' and claims['env'] eq 'prod'"}, audiences: [a]}]
- uniqueName: empty
- appId: 0b1c2d3e-0000-4000-8000-000000000004
  displayName: Exported
  federatedIdentityCredentials: [{name: main, issuer: "https://i.example", subject: main, audiences: [a]}]
- {appId: 0b1c2d3e-0000-4000-8000-000000000005, displayName: Twice}
- {uniqueName: six, displayName: twice}
- {uniqueName: seven, displayName: Shop}
`

func TestRun(t *testing.T) {
	d, err := trust.Parse("", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	clients, err := d.Clients(directory.Relaxed)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ client, claims, outcome string }{
		{"shop", "iss: https://i.example, sub: main, aud: a", "credential: main"},
		{"0B1C2D3E-0000-4000-8000-000000000003", "iss: https://i.example, sub: main, aud: [x, a]", "credential: main"},
		{"rg1/ID1", "iss: https://oidc.example/, sub: 'system:serviceaccount:a:b', aud: b", "credential: cluster"},
		{"exported", "iss: https://i.example, sub: main, aud: a", "credential: main"},
		{"ID1", "iss: https://oidc.example/, sub: 'system:serviceaccount:a:b', aud: b", "credential: cluster"},
		{"shop", "iss: https://i.example, sub: dev, aud: a", "refused: 700213, message: dev"},
		{"flexible", "iss: https://i.example, sub: 'repo:acme/shop', env: prod, aud: a", "credential: any-branch"},
		{"flexible", "iss: https://i.example, sub: 'repo:acme/shop', env: dev, aud: a", "refused: 700213"},
		{"shop", "iss: https://i.example, sub: MAIN, aud: a", "refused: 7002138"},
		{"shop", "iss: https://other.example, sub: main, aud: a", "refused: 700211"},
		{"shop", "iss: https://i.example, sub: main, aud: x", "refused: 700212"},
		{"shop", "iss: https://i.example, aud: x", "refused: 90014"},
		{"shop", "iss: https://i.example, sub: 1, aud: x", "refused: 50027"},
		{"disabled", "iss: https://i.example, sub: main, aud: a", "refused: 7000112"},
		{"bare", "iss: https://i.example, sub: main, aud: a", "refused: 7000229"},
		{"empty", "iss: https://i.example, sub: main, aud: a", "refused: 70025"},
		{"rg1/id1", "iss: https://oidc.example/, sub: 'system:serviceaccount:a:b', aud: b, ns: other", "refused: 7002381"},
	} {
		policy := ""
		if strings.Contains(c.outcome, "7002381") {
			policy = "requiredClaims: [{issuer: 'https://oidc.example/', claim: ns, values: [a]}]\n"
		}
		cases, err := trust.ParseCases("", fmt.Appendf(nil, "version: 1\n%scases: [{name: n, client: %s, claims: {%s}, %s}]", policy, c.client, c.claims, c.outcome))
		if err != nil {
			t.Fatal(err)
		}
		if r := Run(clients, cases)[0]; !r.Passed {
			t.Errorf("%+v: got %s, want %s", c, r.Got, r.Want)
		}
		// The same with another expectation fails, and says what happened.
		cases.List[0].Credential, cases.List[0].Refused, cases.List[0].Message = "nothing", nil, ""
		if r := Run(clients, cases)[0]; r.Passed || r.Want != "credential nothing" || r.Got == "" {
			t.Errorf("%+v: passed with another expectation: %+v", c, r)
		}
	}
	cases, err := trust.ParseCases("", []byte("version: 1\ncases: [{name: n, client: nobody, claims: {}, refused: 700016}, {name: t, client: twice, claims: {iss: 'https://i.example', sub: main, aud: a}, refused: 70025}, {name: m, client: shop, claims: {iss: 'https://i.example', sub: dev, aud: a}, refused: 700213, message: other}]"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Run(clients, cases) {
		if r.Passed {
			t.Errorf("passed: %+v", r)
		}
	}
}

// A case is tried with the client that it names, not with one whose name is
// written almost alike: uniqueNames that differ in case are two applications.
func TestClientsThatDifferInCase(t *testing.T) {
	const credential = "federatedIdentityCredentials: [{name: main, issuer: 'https://i.example', subject: %s, audiences: [a]}]"
	text := "version: 1\napplications:\n- {uniqueName: Shop, " + fmt.Sprintf(credential, "upper") + "}\n- {uniqueName: shop, " + fmt.Sprintf(credential, "lower") +
		"}\n- {uniqueName: twice, " + fmt.Sprintf(credential, "one") + "}\n- {uniqueName: twice, " + fmt.Sprintf(credential, "two") + "}"
	d, err := trust.Parse("", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	clients, err := d.Clients(directory.Relaxed)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		client, subject string
		passes          bool
	}{{"Shop", "upper", true}, {"shop", "lower", true}, {"shop", "upper", false}, {"SHOP", "upper", false}, {"SHOP", "lower", false}, {"twice", "one", false}, {"twice", "two", false}} {
		cases, err := trust.ParseCases("", fmt.Appendf(nil, "version: 1\ncases: [{name: n, client: %s, claims: {iss: 'https://i.example', sub: %s, aud: a}, credential: main}]", c.client, c.subject))
		if err != nil {
			t.Fatal(err)
		}
		if r := Run(clients, cases)[0]; r.Passed != c.passes {
			t.Errorf("%s as %s: %+v", c.subject, c.client, r)
		}
	}
}

// TestRefusalsAreExplained: a case that fails because it is refused says which
// near miss that is.
func TestRefusalsAreExplained(t *testing.T) {
	d, err := trust.Parse("", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	clients, err := d.Clients(directory.Relaxed)
	if err != nil {
		t.Fatal(err)
	}
	for claims, class := range map[string]string{"iss: https://i.example/, sub: main, aud: a": "NM2", "iss: https://i.example, sub: Main, aud: a": "NM1", "iss: https://i.example, sub: other, aud: a": ""} {
		cases, err := trust.ParseCases("", []byte("version: 1\ncases: [{name: x, client: shop, claims: {"+claims+"}, credential: main}]"))
		if err != nil {
			t.Fatal(err)
		}
		if r := Run(clients, cases)[0]; r.Passed || r.Class != class || r.Why == "" {
			t.Errorf("%s: %+v", claims, r)
		}
	}
}
