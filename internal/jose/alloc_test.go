//go:build !race

// Allocations are not counted under the race detector, which makes sync.Pool
// forget at random.

package jose_test

import (
	"testing"

	"cambio/internal/jose"
)

func TestParseCompactAllocations(t *testing.T) {
	compact := token(goodHeader, githubClaims, jose.ES256, keys().p256)
	n := testing.AllocsPerRun(100, func() {
		if _, err := jose.ParseCompact(compact); err != nil {
			t.Error(err)
		}
	})
	if n > 8 {
		t.Errorf("%v allocations, want at most 8", n)
	}
}

func TestCandidatesDoNotAllocate(t *testing.T) {
	set, err := jose.ParseKeySet(keySetOf(publicJWK(&keys().rsa.PublicKey, "k1", jose.RS256), publicJWK(&keys().rsa2.PublicKey, "k2", jose.RS256)), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range []jose.Header{{Algorithm: jose.RS256, KeyID: "k1", HasKeyID: true}, {Algorithm: jose.RS256}, {Algorithm: jose.RS256, KeyID: "x", HasKeyID: true}} {
		if n := testing.AllocsPerRun(100, func() { set.Candidates(header) }); n != 0 {
			t.Errorf("%+v: %v allocations", header, n)
		}
	}
}
