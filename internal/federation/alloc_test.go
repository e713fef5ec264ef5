//go:build !race

// Allocations are not counted under the race detector.

package federation

import (
	"testing"

	"cambio/internal/directory"
)

// A match allocates nothing: not for clients without expressions, and not for
// an expression on sub.
func TestMatchDoesNotAllocate(t *testing.T) {
	a := &Assertion{Issuer: issuer, Subject: subject, Audiences: []string{audience}}
	for name, c := range map[string]*directory.ClientRecord{
		"exact":             client(credential()),
		"exact of two":      client(credential(), flexible(t, "a", "claims['sub'] matches 'x*'")),
		"expression on sub": client(flexible(t, "a", "claims['sub'] matches 'repo:acme/*'")),
	} {
		if n := testing.AllocsPerRun(100, func() {
			if _, refusal := Match(c, a); refusal != nil {
				t.Fatal(refusal)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
