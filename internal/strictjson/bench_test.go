package strictjson_test

import (
	"testing"

	"cambio/internal/strictjson"
)

// githubClaims has the members and the size of a GitHub Actions token for a
// job in an environment.
const githubClaims = `{"jti":"0f1b5e4c-8d4e-4b7a-9d0a-2b9c6e1f7a33","sub":"repo:acme-industries@12345678/payments-service@456789012:environment:production","aud":"api://AzureADTokenExchange","ref":"refs/heads/main","sha":"3b1f0e2d4c5b6a79880716253443526170f0e1d2","repository":"acme-industries/payments-service","repository_owner":"acme-industries","repository_owner_id":"12345678","run_id":"17234567890","run_number":"4711","run_attempt":"1","repository_visibility":"private","repository_id":"456789012","actor_id":"87654321","actor":"release-engineer","workflow":"Deploy to production","head_ref":"","base_ref":"","event_name":"workflow_dispatch","ref_protected":"true","ref_type":"branch","workflow_ref":"acme-industries/payments-service/.github/workflows/deploy.yml@refs/heads/main","workflow_sha":"3b1f0e2d4c5b6a79880716253443526170f0e1d2","job_workflow_ref":"acme-industries/payments-service/.github/workflows/deploy.yml@refs/heads/main","runner_environment":"github-hosted","environment":"production","iss":"https://token.actions.githubusercontent.com","nbf":1793613627,"exp":1793614227,"iat":1793613927}`

func BenchmarkParseObject(b *testing.B) {
	doc := []byte(githubClaims)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		object, err := strictjson.ParseObject(doc, strictjson.Claims)
		if err != nil {
			b.Fatal(err)
		}
		if _, present, err := object.String("sub"); !present || err != nil {
			b.Fatal("no sub")
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	doc := []byte(githubClaims)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if err := strictjson.Check(doc, strictjson.Claims); err != nil {
			b.Fatal(err)
		}
	}
}
