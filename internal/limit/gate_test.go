package limit

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func TestGate(t *testing.T) {
	now := time.Unix(1e9, 0)
	g := NewGate(Refusals{Source: 2, Client: 10, Issuer: 10, All: 1000}, func() time.Time { return now })
	flood := Subject{Source: "192.0.2.1", Client: "c", Issuer: "i"}
	honest := Subject{Source: "192.0.2.1", Client: "h"}
	g.Issued(honest)
	for i := range 20 { // ten seconds' worth
		if kind := g.Admit(flood); kind != None {
			t.Fatalf("request %d: %v", i, kind)
		}
		g.Refused(flood)
	}
	for _, c := range []struct {
		name string
		s    Subject
		want Kind
	}{
		{"the flood", flood, Source},
		{"another client at that source", Subject{Source: "192.0.2.1", Client: "d"}, Source},
		{"one that was issued a token there", honest, None},
		{"the same client elsewhere", Subject{Source: "192.0.2.2", Client: "c"}, None},
		{"an IPv6 source", Subject{Source: "2001:db8::1", Client: "c"}, None},
	} {
		if got := g.Admit(c.s); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, Kinds[got], Kinds[c.want])
		}
	}
	now = now.Add(time.Second)
	if g.Admit(flood) != None {
		t.Error("the allowance does not come back")
	}
}

// TestStrangersDoNotLockOut: many sources send refused requests for a client
// and with its issuer.
func TestStrangersDoNotLockOut(t *testing.T) {
	now := time.Unix(1e9, 0)
	g := NewGate(Refusals{Source: 100, Client: 5, Issuer: 5, All: 1000}, func() time.Time { return now })
	workload := Subject{Source: "198.51.100.7", Client: "c", Issuer: "i"}
	g.Issued(workload)
	for i := range 200 {
		g.Refused(Subject{Source: fmt.Sprintf("192.0.2.%d", i), Client: "c", Issuer: "i"})
	}
	if kind := g.Admit(Subject{Source: "192.0.2.250", Client: "c"}); kind != Client {
		t.Errorf("the client's allowance: %v", Kinds[kind])
	}
	if kind := g.Admit(Subject{Source: "192.0.2.250", Client: "other", Issuer: "i"}); kind != Issuer {
		t.Errorf("the issuer's allowance: %v", Kinds[kind])
	}
	if kind := g.Admit(workload); kind != None {
		t.Errorf("the workload is locked out: %v", Kinds[kind])
	}
}

func TestNetworks(t *testing.T) {
	for source, want := range map[string]string{"192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "::ffff:192.0.2.1": "::ffff:192.0.2.1", "": ""} {
		if got := network(source); got != want {
			t.Errorf("%s is of %s, want %s", source, got, want)
		}
	}
}

func TestNotes(t *testing.T) {
	g, now := NewGate(Refusals{}, time.Now), time.Unix(1e9, 0)
	said := 0
	for i := range 300 {
		if say, skipped := g.Note(Source, now.Add(time.Duration(i)*time.Second)); say {
			if said++; said > 1 && skipped != 59 {
				t.Errorf("%d were skipped", skipped)
			}
		}
	}
	if said != 5 {
		t.Errorf("said %d times in five minutes", said)
	}
}

func TestWaitEndsWithTheRequest(t *testing.T) {
	g := NewGate(Refusals{}, time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.Wait(ctx)
}

// TestGateIsBounded: a million sources, clients and issuers.
func TestGateIsBounded(t *testing.T) {
	g := NewGate(Refusals{Source: 1, Client: 1, Issuer: 1, All: 1}, time.Now)
	for i := range 1_000_000 {
		s := Subject{Source: fmt.Sprint("s", i), Client: fmt.Sprint("c", i), Issuer: fmt.Sprint("i", i)}
		g.Refused(s)
		g.Issued(s)
	}
	if n := len(g.good.newer) + len(g.good.older); n > 2*recentSize {
		t.Errorf("%d pairs are remembered", n)
	}
	for kind, l := range g.kinds {
		if n := len(l.newer) + len(l.older); n > 2*generation {
			t.Errorf("%d limiters for %s", n, Kinds[kind])
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	g := NewGate(Refusals{Source: 100, Client: 100, Issuer: 100, All: 1000}, time.Now)
	s := Subject{Source: "192.0.2.1", Client: "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77"}
	b.ReportAllocs()
	for b.Loop() {
		g.Admit(s)
		g.Issued(s)
	}
}
