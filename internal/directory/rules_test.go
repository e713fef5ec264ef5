package directory

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func anyIssuer(string) error { return nil }

func credential(change func(*FederatedIdentityCredential)) *FederatedIdentityCredential {
	c := &FederatedIdentityCredential{
		Name: "gh-main", Issuer: "https://token.actions.githubusercontent.com",
		Subject: "repo:acme/shop:ref:refs/heads/main", Audiences: []string{"api://AzureADTokenExchange"},
	}
	change(c)
	return c
}

func TestValidateCredential(t *testing.T) {
	type cred = FederatedIdentityCredential
	tests := []struct {
		name   string
		change func(*cred)
		level  Compat
		target string // property at fault; empty: valid
	}{
		{"plain", func(c *cred) {}, Strict, ""},
		{"name of 3", func(c *cred) { c.Name = "a-b" }, Strict, ""},
		{"name of 120", func(c *cred) { c.Name = strings.Repeat("a", 120) }, Strict, ""},
		{"name absent", func(c *cred) { c.Name = "" }, Relaxed, "name"},
		{"name of 2", func(c *cred) { c.Name = "ab" }, Relaxed, "name"},
		{"name of 121", func(c *cred) { c.Name = strings.Repeat("a", 121) }, Relaxed, "name"},
		{"name with hyphen first", func(c *cred) { c.Name = "-abc" }, Relaxed, "name"},
		{"name with dot", func(c *cred) { c.Name = "a.bc" }, Relaxed, "name"},
		{"name with letter outside ASCII", func(c *cred) { c.Name = "äbc" }, Relaxed, "name"},
		{"issuer of 600", func(c *cred) { c.Issuer = "https://" + strings.Repeat("a", 592) }, Relaxed, ""},
		{"issuer of 601", func(c *cred) { c.Issuer = "https://" + strings.Repeat("a", 593) }, Relaxed, "issuer"},
		{"issuer absent", func(c *cred) { c.Issuer = "" }, Relaxed, "issuer"},
		{"issuer with blank", func(c *cred) { c.Issuer += " " }, Relaxed, "issuer"},
		{"issuer with NUL", func(c *cred) { c.Issuer += "\x00" }, Relaxed, "issuer"},
		{"issuer not allowed", func(c *cred) { c.Issuer = "https://bad" }, Relaxed, "issuer"},
		{"subject with star is literal", func(c *cred) { c.Subject = "repo:acme/*" }, Strict, ""},
		{"subject of 600 two-byte characters", func(c *cred) { c.Subject = strings.Repeat("ä", 600) }, Relaxed, ""},
		{"subject of 601", func(c *cred) { c.Subject = strings.Repeat("a", 601) }, Relaxed, "subject"},
		{"subject absent", func(c *cred) { c.Subject = "" }, Relaxed, "subject"},
		{"subject not UTF-8", func(c *cred) { c.Subject = "a\xff" }, Relaxed, "subject"},
		{"subject with U+FFFD", func(c *cred) { c.Subject = "a\uFFFD" }, Relaxed, "subject"},
		{"subject with line feed", func(c *cred) { c.Subject = "a\n" }, Relaxed, "subject"},
		{"no audience", func(c *cred) { c.Audiences = nil }, Relaxed, "audiences"},
		{"two audiences", func(c *cred) { c.Audiences = []string{"a", "b"} }, Relaxed, ""},
		{"two audiences, strict", func(c *cred) { c.Audiences = []string{"a", "b"} }, Strict, "audiences"},
		{"equal audiences", func(c *cred) { c.Audiences = []string{"a", "a"} }, Relaxed, "audiences"},
		{"empty audience", func(c *cred) { c.Audiences = []string{""} }, Relaxed, "audiences"},
		{"17 audiences", func(c *cred) { c.Audiences = strings.Split("a b c d e f g h i j k l m n o p q", " ") }, Relaxed, "audiences"},
		{"audience of 601", func(c *cred) { c.Audiences = []string{strings.Repeat("a", 601)} }, Relaxed, "audiences"},
		{"expression beside subject", func(c *cred) { c.Expression = &ClaimsMatchingExpression{"claims['a'] eq 'b'", 1} }, Relaxed, "subject"},
		{"expression of version 2", flexible("claims['a'] eq 'b'", func(c *cred) { c.Expression.LanguageVersion = 2 }), Relaxed, "claimsMatchingExpression.languageVersion"},
		{"expression that does not parse", flexible("sub", nil), Relaxed, expressionTarget},
		{"any claim of any issuer", flexible("claims['a b'] eq 'b'", nil), Relaxed, ""},
		{"any claim, strict", flexible("claims['a b'] eq 'b'", nil), Strict, expressionTarget},
		{"match-all", flexible("claims['sub'] matches '*' and claims['a'] matches '**?'", nil), Relaxed, expressionTarget},
		{"match-all by issuer and audience", flexible("claims['iss'] eq 'https://a.example' and claims['aud'] eq 'b' and claims['sub'] matches '??*'", nil), Relaxed, expressionTarget},
		{"match-all of one term", flexible("claims['sub'] matches '*' and claims['a'] eq '*'", nil), Relaxed, ""},
		{"description of 601", func(c *cred) { c.Description = strings.Repeat("a", 601) }, Relaxed, "description"},
	}
	allowed := func(issuer string) error {
		if issuer == "https://bad" {
			return errors.New("that host is private")
		}
		return nil
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkTarget(t, ValidateCredential(credential(tt.change), tt.level, allowed), tt.target)
		})
	}
	t.Run("no issuer check refuses all", func(t *testing.T) {
		checkTarget(t, ValidateCredential(credential(func(*cred) {}), Relaxed, nil), "issuer")
	})
}

