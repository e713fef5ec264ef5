package spiffe_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"cambio/internal/spiffe"
	authority "cambio/test/spiffe"
)

func bundleOf(t *testing.T) string {
	t.Helper()
	a, err := authority.New("example.org")
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := a.Bundle() // as go-spiffe writes it
	if err != nil {
		t.Fatal(err)
	}
	return string(bundle)
}

func TestParseBundle(t *testing.T) {
	b, err := spiffe.ParseBundle([]byte(bundleOf(t)), 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.JWT.Keys) != 1 || len(b.JWT.Ignored) != 0 || len(b.Authorities) != 1 || b.RefreshHint != 5*time.Minute {
		t.Errorf("%d keys, %d ignored, %d authorities, %v", len(b.JWT.Keys), len(b.JWT.Ignored), len(b.Authorities), b.RefreshHint)
	}
}

// Faulty entries are skipped: the others count.
func TestParseBundleSkips(t *testing.T) {
	good := bundleOf(t)
	for name, c := range map[string]struct {
		old, new          string
		keys, authorities int
		ignored           string
	}{
		"no use":                       {`"use":"jwt-svid",`, ``, 0, 1, "it has no use"},
		"use sig":                      {`"use":"jwt-svid"`, `"use":"sig"`, 0, 1, ""},
		"a use of tomorrow":            {`"use":"jwt-svid"`, `"use":"wit-svid"`, 0, 1, ""},
		"no kid":                       {`"kid":"authority-1",`, ``, 0, 1, "it has no kid"},
		"no certificate":               {`"x5c":["`, `"x5t":["`, 1, 0, ""},
		"two certificates":             {`"x5c":["`, `"x5c":["AAAA","`, 1, 0, ""},
		"the certificate is no base64": {`"x5c":["`, `"x5c":["%`, 1, 0, ""},
		"the certificate is none":      {`"x5c":["`, `"x5c":["AAAA`, 1, 0, ""},
		"a hint of nonsense":           {`"spiffe_refresh_hint":300`, `"spiffe_refresh_hint":-1e300`, 1, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(good, c.old) {
				t.Fatalf("%s has no %s", good, c.old)
			}
			b, err := spiffe.ParseBundle([]byte(strings.Replace(good, c.old, c.new, 1)), 100)
			if err != nil {
				t.Fatal(err)
			}
			if len(b.JWT.Keys) != c.keys || len(b.Authorities) != c.authorities {
				t.Errorf("%d keys, %d authorities", len(b.JWT.Keys), len(b.Authorities))
			}
			if c.ignored != "" && (len(b.JWT.Ignored) != 1 || b.JWT.Ignored[0].Reason != c.ignored) {
				t.Errorf("ignored %v", b.JWT.Ignored)
			}
		})
	}
}

// A leaf is no authority: whoever has its key could issue SVIDs.
func TestParseBundleRefusesLeaves(t *testing.T) {
	a, err := authority.New("example.org")
	if err != nil {
		t.Fatal(err)
	}
	svid, err := a.X509SVID(a.ID("/x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := spiffe.ParseBundle([]byte(`{"keys":[{"use":"x509-svid","kty":"EC","x5c":["`+base64.StdEncoding.EncodeToString(svid.Leaf.Raw)+`"]}]}`), 100)
	if err != nil || len(b.Authorities) != 0 {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestParseBundleRefusesDocuments(t *testing.T) {
	for _, doc := range []string{"", "[]", "{}", `{"keys":{}}`, `{"keys":[],"keys":[]}`, "<html>"} {
		if b, err := spiffe.ParseBundle([]byte(doc), 100); err == nil {
			t.Errorf("%q was read as %+v", doc, b)
		}
	}
}
