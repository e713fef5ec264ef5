package directory

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestKnownTrust(t *testing.T) {
	r := &ClientRecord{Credentials: []Credential{
		{Issuer: "https://One.example", Subject: "repo:A"},
		{Issuer: "https://two.example", Subject: "repo:b"},
	}}
	for _, test := range []struct {
		issuer, subject         string
		known, folded, subjects bool
	}{
		{"https://One.example", "repo:A", true, true, true},
		{"https://One.example", "REPO:a", true, true, true},
		{"https://one.example", "repo:A", false, true, false},
		{"https://two.example", "repo:A", true, true, false},
		{"https://two.exampler", "epo:b", false, false, false},
		{"", "", false, false, false},
	} {
		if got := r.KnowsIssuer(test.issuer); got != test.known {
			t.Errorf("KnowsIssuer(%q) = %v", test.issuer, got)
		}
		if got := r.KnowsIssuerFolded(test.issuer); got != test.folded {
			t.Errorf("KnowsIssuerFolded(%q) = %v", test.issuer, got)
		}
		if got := r.KnowsSubjectFolded(test.issuer, test.subject); got != test.subjects {
			t.Errorf("KnowsSubjectFolded(%q, %q) = %v", test.issuer, test.subject, got)
		}
	}
	if new(ClientRecord).KnowsIssuer("") {
		t.Error("a client without credentials knows an issuer")
	}
}

func TestFlexibleCredentialsAreIndexedApart(t *testing.T) {
	e, err := ParseExpression("claims['sub'] matches 'a*'")
	if err != nil {
		t.Fatal(err)
	}
	r := (&ClientRecord{Credentials: []Credential{
		{Name: "b", Issuer: "https://one.example", Expression: e},
		{Name: "exact", Issuer: "https://one.example", Subject: "s"},
		{Name: "a", Issuer: "https://one.example", Expression: e},
		{Name: "c", Issuer: "https://two.example", Expression: e},
	}}).Compile()
	if got := r.Flexible("https://one.example"); len(got) != 2 || got[0].Name != "a" || got[1].Name != "b" {
		t.Errorf("of one: %v", got)
	}
	if got := r.Flexible("https://One.example"); got != nil {
		t.Errorf("of another issuer: %v", got)
	}
	if len(r.Match("https://one.example", "")) != 0 || len(r.Match("https://one.example", "s")) != 1 {
		t.Error("a flexible credential was found by its subject, or the exact one was not")
	}
	if !r.KnowsIssuer("https://two.example") || r.KnowsSubjectFolded("https://two.example", "") {
		t.Error("the issuer of a flexible credential is known, a subject of it is not")
	}
	plain := (&ClientRecord{Credentials: []Credential{{Name: "c", Issuer: "https://two.example"}}}).Bytes()
	if more := (&ClientRecord{Credentials: r.Credentials[3:]}).Bytes() - plain; more < len(e.String()) {
		t.Errorf("an expression counts for %d bytes", more)
	}
}

// Whoever may present any assertion must not make the server read all the
// credentials of a client each time.
func TestRefusalDoesNotReadAllCredentials(t *testing.T) {
	const many, rounds = 100_000, 1000
	r := &ClientRecord{Credentials: make([]Credential, many)}
	for i := range r.Credentials {
		r.Credentials[i] = Credential{Issuer: fmt.Sprintf("https://issuer-%d.example", i%5000), Subject: fmt.Sprint("Repo:", i)}
	}
	start := time.Now()
	r.KnowsIssuer("x")
	t.Logf("the first took %v", time.Since(start))
	start = time.Now()
	for i := range rounds {
		issuer := fmt.Sprintf("https://issuer-%d.example", i)
		if !r.KnowsIssuer(issuer) || !r.KnowsIssuerFolded(strings.ToUpper(issuer)) || !r.KnowsSubjectFolded(issuer, fmt.Sprint("repo:", i)) {
			t.Fatal("not known", i)
		}
		if r.KnowsSubjectFolded(issuer, "absent") {
			t.Fatal("known", i)
		}
	}
	each := time.Since(start) / rounds
	t.Logf("a later one takes %v", each)
	if each > 50*time.Microsecond {
		t.Errorf("a refusal takes %v", each)
	}
}
