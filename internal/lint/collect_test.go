package lint

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func issued(at time.Time, credential, subject, claims string) []byte {
	return fmt.Appendf(nil, `{"id":1,"at":%q,"kind":"exchange","detail":{"outcome":"allowed","clientId":"client","credentialName":%q,"issuer":%q,"subject":%q,"explanation":{"claims":{%s}}}}`,
		at.Format(time.RFC3339), credential, gh, subject, claims)
}

// TestCollector: what the trail says of credentials in use, and what lint
// makes of it.
func TestCollector(t *testing.T) {
	c := NewCollector(now.AddDate(0, 0, -90))
	add := func(record []byte) {
		t.Helper()
		if err := c.Record(record); err != nil {
			t.Fatal(err)
		}
	}
	add(issued(now.AddDate(0, 0, -91), "c", "too old", ""))
	add([]byte(fmt.Sprintf(`{"id":2,"at":%q,"kind":"change","detail":{"action":"x"}}`, now.AddDate(0, 0, -60).Format(time.RFC3339))))
	add([]byte(fmt.Sprintf(`{"id":3,"at":%q,"kind":"exchange","detail":{"outcome":"refused","clientId":"client","credentialName":"c","subject":"s"}}`, now.Format(time.RFC3339))))
	for i := range 30 {
		add(issued(now.AddDate(0, 0, -30+i), "c", "repo:acme/shop:ref:refs/heads/main", fmt.Sprintf(`"repository":"acme/shop","ref_protected":"true","sha":"%d","long":"x…"`, i)))
	}
	if err := c.Record([]byte("version: 1")); err == nil {
		t.Error("a line that is no record was taken")
	}
	in := example{credential: exp(gh, match("sub", "repo:acme/shop:*")), with: beside(exp(gh, match("sub", "repo:acme/other:*")))}.input()
	in.Usage = c.Usage(in.Clients)
	if len(in.Usage) != 2 {
		t.Fatalf("%+v", in.Usage)
	}
	u := in.Usage[0]
	if u.Count != 30 || !u.Last.Equal(now.AddDate(0, 0, -1)) || !u.Since.Equal(now.AddDate(0, 0, -60)) {
		t.Errorf("%+v", u)
	}
	if sha := u.claim("sha"); len(sha.Values) != mostValues || !sha.More || sha.Count != 30 {
		t.Errorf("%+v", sha)
	}
	if long := u.claim("long"); len(long.Values) != 0 || !long.More {
		t.Errorf("%+v", long)
	}
	if f := findings(in, "L26"); len(f) != 1 || !strings.Contains(f[0].Remedy, "claims['sub'] eq 'repo:acme/shop:ref:refs/heads/main'") {
		t.Errorf("L26: %+v", f)
	}
	if f := findings(in, "L25"); len(f) != 1 || !strings.Contains(f[0].Message, "ref_protected") {
		t.Errorf("L25: %+v", f)
	}
	never := 0
	for _, f := range Check(in) {
		if f.Rule == "L22" && f.Credential == "beside" {
			never++
		}
	}
	if never != 1 {
		t.Errorf("%d findings about the credential that was never used", never)
	}
}
