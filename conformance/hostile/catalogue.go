package main

import (
	"context"
	"fmt"
	"time"
)

// Case is one entry of the catalogue that this driver can run.
type Case struct {
	ID    string
	Fn    func(*T)
	Needs []string // "slow", "second-app", "ssrf-guard", ...
}

// catalogue is the driver's part of cases.yaml, by id.
type catalogue map[string]Case

// allCases builds the catalogue.
func allCases() catalogue {
	cs := catalogue{}
	for _, register := range []func(catalogue){
		alg1, alg2, alg3, alg4, alg5,
		cch1, cch2, cch3, cch4,
		dsc1, dsc2, dsc3, dsc4, dsc5, dsc6,
		frm1, frm2, frm3, frm4, frm5, frm6, frm7, frm8, frm9, frm10, frm11, frm12,
		hdr1, hdr2, hdr3, hdr4,
		jsn1, jsn2, jsn3, jsn4,
		jwk1, jwk2, jwk3, jwk4, jwk5, jwk6, jwk7, jwk8,
		jws1, jws2, jws3,
		lek1, lek2,
		mat1, mat2, mat3, mat4,
		net1, net2, net3,
		out1, out2, out3,
		rep,
		tim1, tim2,
		xch1, xch2,
	} {
		register(cs)
	}
	return cs
}

// reg registers a case.
func (cs catalogue) reg(id string, fn func(*T), needs ...string) {
	if _, dup := cs[id]; dup {
		panic("duplicate case " + id)
	}
	cs[id] = Case{ID: id, Fn: fn, Needs: needs}
}

// regA registers a case that sends altered assertions to a well-behaved
// issuer: every one must be refused, after a control was accepted.
func (cs catalogue) regA(id, cl string, gen func(*Std) []string, needs ...string) {
	cs.reg(id, func(t *T) {
		s := t.std()
		s.control()
		for i, a := range gen(s) {
			t.reject(fmt.Sprintf("#%d", i), t.assert(a), cl, t.e.o.MaxFast)
		}
	}, needs...)
}

// regP is regA for cases that a policy may decide either way.
func (cs catalogue) regP(id string, gen func(*Std) []string, needs ...string) {
	cs.reg(id, func(t *T) {
		s := t.std()
		s.control()
		for i, a := range gen(s) {
			r := t.assert(a)
			t.policy(fmt.Sprintf("#%d", i), r)
			t.ok("time", r.Took <= t.e.o.MaxFast, "answered after %v", r.Took)
		}
	}, needs...)
}

// regO is regA for assertions that must be accepted.
func (cs catalogue) regO(id string, gen func(*Std) []string, needs ...string) {
	cs.reg(id, func(t *T) {
		s := t.std()
		for i, a := range gen(s) {
			t.accept(fmt.Sprintf("#%d", i), t.assert(a))
		}
	}, needs...)
}

// regD registers a case with a hostile discovery document or key set: the
// otherwise good token must be refused in bounded time.
func (cs catalogue) regD(id, cl string, setup func(*T, *Issuer), needs ...string) {
	cs.reg(id, func(t *T) {
		is := t.iss()
		setup(t, is)
		s := t.on(is)
		t.reject("token", t.assert(s.good()), cl, t.e.o.MaxFetch)
		t.ok("read", is.written.Load() <= 24<<20, "server read %d bytes", is.written.Load())
	}, needs...)
}

// regK is regD for several variants, each on an issuer of its own; the token
// comes from the variant.
type variant struct {
	name  string
	setup func(*Issuer)
	token func(*Std) string // nil: the good token
}

func (cs catalogue) regK(id, cl string, gen func(*T) []variant, needs ...string) {
	cs.reg(id, func(t *T) {
		for _, v := range gen(t) {
			is := t.iss()
			v.setup(is)
			s := t.on(is)
			a := ""
			if v.token != nil {
				a = v.token(s)
			} else {
				a = s.good()
			}
			switch r := t.assert(a); cl {
			case "POL":
				t.policy(v.name, r)
				t.ok(v.name, r.Took <= t.e.o.MaxFetch, "answered after %v", r.Took)
			case "OK":
				t.accept(v.name, r)
			default:
				t.reject(v.name, r, cl, t.e.o.MaxFetch)
			}
			_ = t.e.reg.DeleteFIC(context.Background(), t.app, s.fic)
		}
	}, needs...)
}

// regR registers issuers that must be refused at creation, or else at the
// exchange without any request.
func (cs catalogue) regR(id string, loop bool, urls func(*T) []string, needs ...string) {
	cs.reg(id, func(t *T) {
		for _, u := range urls(t) {
			sub := "x:" + nonce()
			if _, refused := t.tryFIC(u, sub, t.e.o.Audience); refused {
				continue
			}
			if !loop && !t.e.o.NonLoopback {
				t.fail("creation", "credential with issuer %q was accepted (not tried further: not a loopback address)", u)
				continue
			}
			now := time.Now().Unix()
			c := map[string]any{"iss": u, "sub": sub, "aud": t.e.o.Audience, "iat": now, "exp": now + 600}
			r := t.assert(tok(stdHdr, js(c), "RS256", t.e.keys.B))
			t.ok("exchange "+u, r.Err == nil && r.Token() == "" && r.Status < 600 && r.Status >= 400, "status %d", r.Status)
			t.ok("exchange "+u, r.Took <= t.e.o.MaxFetch, "answered after %v", r.Took)
			t.clean("exchange "+u, r)
		}
	}, needs...)
}

// regX is regA (or a policy case) with an issuer that has a key of each kind:
// k1 and k2 RSA, e1 P-256, e3 P-384, e5 P-521, d1 Ed25519.
func (cs catalogue) regX(id, cl string, gen func(*Std) []string, needs ...string) {
	cs.reg(id, func(t *T) {
		k := t.e.keys
		s := t.on(t.issKeys(
			pubJWK(&k.A.PublicKey, "k1"), pubJWK(&k.C.PublicKey, "k2").with("alg", nil),
			pubJWK(&k.EC.PublicKey, "e1"), pubJWK(&k.EC384.PublicKey, "e3"), pubJWK(&k.EC521.PublicKey, "e5"),
			pubJWK(k.Ed.Public(), "d1")))
		s.control()
		for i, a := range gen(s) {
			label := fmt.Sprintf("#%d", i)
			if cl == "POL" {
				t.policy(label, t.assert(a))
			} else {
				t.reject(label, t.assert(a), cl, t.e.o.MaxFast)
			}
		}
	}, needs...)
}

// regM sends tokens whose iss only resembles the registered issuer: refused,
// and nothing fetched for them.
func (cs catalogue) regM(id string, gen func(*Std) []string, needs ...string) {
	cs.reg(id, func(t *T) {
		s := t.std()
		s.control()
		t.limits(1, 1)
		for _, iss := range gen(s) {
			t.reject(iss, t.assert(s.with("iss", iss)), "IC", t.e.o.MaxFast)
		}
		t.ok("other paths", s.is.other.Load() == 0, "%d requests to other paths", s.is.other.Load())
	}, needs...)
}

// regS registers one subject and sends others that must not match it.
func (cs catalogue) regS(id, subject string, others []string, needs ...string) {
	cs.reg(id, func(t *T) {
		s := &Std{t: t, is: t.iss(), sub: subject, aud: t.e.o.Audience}
		if _, refused := t.tryFIC(s.is.URL, s.sub, s.aud); refused {
			return
		}
		s.control()
		for _, o := range others {
			t.reject(o[:min(24, len(o))], t.assert(s.with("sub", o)), "IC", t.e.o.MaxFast)
		}
	}, needs...)
}
