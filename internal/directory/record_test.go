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
