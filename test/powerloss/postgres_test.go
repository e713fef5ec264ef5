package powerloss

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"cambio/internal/store"
	"cambio/test/postgres"
	"cambio/test/powerloss/disk"
	"cambio/test/realparts"
)

// TestPostgresPowerLoss: nor is anything lost that PostgreSQL keeps.
func TestPostgresPowerLoss(t *testing.T) {
	c := newCluster(t)
	total, n := 0, min(cycles(t, 4), 100)
	for seed := range n {
		o := c.fail(t, uint64(seed))
		total += o.acknowledged
		if o.lost > 0 || o.half > 0 || o.damaged > 0 {
			t.Fatalf("seed %d: of %d acknowledged writes %d were lost; %d are there by half; damaged: %d", seed, o.acknowledged, o.lost, o.half, o.damaged)
		}
	}
	t.Logf("%d power failures, %d acknowledged writes, none lost", n, total)
	if total < 20*n {
		t.Errorf("only %d writes were acknowledged: that says nothing", total)
	}
}

// TestUnsafePostgresIsNoticed: one that does not wait for the disk, which a
// server refuses unless it is told not to, loses what it has acknowledged.
func TestUnsafePostgresIsNoticed(t *testing.T) {
	c := newCluster(t, "fsync=off")
	for seed := range 5 {
		if o := c.fail(t, uint64(seed)); o.lost > 0 || o.half > 0 || o.damaged > 0 {
			t.Logf("seed %d: of %d acknowledged writes %d were lost; damaged: %d", seed, o.acknowledged, o.lost, o.damaged)
			return
		}
	}
	t.Error("PostgreSQL with fsync=off lost nothing in 5 power failures: this test cannot see losses")
}

// cluster is a PostgreSQL server whose folder is put on a disk that can lose
// its power.
type cluster struct {
	*postgres.Server
	program string
	unsafe  bool
}

func newCluster(t *testing.T, options ...string) *cluster {
	t.Helper()
	needsFUSE(t)
	realparts.Needs(t, realparts.PostgreSQL)
	server, err := postgres.Start(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return &cluster{server, build(t, ""), len(options) > 0}
}

// fail puts the cluster on a disk, lets a writer work for a moment, takes the
// power away, and looks at what is left.
func (c *cluster) fail(t *testing.T, seed uint64) outcome {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 2))
	live, left := filepath.Join(c.Dir, "live"), filepath.Join(c.Dir, "left")
	must(t, c.Stop(t.Context(), "fast"), os.Rename(c.Data(), live), mkdirLike(c.Data(), live))
	d, err := disk.Over(live, c.Data())
	must(t, err)
	if err := c.Start(t.Context()); err != nil {
		_ = d.Unmount()
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), c.program, c.DSN(), strconv.FormatUint(seed, 10))
	if c.unsafe {
		cmd.Env = append(os.Environ(), "ACCEPT_LOST_WRITES=1")
	}
	end := write(t, cmd)
	time.Sleep(time.Duration(100+random.IntN(400)) * time.Millisecond)
	killed := c.Kill()
	acknowledged := end()
	must(t, killed, d.Cut(left, random), d.Unmount(), os.Remove(c.Data()), os.Rename(left, c.Data()), os.RemoveAll(live))
	if err := c.Start(t.Context()); err != nil {
		t.Log(err)
		return outcome{acknowledged: len(acknowledged) - 1, damaged: 1}
	}
	return inspect(t, store.Config{DSN: c.DSN(), AcceptLostWrites: c.unsafe}, acknowledged)
}

// mkdirLike makes an empty folder with the mode and the owner of another one.
func mkdirLike(path, other string) error {
	info, err := os.Stat(other)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	return errors.Join(os.Mkdir(path, info.Mode().Perm()), os.Chown(path, int(owner.Uid), int(owner.Gid)))
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
