package explain

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/internal/directory"
	"cambio/internal/strictjson"
)

// TestAccepted: what the path of issued tokens writes is what an explanation
// would keep, whatever the claims are.
func TestAccepted(t *testing.T) {
	policy := &directory.FederationPolicy{Claims: directory.ClaimPolicy{Keep: []string{"run_id", "number", "list", "esc", "long", "a\"b"}, Hash: []string{"actor"}, Omit: []string{"ref"}}}
	for name, claims := range map[string]string{
		"GitHub":  `"iss":"https://token.actions.githubusercontent.com","sub":"repo:acme/shop:ref:refs/heads/main","iat":1793610627,"exp":1793611227,"repository":"acme/shop","repository_id":"89012345","ref":"refs/heads/main","actor":"dana","run_id":"1"`,
		"odd":     `"iss":"https://i.example","sub":"s","exp":1793611227.5,"number":1.50,"list":["a",{"b":1}],"esc":"a\u0000\n\"é\\","long":"` + strings.Repeat("é", 300) + `","a\"b":"x"`,
		"nothing": `"iss":"https://i.example","sub":"s"`,
		"much":    `"iss":"https://i.example","sub":"s","list":["` + strings.Repeat("x", 3000) + `"],"run_id":"1"`,
	} {
		object, err := strictjson.ParseObject([]byte("{"+claims+"}"), strictjson.Claims)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		in := &Input{At: time.Unix(1793610700, 0), Token: &Token{Claims: object}, Client: &directory.ClientRecord{TenantID: "t"}, Policy: policy, Sets: []string{directory.IssuerSetReference("clusters")}}
		stored := Accepted(in)
		var got Explanation
		if err := json.Unmarshal(stored, &got, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%s: %v in %s", name, err, stored)
		}
		var want Explanation
		want.describe(in)
		if !got.Allowed || len(stored) > maxStored || !maps.Equal(got.Claims, want.Claims) || !slices.Equal(got.Issuer.Sets, []string{"clusters"}) ||
			!got.Times.IssuedAt.Equal(want.Times.IssuedAt) || !got.Times.Expires.Equal(want.Times.Expires) {
			t.Errorf("%s: wrote %s\nwant the claims %v, times %v", name, stored, want.Claims, want.Times)
		}
	}
}
