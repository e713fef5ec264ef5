package directory

import "testing"

func TestTrustDomain(t *testing.T) {
	for text, want := range map[string]bool{
		"spiffe://example.org": true, "spiffe://a_b.c-1": true,
		"spiffe://example.org/": false, "spiffe://example.org/a": false, "spiffe://Example.org": false, "SPIFFE://example.org": false,
		"spiffe://": false, "example.org": false, "https://example.org": false, "spiffe://example.org:443": false, "spiffe://u@example.org": false, "spiffe://example.org?a": false, "": false,
	} {
		if got := IsTrustDomain(text); got != want {
			t.Errorf("IsTrustDomain(%q) = %v", text, got)
		}
	}
	for id, want := range map[string]string{
		"spiffe://example.org/ns/shop": "spiffe://example.org",
		"spiffe://example.org":         "", "spiffe://example.org/": "", "spiffe://example.org/a/": "", "spiffe://example.org/a//b": "", "spiffe://example.org/a/../b": "",
		"spiffe://Example.org/a": "", "spiffe://example.org/%61": "", "spiffe://example.org/a?b": "", "https://example.org/a": "", "repo:a/b": "", "": "",
	} {
		if got, ok := TrustDomainOf(id); got != want || ok != (want != "") {
			t.Errorf("TrustDomainOf(%q) = %q, %v", id, got, ok)
		}
	}
}

func TestCredentialsOfTrustDomains(t *testing.T) {
	anywhere := func(string) error { return nil }
	credential := func(issuer, subject string) *FederatedIdentityCredential {
		return &FederatedIdentityCredential{Name: "spiffe", Issuer: issuer, Subject: subject, Audiences: []string{"api://AzureADTokenExchange"}}
	}
	const td = "spiffe://example.org"
	if err := ValidateCredential(credential(td, td+"/ns/shop"), Relaxed, anywhere); err != nil {
		t.Error(err)
	}
	if err := ValidateCredential(credential("https://oidc.example.org", "spiffe://other.example/ns/shop"), Relaxed, anywhere); err != nil {
		t.Error(err) // an issuer with an iss of its own says what it likes
	}
	for name, err := range map[string]error{
		"strict":                ValidateCredential(credential(td, td+"/ns/shop"), Strict, anywhere),
		"another trust domain":  ValidateCredential(credential(td, "spiffe://example.com/ns/shop"), Relaxed, anywhere),
		"one that begins alike": ValidateCredential(credential(td, "spiffe://example.org.evil.example/ns/shop"), Relaxed, anywhere),
		"the trust domain":      ValidateCredential(credential(td, td), Relaxed, anywhere),
		"no SPIFFE ID":          ValidateCredential(credential(td, "repo:acme/shop"), Relaxed, anywhere),
	} {
		if err == nil {
			t.Errorf("%s: allowed", name)
		}
	}
}
