//go:build !race

// Allocations are not counted under the race detector, which makes sync.Pool
// forget at random.

package strictjson_test

import (
	"testing"

	"cambio/internal/strictjson"
)

// The hot path may allocate the member list and nothing else.
func TestParseObjectAllocations(t *testing.T) {
	doc := []byte(githubClaims)
	n := testing.AllocsPerRun(100, func() {
		if _, err := strictjson.ParseObject(doc, strictjson.Claims); err != nil {
			t.Error(err)
		}
	})
	if n > 2 {
		t.Errorf("%v allocations, want at most 2", n)
	}
}
