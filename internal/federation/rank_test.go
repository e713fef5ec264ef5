package federation

import (
	"testing"

	"cambio/internal/directory"
	"cambio/internal/oauth"
)

// TestMatchPrefersWhatCanBeUsed: of several credentials that match a token one
// that can be used counts, then one that only reports, then one that is
// disabled, in whatever order they come.
func TestMatchPrefersWhatCanBeUsed(t *testing.T) {
	const issuer, subject, audience = "https://idp.example.net", "s", "api://AzureADTokenExchange"
	usable, reports, off := (*directory.Ceilings)(nil), &directory.Ceilings{ReportOnly: true}, &directory.Ceilings{Disabled: true}
	names := map[*directory.Ceilings]string{usable: "usable", reports: "reports", off: "off"}
	expression, err := directory.ParseExpression("claims['sub'] eq 's'")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		exact, flexible []*directory.Ceilings
		want            string
	}{
		{[]*directory.Ceilings{off, reports, usable}, nil, "usable"},
		{[]*directory.Ceilings{reports, off}, nil, "reports"},
		{[]*directory.Ceilings{off}, []*directory.Ceilings{reports}, "reports"},
		{[]*directory.Ceilings{reports}, []*directory.Ceilings{off, usable}, "usable"},
		{[]*directory.Ceilings{reports}, []*directory.Ceilings{off}, "reports"},
		{[]*directory.Ceilings{off}, []*directory.Ceilings{off}, ""},
	} {
		r := &directory.ClientRecord{ClientID: "client"}
		for _, ceilings := range c.exact {
			r.Credentials = append(r.Credentials, directory.Credential{Name: names[ceilings], Issuer: issuer, Subject: subject, Audiences: []string{audience}, Ceilings: ceilings})
		}
		for _, ceilings := range c.flexible {
			r.Credentials = append(r.Credentials, directory.Credential{Name: names[ceilings], Issuer: issuer, Expression: expression, Audiences: []string{audience}, Ceilings: ceilings})
		}
		a, refusal := Parse(newProvider(t).token(map[string]string{"iss": quote(issuer), "sub": quote(subject), "aud": quote(audience)}))
		if refusal != nil {
			t.Fatal(refusal)
		}
		found, refusal := Match(r.Compile(), a)
		switch {
		case c.want == "" && (refusal == nil || refusal.Code != oauth.CredentialDisabled):
			t.Errorf("%v: %v", c, refusal)
		case c.want != "" && (found == nil || found.Name != c.want):
			t.Errorf("%v: %+v, %v", c, found, refusal)
		}
	}
}