// flexible makes a credential flexible and then changes it.
func flexible(value string, change func(*FederatedIdentityCredential)) func(*FederatedIdentityCredential) {
	return func(c *FederatedIdentityCredential) {
		c.Subject, c.Expression = "", &ClaimsMatchingExpression{value, 1}
		if change != nil {
			change(c)
		}
	}
}

// TestStrictExpressions goes through Entra's table of issuers and claims.
func TestStrictExpressions(t *testing.T) {
	for _, tt := range []struct{ issuer, claim, target string }{
		{"https://token.actions.githubusercontent.com", "sub", ""},
		{"https://token.actions.githubusercontent.com", "job_workflow_ref", ""},
		{"https://token.actions.githubusercontent.com", "repository", expressionTarget},
		{"https://token.actions.githubusercontent.com/", "sub", "issuer"},
		{"https://gitlab.com", "sub", ""},
		{"https://gitlab.com", "job_workflow_ref", expressionTarget},
		{"https://gitlab.acme.com", "sub", ""},
		{"https://gitlab.acme-1.ca", "sub", ""},
		{"https://gitlab.acme.de", "sub", "issuer"},
		{"https://gitlab.a.b.com", "sub", "issuer"},
		{"https://gitlab..com", "sub", "issuer"},
		{"https://gitlab.-a.com", "sub", "issuer"},
		{"https://gitlab.evil.example/.com", "sub", "issuer"},
		{"https://gitlab.acme.com:8443", "sub", "issuer"},
		{"https://app.terraform.io", "sub", ""},
		{"https://app.eu.terraform.io", "sub", ""},
		{"https://tfe.acme.com", "sub", "issuer"},
	} {
		c := credential(flexible("claims['"+tt.claim+"'] matches 'a*'", func(c *FederatedIdentityCredential) { c.Issuer = tt.issuer }))
		any := func(string) error { return nil }
		t.Run(tt.issuer+" "+tt.claim, func(t *testing.T) {
			checkTarget(t, ValidateCredential(c, Strict, any), tt.target)
			checkTarget(t, ValidateCredential(c, Relaxed, any), "")
		})
	}
}

func checkTarget(t *testing.T, err error, target string) {
	t.Helper()
	if target == "" {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error for %s", err, target)
	}
	if e.Target != target || !strings.Contains(e.Message, strings.Split(target, ".")[0]) {
		t.Errorf("target %q, message %q; want the property %q", e.Target, e.Message, target)
	}
}

func application(change func(*Application)) *Application {
	a := &Application{
		AppID: "3f0e9d1c-6a52-4b8f-8c11-5d2e7a904b63", DisplayName: "orders", SignInAudience: "AzureADMyOrg",
		AppRoles: []AppRole{{ID: "1b4f816e-5eaf-48b9-8613-7923830595ad", Value: "Orders.Read", DisplayName: "Read", AllowedMemberTypes: []string{"Application"}, IsEnabled: true}},
	}
	change(a)
	return a
}

