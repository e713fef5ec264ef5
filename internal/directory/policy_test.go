package directory

import "testing"

func TestAllowedIssuers(t *testing.T) {
	list := AllowedIssuers{Issuers: []string{"https://gitlab.com", "https://oidc.eks.example.com/id/*"}}
	for issuer, want := range map[string]bool{
		"https://gitlab.com":                       true,
		"https://gitlab.com/":                      false,
		"https://gitlab.com.evil.example":          false,
		"https://oidc.eks.example.com/id/ABC":      true,
		"https://oidc.eks.example.com/id/":         false,
		"https://oidc.eks.example.com/idx":         false,
		"https://oidc.eks.example.com.evil.ex/id/": false,
	} {
		if list.Allows(issuer) != want {
			t.Errorf("%s: allowed %v", issuer, !want)
		}
	}
	if !(&AllowedIssuers{Mode: Enforce}).Allows("https://any.example") {
		t.Error("an empty list must allow every issuer")
	}
	for issuer, fine := range map[string]bool{
		"https://gitlab.com": true, "https://oidc.example.com/*": true, "https://oidc.example.com/id/*": true, "https://*": false,
		"https://*/a": false, "https://oidc.*": false, "https:///*": false, "*": false, "/*": false, "https://a.example//*": false, "": false,
	} {
		if err := CheckFederationPolicy(&FederationPolicy{AllowedIssuers: AllowedIssuers{Issuers: []string{issuer}}}); (err == nil) != fine {
			t.Errorf("%q: %v", issuer, err)
		}
	}
}
