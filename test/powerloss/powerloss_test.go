// Package powerloss takes the power away from a database under load, on a disk
// that forgets what was not synced, and looks for what had been acknowledged.
package powerloss

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/conformance/devserver"
	"cambio/internal/store"
	"cambio/test/powerloss/disk"
)

// cycles is how often the power fails: few times in the usual test run,
// CAMBIO_POWER_CYCLES when it is asked for.
func cycles(t *testing.T, usual int) int {
	text := os.Getenv("CAMBIO_POWER_CYCLES")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CAMBIO_POWER_CYCLES=%q is no count", text)
	}
	return n
}

// needsFUSE skips the test where file systems cannot be mounted.
func needsFUSE(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		f.Close()
	}
	switch {
	case err == nil && os.Geteuid() == 0:
	case os.Getenv("CI") == "true":
		t.Fatalf("no file system can be mounted here: %v", err)
	default:
		t.Skipf("skipped: mounting a file system needs /dev/fuse and root (%v)", err)
	}
}

func build(t *testing.T, tags string) string {
	t.Helper()
	root, err := devserver.Root()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "writer")
	cmd := exec.Command("go", "build", "-tags", tags, "-o", program, "./test/powerloss/writer")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// outcome is what was found after power failures.
type outcome struct {
	acknowledged, lost, half, damaged int
}

// TestPowerLoss: nothing that was acknowledged is lost, and nothing is there by
// half.
func TestPowerLoss(t *testing.T) {
	needsFUSE(t)
	program := build(t, "")
	var total outcome
	n := cycles(t, 12)
	for seed := range n {
		o := fail(t, program, uint64(seed))
		total.acknowledged += o.acknowledged
		if o.lost > 0 || o.half > 0 || o.damaged > 0 {
			t.Errorf("seed %d: of %d acknowledged writes %d were lost; %d are there by half; damaged: %d", seed, o.acknowledged, o.lost, o.half, o.damaged)
		}
	}
	t.Logf("%d power failures, %d acknowledged writes, none lost", n, total.acknowledged)
	if total.acknowledged < 20*n {
		t.Errorf("only %d writes were acknowledged: that says nothing", total.acknowledged)
	}
}

// TestUnsafeBuildIsNoticed: a build that does not wait for the disk loses what
// it has acknowledged, and this test sees it.
func TestUnsafeBuildIsNoticed(t *testing.T) {
	needsFUSE(t)
	program := build(t, "unsafesync")
	for seed := range 20 {
		if o := fail(t, program, uint64(seed)); o.lost > 0 || o.half > 0 || o.damaged > 0 {
			t.Logf("seed %d: of %d acknowledged writes %d were lost; damaged: %d", seed, o.acknowledged, o.lost, o.damaged)
			return
		}
	}
	t.Error("a build with synchronous=OFF lost nothing in 20 power failures: this test cannot see losses")
}

// fail lets a writer work for a moment, takes the power away, and looks at what
// is left.
func fail(t *testing.T, program string, seed uint64) outcome {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	d, err := disk.Mount(dir)
	if err != nil {
		t.Fatal(err)
	}
	unmounted := false
	defer func() {
		if !unmounted {
			_ = d.Unmount()
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, program, filepath.Join(d.Path, "cambio.db"), strconv.FormatUint(seed, 10))
	end := write(t, cmd)
	time.Sleep(time.Duration(20+random.IntN(150)) * time.Millisecond)
	acknowledged := end()
	left := filepath.Join(dir, "left")
	if err := d.Cut(left, random); err != nil {
		t.Fatal(err)
	}
	if err := d.Unmount(); err != nil {
		t.Fatal(err)
	}
	unmounted = true
	return inspect(t, store.Config{Path: filepath.Join(left, "cambio.db")}, acknowledged)
}

// write starts a writer and waits until it writes. end kills it and returns
// what was acknowledged.
func write(t *testing.T, cmd *exec.Cmd) (end func() []string) {
	t.Helper()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make(chan struct{})
	lines := make(chan []string, 1)
	go func() { lines <- collect(out, first) }()
	<-first
	return func() []string {
		_ = cmd.Process.Kill()
		acknowledged := <-lines
		_ = cmd.Wait() // killed
		return acknowledged
	}
}

// collect reads what was acknowledged until the writer is gone.
func collect(out io.Reader, first chan struct{}) []string {
	var list []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if list = append(list, lines.Text()); len(list) == 1 {
			close(first)
		}
	}
	return list
}

// inspect opens what a power failure left.
func inspect(t *testing.T, cfg store.Config, acknowledged []string) outcome {
	t.Helper()
	o := outcome{acknowledged: len(acknowledged) - 1}
	db, err := store.Open(cfg)
	if err != nil {
		o.damaged++
		return o
	}
	defer db.Close()
	ctx := t.Context()
	recorded, err := records(ctx, db)
	if err != nil {
		o.damaged++
		return o
	}
	var tenant, app string
	if _, err := fmt.Sscanf(acknowledged[0], "app %s %s", &tenant, &app); err != nil {
		t.Fatalf("%q: %v", acknowledged[0], err)
	}
	for _, line := range acknowledged[1:] {
		kind, name, _ := strings.Cut(line, " ")
		there := recorded[name] == 1
		if kind == "credential" {
			_, err := db.Credential(ctx, tenant, app, name)
			there = there && err == nil
		}
		if !there {
			o.lost++
		}
	}
	// A credential is there only together with its record.
	list, _, err := db.Credentials(ctx, tenant, app, store.ListQuery{Top: store.MaxPage})
	if err != nil {
		o.damaged++
	}
	for _, c := range list {
		if recorded[c.Name] != 1 {
			o.half++
		}
	}
	return o
}

// records counts the audit records by what they name.
func records(ctx context.Context, db *store.DB) (map[string]int, error) {
	count := map[string]int{}
	for after := int64(0); ; {
		page, err := db.AuditRecords(ctx, after, 1000)
		if err != nil || len(page) == 0 {
			return count, err
		}
		for _, r := range page {
			after = r.ID
			var detail struct {
				TraceID       string `json:"traceId"`
				CorrelationID string `json:"correlationId"`
			}
			if err := json.Unmarshal(r.Detail, &detail); err != nil {
				return nil, err
			}
			count[detail.TraceID+detail.CorrelationID]++
		}
	}
}
