package jose_test

import (
	"crypto"
	"testing"

	"cambio/internal/jose"
)

// githubClaims has the members and the size of a GitHub Actions token for a
// job in an environment.
const githubClaims = `{"jti":"0f1b5e4c-8d4e-4b7a-9d0a-2b9c6e1f7a33","sub":"repo:acme-industries@12345678/payments-service@456789012:environment:production","aud":"api://AzureADTokenExchange","ref":"refs/heads/main","sha":"3b1f0e2d4c5b6a79880716253443526170f0e1d2","repository":"acme-industries/payments-service","repository_owner":"acme-industries","repository_owner_id":"12345678","run_id":"17234567890","run_number":"4711","run_attempt":"1","repository_visibility":"private","repository_id":"456789012","actor_id":"87654321","actor":"release-engineer","workflow":"Deploy to production","head_ref":"","base_ref":"","event_name":"workflow_dispatch","ref_protected":"true","ref_type":"branch","workflow_ref":"acme-industries/payments-service/.github/workflows/deploy.yml@refs/heads/main","workflow_sha":"3b1f0e2d4c5b6a79880716253443526170f0e1d2","job_workflow_ref":"acme-industries/payments-service/.github/workflows/deploy.yml@refs/heads/main","runner_environment":"github-hosted","environment":"production","iss":"https://token.actions.githubusercontent.com","nbf":1793613627,"exp":1793614227,"iat":1793613927}`

func BenchmarkParseCompact(b *testing.B) {
	compact := token(`{"alg":"RS256","typ":"JWT","kid":"k1"}`, githubClaims, jose.RS256, keys().rsa)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jose.ParseCompact(compact); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyRS256(b *testing.B) { benchmarkVerify(b, jose.RS256, keys().rsa) }
func BenchmarkVerifyPS256(b *testing.B) { benchmarkVerify(b, jose.PS256, keys().rsa) }
func BenchmarkVerifyES256(b *testing.B) { benchmarkVerify(b, jose.ES256, keys().p256) }
func BenchmarkVerifyEdDSA(b *testing.B) { benchmarkVerify(b, jose.EdDSA, keys().ed) }

func benchmarkVerify(b *testing.B, alg jose.Algorithm, key crypto.Signer) {
	jws, err := jose.ParseCompact(token(`{"alg":"`+string(alg)+`","typ":"JWT","kid":"k1"}`, githubClaims, alg, key))
	if err != nil {
		b.Fatal(err)
	}
	public := publicKey(b, key.Public(), alg)
	b.ReportAllocs()
	for b.Loop() {
		if err := jws.Verify(public); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignRS256(b *testing.B) { benchmarkSign(b, jose.RS256, keys().rsa) }
func BenchmarkSignES256(b *testing.B) { benchmarkSign(b, jose.ES256, keys().p256) }
func BenchmarkSignEdDSA(b *testing.B) { benchmarkSign(b, jose.EdDSA, keys().ed) }

func benchmarkSign(b *testing.B, alg jose.Algorithm, key crypto.Signer) {
	input := []byte(b64([]byte(goodHeader)) + "." + b64([]byte(githubClaims)))
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jose.Sign(alg, key, input, dst); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCandidates(b *testing.B) {
	set, err := jose.ParseKeySet(keySetOf(publicJWK(&keys().rsa.PublicKey, "k1", jose.RS256), publicJWK(&keys().rsa2.PublicKey, "k2", jose.RS256)), 100)
	if err != nil {
		b.Fatal(err)
	}
	header := jose.Header{Algorithm: jose.RS256, KeyID: "k2", HasKeyID: true}
	b.ReportAllocs()
	for b.Loop() {
		if candidates, known := set.Candidates(header); len(candidates) != 1 || !known {
			b.Fatal(candidates)
		}
	}
}

func BenchmarkParseKeySet(b *testing.B) {
	doc := keySetOf(publicJWK(&keys().rsa.PublicKey, "k1", jose.RS256), publicJWK(&keys().p256.PublicKey, "k2", jose.ES256))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jose.ParseKeySet(doc, 100); err != nil {
			b.Fatal(err)
		}
	}
}
