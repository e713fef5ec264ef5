package explain

import (
	"testing"
	"time"

	"cambio/internal/directory"
	"cambio/internal/strictjson"
)

// What an exchange that is allowed pays for its explanation.
func BenchmarkAccepted(b *testing.B) {
	token := &Token{Algorithm: "RS256", KeyID: "k1"}
	var err error
	token.Claims, err = strictjson.ParseObject([]byte(`{"jti":"9b1e","sub":"repo:acme/shop:environment:prod","environment":"prod","aud":"api://AzureADTokenExchange","ref":"refs/heads/main","sha":"5f0c",
		"repository":"acme/shop","repository_owner":"acme","repository_owner_id":"1234567","repository_id":"89012345","repository_visibility":"private","actor":"dana","actor_id":"7654321",
		"workflow":"deploy","workflow_ref":"acme/shop/.github/workflows/deploy.yml@refs/heads/main","event_name":"push","ref_protected":"true","ref_type":"branch","run_id":"112233",
		"runner_environment":"github-hosted","job_workflow_ref":"acme/shop/.github/workflows/deploy.yml@refs/heads/main","iss":"https://token.actions.githubusercontent.com",
		"nbf":1793610327,"exp":1793611227,"iat":1793610627}`), strictjson.Claims)
	if err != nil {
		b.Fatal(err)
	}
	in := &Input{At: time.Unix(1793610627, 0), Token: token, Client: &directory.ClientRecord{}, Policy: &directory.FederationPolicy{}}
	var size int
	b.ReportAllocs()
	for b.Loop() {
		size = len(Accepted(in))
	}
	b.ReportMetric(float64(size), "B/record")
}
