package store

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"cambio/internal/audit"
	"cambio/internal/directory"
)

func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func sampleDecision() *audit.Decision {
	return &audit.Decision{
		At: time.Now(), TenantID: "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77", ClientID: "1a0b2c3d-4d7a-4c55-9a3e-2f1d0c9b8a77",
		CorrelationID: "6d0f3b1a-2c4e-4f5a-8b7c-9d0e1f2a3b4c", TraceID: "5d0f3b1a-2c4e-4f5a-8b7c-9d0e1f2a3b4c", Allowed: true,
		CredentialID: "d3c2b1a0-9f8e-4d7c-8b6a-5f4e3d2c1b0a", CredentialName: "gh-main",
		Issuer: "https://token.actions.githubusercontent.com", Subject: "repo:acme/shop:ref:refs/heads/main",
		Audiences: []string{"api://AzureADTokenExchange"}, KeyID: "38826b17-6a30-5f9b-b169-8beb8202f723", Algorithm: "RS256",
		AssertionHash: [32]byte{1, 2, 3}, Resource: "api://orders", Roles: []string{"Orders.Read"},
		TokenID: "Zk3s9fJq0kS1mYw2x4TgAA", TokenKeyID: "k1", ExpiresAt: time.Now().Add(time.Hour), Source: "192.0.2.7",
	}
}

// BenchmarkRecordDecision measures the CPU time of an audit row, by how many
// callers record at once, each having worked for a while before as a token
// request does.
func BenchmarkRecordDecision(b *testing.B) {
	for _, work := range []time.Duration{0, 400 * time.Microsecond} {
		for _, linger := range []time.Duration{-1, time.Millisecond, 2 * time.Millisecond} {
			for _, callers := range []int{1, 8, 64} {
				b.Run(fmt.Sprintf("work=%s/linger=%s/callers=%d", work, linger, callers), func(b *testing.B) {
					benchmarkDecisions(b, Config{Linger: linger}, work, callers)
				})
			}
		}
	}
}

func benchmarkDecisions(b *testing.B, cfg Config, work time.Duration, callers int) {
	cfg.Path = filepath.Join(b.TempDir(), "state", "cambio.db")
	db, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	d := sampleDecision()
	before := cpuTime() // of the work alone
	each(callers, b.N, func() { spin(work) })
	alone := cpuTime() - before
	for range 6000 { // let the WAL reach the size at which it is overwritten
		if err := db.RecordDecision(b.Context(), d, nil); err != nil {
			b.Fatal(err)
		}
	}
	start := db.Stats()
	before = cpuTime()
	b.ReportAllocs()
	b.ResetTimer()
	each(callers, b.N, func() {
		spin(work)
		if err := db.RecordDecision(context.Background(), d, nil); err != nil {
			b.Error(err)
		}
	})
	b.StopTimer()
	cpu := cpuTime() - before - alone
	commits := db.Stats().Commits - start.Commits
	b.ReportMetric(float64(cpu.Nanoseconds())/1e3/float64(b.N), "cpu-us/row")
	b.ReportMetric(float64(b.N)/float64(commits), "rows/commit")
}

// each calls fn n times from so many goroutines.
func each(callers, n int, fn func()) {
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			for j := i; j < n; j += callers {
				fn()
			}
		})
	}
	group.Wait()
}

// spin uses the CPU for about d, by a count of steps, so that being preempted
// does not shorten the work.
func spin(d time.Duration) uint64 {
	x := uint64(88172645463325252)
	for range d.Nanoseconds() {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

// BenchmarkMatch shows that finding a credential costs the same among ten as
// among ten thousand.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("credentials=%d", n), func(b *testing.B) {
			record := &directory.ClientRecord{}
			for i := range n {
				record.Credentials = append(record.Credentials, directory.Credential{Issuer: "https://issuer.example", Subject: fmt.Sprint("subject-", i)})
			}
			record.Compile()
			subject := fmt.Sprint("subject-", n-1)
			for b.Loop() {
				if len(record.Match("https://issuer.example", subject)) != 1 {
					b.Fatal("no match")
				}
			}
		})
	}
}

// BenchmarkClient measures a warm look-up.
func BenchmarkClient(b *testing.B) {
	db, a, _ := seeded(b, Config{})
	r := db.Records(RecordsConfig{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Client(b.Context(), a.TenantID, a.AppID); err != nil {
			b.Fatal(err)
		}
	}
}
