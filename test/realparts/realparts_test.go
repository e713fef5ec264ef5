package realparts

import (
	"fmt"
	"strings"
	"testing"
)

// recorder is a test that notes what would become of it.
type recorder struct{ outcome string }

func (r *recorder) Helper()             {}
func (r *recorder) Logf(string, ...any) {}
func (r *recorder) Skipf(format string, args ...any) {
	r.outcome = "skipped: " + fmt.Sprintf(format, args...)
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.outcome = "failed: " + fmt.Sprintf(format, args...)
}

// TestNeeds: a missing part is a failure in CI and a skip elsewhere, and is
// named in both.
func TestNeeds(t *testing.T) {
	t.Setenv("CAMBIO_REALPARTS", t.TempDir())
	for ci, want := range map[string]string{"true": "failed: ", "": "skipped: "} {
		t.Setenv("CI", ci)
		r := new(recorder)
		if Needs(r, KubeAPIServer); !strings.HasPrefix(r.outcome, want) || !strings.Contains(r.outcome, "kube-apiserver") {
			t.Errorf("CI=%q: %s", ci, r.outcome)
		}
	}
}
