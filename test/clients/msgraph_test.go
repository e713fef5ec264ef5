package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMSGraphSDK manages applications, credentials and assignments with
// Microsoft Graph's SDK for Go, which compresses what it sends. It runs when
// asked for: with an empty build cache, building the SDK takes about five
// minutes of processor time and as many gigabytes of memory.
func TestMSGraphSDK(t *testing.T) {
	if os.Getenv("CAMBIO_MSGRAPH_SDK") != "1" {
		t.Skip("skipped: `make msgraph-sdk` runs it")
	}
	program := filepath.Join(shared.dir, "msgraph-sdk")
	build := exec.Command("go", "build", "-trimpath", "-o", program, ".")
	build.Dir = "msgraph-sdk"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	checkApplication(t, run(t, operation(byOptions(), "msgraph-sdk"), program))
}
