package main

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// cch1 registers CCH-001 to CCH-004.
func cch1(cs catalogue) {
	cs.reg("CCH-001", func(t *T) {
		s := t.std()
		s.control()
		st := time.Now()
		n := t.flood(s, func(i int, q *Std) string {
			return q.by(fmt.Sprintf(`{"alg":"RS256","kid":"unknown-%d-%s"}`, i, nonce()), "RS256", t.e.keys.B)
		})
		el := time.Since(st)
		lim := int64(2 + el/t.e.o.MinRefresh)
		t.limits(1+lim, 1+lim)
		t.ok("none accepted", n == 0, "%d accepted", n)
		t.note("%d requests in %v, %d JWKS fetches", t.e.o.Flood, el.Round(time.Millisecond), s.is.nJWKS.Load())
	})
	cs.reg("CCH-003", func(t *T) {
		s := t.std()
		s.control()
		t.flood(s, func(i int, q *Std) string {
			return q.by(fmt.Sprintf(`{"alg":"RS256","kid":"u-%d-%s"}`, i, nonce()), "RS256", t.e.keys.B)
		})
		s.is.down.Store(true)
		t.accept("after flood, issuer down", t.assert(s.good()))
		t.limits(20, 20)
	})
	cs.reg("CCH-004", func(t *T) {
		is := t.iss()
		is.setKeys()
		s := t.on(is)
		st := time.Now()
		n := t.flood(s, func(i int, q *Std) string {
			return q.by(fmt.Sprintf(`{"alg":"RS256","kid":"u-%d-%s"}`, i, nonce()), "RS256", t.e.keys.B)
		})
		lim := int64(2 + time.Since(st)/t.e.o.MinRefresh)
		t.ok("none", n == 0, "%d accepted", n)
		t.limits(1+lim, 1+lim)
	})
}

// cch2 registers CCH-005 to CCH-006.
func cch2(cs catalogue) {
	cs.reg("CCH-005", func(t *T) {
		is := t.iss()
		is.onDisc(text(500, "text/plain", "x"))
		s := t.on(is)
		st := time.Now()
		n := t.flood(s, func(i int, q *Std) string { return q.good() })
		lim := int64(3 + time.Since(st)/time.Second)
		t.ok("none", n == 0, "%d accepted", n)
		t.limits(lim, 0)
		t.note("%d discovery fetches in %v", is.nDisc.Load(), time.Since(st))
	})
	cs.reg("CCH-006", func(t *T) {
		is := t.iss()
		is.onJWKS(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(200 * time.Millisecond)
			is.serveKeys(w)
		})
		s := t.on(is)
		n := t.flood(s, func(i int, q *Std) string { return q.good() })
		t.limits(1, 1)
		t.ok("all accepted", n == t.e.o.Flood, "%d of %d accepted", n, t.e.o.Flood)
	})
}

// cch3 registers CCH-007 to CCH-008.
func cch3(cs catalogue) {
	cs.reg("CCH-007", func(t *T) {
		s := t.std()
		s.control()
		var all []*Issuer
		var mu sync.Mutex
		t.flood(s, func(i int, q *Std) string {
			o := t.e.issuer.newIssuer("unreg", pubJWK(&t.e.keys.B.PublicKey, "k1"))
			mu.Lock()
			all = append(all, o)
			mu.Unlock()
			return (&Std{t: t, is: o, sub: s.sub, aud: s.aud}).by(stdHdr, "RS256", t.e.keys.B)
		})
		var hits int64
		for _, o := range all {
			hits += o.nDisc.Load() + o.nJWKS.Load() + o.other.Load()
		}
		t.ok("fetch", hits == 0, "%d requests to issuers that nobody registered", hits)
	})
	cs.reg("CCH-008", func(t *T) {
		a := t.std()
		b := t.on(t.issKeys(pubJWK(&t.e.keys.C.PublicKey, "k1")))
		for i := 0; i < 3; i++ {
			t.accept("A", t.assert(a.good()))
			t.accept("B", t.assert(b.by(stdHdr, "RS256", t.e.keys.C)))
			t.reject("A by C", t.assert(a.by(stdHdr, "RS256", t.e.keys.C)), "IC", t.e.o.MaxFast)
			t.reject("B by A", t.assert(b.by(stdHdr, "RS256", t.e.keys.A)), "IC", t.e.o.MaxFast)
		}
	})
}

// cch4 registers CCH-010 to CCH-016.
func cch4(cs catalogue) {
	cs.reg("CCH-010", func(t *T) {
		s := t.std()
		s.control()
		s.is.down.Store(true)
		for i := 0; i < 5; i++ {
			r := t.assert(s.good())
			t.accept("issuer down, keys known", r)
			t.ok("time", r.Took < t.e.o.MaxFast, "%v", r.Took)
		}
		r := t.assert(s.by(`{"alg":"RS256","kid":"zz"}`, "RS256", t.e.keys.B))
		t.ok("unknown kid", r.Token() == "" && r.Err == nil, "status %d", r.Status)
		t.accept("still", t.assert(s.good()))
		t.limits(12, 12)
	})
	cs.reg("CCH-016", func(t *T) {
		s := t.std()
		s.control()
		stopFlood := t.background(s, func(i int, q *Std) string {
			return q.by(fmt.Sprintf(`{"alg":"RS256","kid":"u-%d-%s"}`, i, nonce()), "RS256", t.e.keys.B)
		})
		time.Sleep(200 * time.Millisecond)
		s.is.setKeys(pubJWK(&t.e.keys.A.PublicKey, "k1"), pubJWK(&t.e.keys.C.PublicKey, "k2"))
		st := time.Now()
		r := t.assert(s.by(`{"alg":"RS256","kid":"k2"}`, "RS256", t.e.keys.C))
		for r.Status != 200 && time.Since(st) < t.e.o.MinRefresh+2*time.Second {
			time.Sleep(250 * time.Millisecond)
			r = t.assert(s.by(`{"alg":"RS256","kid":"k2"}`, "RS256", t.e.keys.C))
		}
		stopFlood()
		t.accept("rotated key under flood", r)
		t.note("accepted after %v", time.Since(st).Round(time.Millisecond))
		t.limits(30, 30)
	})
}