func TestValidateApplication(t *testing.T) {
	type app = Application
	strict := &Tenant{ID: "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77", Compat: Strict, Domains: []string{"contoso.example"}}
	relaxed := &Tenant{ID: strict.ID, Compat: Relaxed}
	uris := func(u ...string) func(*app) { return func(a *app) { a.IdentifierURIs = u } }
	role := func(change func(*AppRole)) func(*app) { return func(a *app) { change(&a.AppRoles[0]) } }
	wants := func(resource, id, kind string, n int) func(*app) {
		return func(a *app) {
			a.RequiredResourceAccess = slices.Repeat([]RequiredResourceAccess{{resource, []ResourceAccess{{id, kind}}}}, n)
		}
	}
	tests := []struct {
		name   string
		change func(*app)
		tenant *Tenant
		target string
	}{
		{"plain", func(a *app) {}, strict, ""},
		{"no display name", func(a *app) { a.DisplayName = "" }, relaxed, "displayName"},
		{"display name of 257", func(a *app) { a.DisplayName = strings.Repeat("a", 257) }, relaxed, "displayName"},
		{"audience", func(a *app) { a.SignInAudience = "All" }, relaxed, "signInAudience"},
		{"version 3", func(a *app) { a.API.RequestedAccessTokenVersion = 3 }, relaxed, "api.requestedAccessTokenVersion"},
		{"PS256", func(a *app) { a.API.AccessTokenSigningAlgorithm = "PS256" }, relaxed, "api.accessTokenSigningAlgorithm"},
		{"profile", func(a *app) { a.API.AccessTokenProfile = "x" }, relaxed, "api.accessTokenProfile"},
		{"notes of 1025", func(a *app) { a.Notes = strings.Repeat("a", 1025) }, relaxed, "notes"},
		{"reference of 1025", func(a *app) { a.ServiceManagementReference = strings.Repeat("a", 1025) }, relaxed, "serviceManagementReference"},
		{"wanted scope", wants(strict.ID, strict.ID, "Scope", 1), relaxed, ""},
		{"wanted of no appId", wants("orders", strict.ID, "Role", 1), relaxed, "requiredResourceAccess"},
		{"wanted without id", wants(strict.ID, "", "Role", 1), relaxed, "requiredResourceAccess"},
		{"wanted of another type", wants(strict.ID, strict.ID, "role", 1), relaxed, "requiredResourceAccess"},
		{"50 wanted resources", wants(strict.ID, strict.ID, "Role", 50), relaxed, ""},
		{"51 wanted resources", wants(strict.ID, strict.ID, "Role", 51), relaxed, "requiredResourceAccess"},
		{"401 wanted permissions", func(a *app) {
			a.RequiredResourceAccess = []RequiredResourceAccess{{strict.ID, slices.Repeat([]ResourceAccess{{strict.ID, "Role"}}, 401)}}
		}, relaxed, "requiredResourceAccess"},
		{"role id", role(func(r *AppRole) { r.ID = "x" }), relaxed, "appRoles.id"},
		{"role id zero", role(func(r *AppRole) { r.ID = DefaultAppRoleID }), relaxed, "appRoles.id"},
		{"role value with space", role(func(r *AppRole) { r.Value = "a b" }), relaxed, "appRoles.value"},
		{"role value of 251", role(func(r *AppRole) { r.Value = strings.Repeat("a", 251) }), relaxed, "appRoles.value"},
		{"role without members", role(func(r *AppRole) { r.AllowedMemberTypes = nil }), relaxed, "appRoles.allowedMemberTypes"},
		{"equal role ids", func(a *app) { r := a.AppRoles[0]; r.Value = "x"; a.AppRoles = append(a.AppRoles, r) }, relaxed, "appRoles.id"},
		{"equal role values", func(a *app) { r := a.AppRoles[0]; r.ID = strict.ID; a.AppRoles = append(a.AppRoles, r) }, relaxed, "appRoles.value"},
		{"any api URI", uris("api://orders"), relaxed, ""},
		{"https with slash", uris("https://orders.example/"), relaxed, ""},
		{"urn", uris("urn:orders"), relaxed, "identifierUris"},
		{"SPIFFE ID", uris("spiffe://example.org/ns/shop"), relaxed, ""},
		{"trust domain", uris("spiffe://example.org"), relaxed, "identifierUris"},
		{"strict, SPIFFE ID", uris("spiffe://contoso.example/ns/shop"), strict, "identifierUris"},
		{"http", uris("http://orders.example"), relaxed, "identifierUris"},
		{"fragment", uris("https://orders.example/#a"), relaxed, "identifierUris"},
		{"user name", uris("https://a@orders.example/"), relaxed, "identifierUris"},
		{"blank", uris("api://my orders"), relaxed, "identifierUris"},
		{"twice", uris("api://orders", "api://orders"), relaxed, "identifierUris"},
		{"256 characters", uris("api://" + strings.Repeat("a", 250)), relaxed, "identifierUris"},
		{"strict, foreign", uris("api://orders"), strict, "identifierUris"},
		{"strict, appId", uris("api://3f0e9d1c-6a52-4b8f-8c11-5d2e7a904b63"), strict, ""},
		{"strict, tenant and appId", uris("api://7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/3f0e9d1c-6a52-4b8f-8c11-5d2e7a904b63"), strict, ""},
		{"strict, tenant alone", uris("api://7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/x"), strict, "identifierUris"},
		{"strict, verified domain", uris("https://api.contoso.example/orders"), strict, ""},
		{"strict, look-alike domain", uris("https://evilcontoso.example/orders"), strict, "identifierUris"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkTarget(t, ValidateApplication(application(tt.change), nil, tt.tenant), tt.target)
		})
	}
}

// What an application had before its tenant was strict does not keep anything
// else about it from being changed.
func TestValidateApplicationKeepsIdentifiers(t *testing.T) {
	strict := &Tenant{ID: "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77", Compat: Strict}
	before := application(func(a *Application) { a.IdentifierURIs = []string{"api://orders"} })
	after := application(func(a *Application) { a.IdentifierURIs = []string{"api://orders"}; a.DisplayName = "changed" })
	checkTarget(t, ValidateApplication(after, before, strict), "")
	after.IdentifierURIs = append(after.IdentifierURIs, "api://stock")
	checkTarget(t, ValidateApplication(after, before, strict), "identifierUris")
}

func TestCheckRoleRemoval(t *testing.T) {
	enabled := []AppRole{{ID: "1B4F816E-5eaf-48b9-8613-7923830595ad", IsEnabled: true}}
	disabled := []AppRole{{ID: enabled[0].ID}}
	checkTarget(t, CheckRoleRemoval(enabled, nil), "appRoles")
	checkTarget(t, CheckRoleRemoval(disabled, nil), "")
	checkTarget(t, CheckRoleRemoval(enabled, []AppRole{{ID: strings.ToLower(enabled[0].ID)}}), "")
	renamed := []AppRole{{ID: enabled[0].ID, Value: "Admin", IsEnabled: true}}
	checkTarget(t, CheckRoleRemoval(enabled, renamed), "appRoles.value")
	checkTarget(t, CheckRoleRemoval(disabled, renamed), "")
}

func TestValidateTenant(t *testing.T) {
	type tenant = Tenant
	tests := []struct {
		name   string
		change func(*tenant)
		target string
	}{
		{"plain", func(*tenant) {}, ""},
		{"id in upper case", func(x *tenant) { x.ID = strings.ToUpper(x.ID) }, "id"},
		{"compat", func(x *tenant) { x.Compat = "" }, "compat"},
		{"reserved word", func(x *tenant) { x.Domains = []string{"common"} }, "verifiedDomains"},
		{"upper case", func(x *tenant) { x.Domains = []string{"Contoso.example"} }, "verifiedDomains"},
		{"empty label", func(x *tenant) { x.Domains = []string{"a..b"} }, "verifiedDomains"},
		{"slash", func(x *tenant) { x.Domains = []string{"a.b/c"} }, "verifiedDomains"},
		{"twice", func(x *tenant) { x.Domains = []string{"a.b", "a.b"} }, "verifiedDomains"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := &Tenant{ID: "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77", DisplayName: "Contoso", Compat: Relaxed, Domains: []string{"contoso.example"}}
			tt.change(x)
			err := ValidateTenant(x)
			if tt.target == "" && err != nil || tt.target != "" && err == nil {
				t.Fatalf("got %v", err)
			}
			var e *Error
			if errors.As(err, &e) && e.Target != tt.target {
				t.Errorf("target %q, want %q", e.Target, tt.target)
			}
		})
	}
}

func TestValidateManagedIdentity(t *testing.T) {
	type mi = ManagedIdentity
	tests := []struct {
		name   string
		change func(*mi)
		target string
	}{
		{"plain", func(*mi) {}, ""},
		{"name", func(m *mi) { m.Name = "_ab" }, "resourceName"},
		{"no location", func(m *mi) { m.Location = "" }, "location"},
		{"scope", func(m *mi) { m.IsolationScope = "World" }, "properties.isolationScope"},
		{"tag without name", func(m *mi) { m.Tags = map[string]string{"": "x"} }, "tags"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &ManagedIdentity{Name: "id1", Location: "local"}
			tt.change(m)
			var e *Error
			if err := ValidateManagedIdentity(m); errors.As(err, &e) != (tt.target != "") || e != nil && e.Target != tt.target {
				t.Errorf("got %v, want target %q", err, tt.target)
			}
		})
	}
	for _, name := range []string{"", "rg.", "r/g", strings.Repeat("a", 91)} {
		if ValidateResourceGroup(&ResourceGroup{Name: name, Location: "local"}) == nil {
			t.Errorf("resource group %q accepted", name)
		}
	}
	if err := ValidateResourceGroup(&ResourceGroup{Name: "rg_(1).a", Location: "local"}); err != nil {
		t.Error(err)
	}
}
