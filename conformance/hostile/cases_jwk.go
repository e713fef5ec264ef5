package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// jwk1 registers JWK-001 to JWK-006.
func jwk1(cs catalogue) {
	cs.regK("JWK-001", "IC", func(t *T) []variant {
		var v []variant
		for _, x := range []string{"{}", `{"keys":null}`, `{"keys":{}}`, `{"keys":"x"}`, `{"keys":[null]}`, `{"keys":[1,"x",[]]}`, `{"keys":[{}]}`} {
			v = append(v, variant{x, func(is *Issuer) { is.onJWKS(text(200, "application/json", x)) }, nil})
		}
		return v
	})
	cs.regD("JWK-002", "IC", func(t *T, is *Issuer) { is.setKeys() })
	cs.reg("JWK-003", func(t *T) {
		var ks []JWK
		for i := 0; i < 150; i++ {
			ks = append(ks, rsaJWK(t.e.keys.FakeModulus[i], bigE(65537), fmt.Sprint("f", i)))
		}
		ks[0], ks[99], ks[100] = pubJWK(&t.e.keys.A.PublicKey, "k1"), pubJWK(&t.e.keys.C.PublicKey, "k100"), pubJWK(&t.e.keys.C.PublicKey, "k101")
		s := t.on(t.issKeys(ks...))
		t.accept("key 1", t.assert(s.good()))
		t.accept("key 100", t.assert(s.by(`{"alg":"RS256","kid":"k100"}`, "RS256", t.e.keys.C)))
		t.policy("key 101", t.assert(s.by(`{"alg":"RS256","kid":"k101"}`, "RS256", t.e.keys.C)))
	})
	cs.regK("JWK-005", "IC", func(t *T) []variant {
		set := func(is *Issuer) {
			is.setKeys(pubJWK(&t.e.keys.A.PublicKey, "k1"), JWK{"kty": "oct", "kid": "o1", "k": b64s("0123456789abcdef0123456789abcdef"), "alg": "HS256", "use": "sig"})
		}
		return []variant{{"oct", set, func(s *Std) string {
			return s.by(`{"alg":"HS256","kid":"o1"}`, "HS256", []byte("0123456789abcdef0123456789abcdef"))
		}}, {"empty oct", func(is *Issuer) { is.setKeys(JWK{"kty": "oct", "kid": "o1", "k": ""}) }, func(s *Std) string { return s.by(`{"alg":"HS256","kid":"o1"}`, "HS256", []byte{}) }}}
	})
	cs.regK("JWK-006", "IC", func(t *T) []variant {
		return []variant{{"", func(is *Issuer) {
			is.setKeys(JWK{"kty": "oct", "kid": "k1", "k": b64s("0123456789abcdef0123456789abcdef")}, pubJWK(&t.e.keys.A.PublicKey, "k1"))
		}, func(s *Std) string {
			return s.by(`{"alg":"HS256","kid":"k1"}`, "HS256", []byte("0123456789abcdef0123456789abcdef"))
		}}}
	})
}

// jwk2 registers JWK-007 to JWK-012.
func jwk2(cs catalogue) {
	cs.regK("JWK-007", "POL", func(t *T) []variant {
		return []variant{{"", func(is *Issuer) {
			k := t.e.keys.A
			is.setKeys(pubJWK(&k.PublicKey, "k1").with("d", b64(k.D.Bytes())).with("p", b64(k.Primes[0].Bytes())).with("q", b64(k.Primes[1].Bytes())))
		}, nil}}
	})
	cs.regK("JWK-008", "IC", func(t *T) []variant {
		return []variant{{"enc", func(is *Issuer) { is.setKeys(pubJWK(&t.e.keys.A.PublicKey, "k1").with("use", "enc")) }, nil}, {"enc without alg", func(is *Issuer) { is.setKeys(pubJWK(&t.e.keys.A.PublicKey, "k1").with("use", "enc").with("alg", nil)) }, nil}, {"unknown", func(is *Issuer) { is.setKeys(pubJWK(&t.e.keys.A.PublicKey, "k1").with("use", "tls")) }, nil}}
	})
	cs.regK("JWK-009", "IC", func(t *T) []variant {
		var v []variant
		for _, o := range [][]string{{"encrypt"}, {"sign"}, {"wrapKey", "unwrapKey"}} {
			v = append(v, variant{o[0], func(is *Issuer) { is.setKeys(pubJWK(&t.e.keys.A.PublicKey, "k1").with("use", nil).with("key_ops", o)) }, nil})
		}
		return v
	})
	cs.regK("JWK-011", "POL", func(t *T) []variant {
		set := func(is *Issuer) { is.setKeys(pubJWK(&t.e.keys.C.PublicKey, "k1"), pubJWK(&t.e.keys.A.PublicKey, "k1")) }
		return []variant{{"second", set, nil}, {"first", set, func(s *Std) string { return s.by(stdHdr, "RS256", t.e.keys.C) }}}
	})
	cs.reg("JWK-012", func(t *T) {
		var ks []JWK
		n := oddNumber(4096)
		for i := 0; i < 100; i++ {
			ks = append(ks, rsaJWK(new(big.Int).Add(n, big.NewInt(int64(2*i))), bigE(65537), "k1"))
		}
		s := t.on(t.issKeys(ks...))
		t.assert(s.good())
		for i := 0; i < 3; i++ {
			t.reject("", t.assert(tokSig(stdHdr, js(s.claims()), bytes.Repeat([]byte{1}, 512))), "IC", t.e.o.MaxFast)
		}
	})
}

// jwk3 registers JWK-013 to JWK-020.
func jwk3(cs catalogue) {
	cs.regK("JWK-013", "IC", func(t *T) []variant {
		return []variant{{"two keys", func(is *Issuer) {
			is.setKeys(pubJWK(&t.e.keys.A.PublicKey, "k1").with("kid", nil), pubJWK(&t.e.keys.C.PublicKey, "k2").with("kid", nil))
		}, func(s *Std) string { return s.by(`{"alg":"RS256","kid":"zz"}`, "RS256", t.e.keys.B) }}}
	})
	cs.regK("JWK-014", "IC", func(t *T) []variant {
		return []variant{{"number", func(is *Issuer) { is.setKeys(pubJWK(&t.e.keys.A.PublicKey, "k1").with("kid", 1)) }, func(s *Std) string { return s.hdr(`{"alg":"RS256","kid":"1"}`) }}, {"object", func(is *Issuer) { is.setKeys(pubJWK(&t.e.keys.A.PublicKey, "k1").with("kid", map[string]string{})) }, nil}}
	})
	cs.regK("JWK-015", "IC", func(t *T) []variant {
		return []variant{{"1024", func(is *Issuer) { is.setKeys(pubJWK(&t.e.keys.Small.PublicKey, "k1")) }, func(s *Std) string { return s.by(stdHdr, "RS256", t.e.keys.Small) }}, {"512", func(is *Issuer) { is.setKeys(rsaJWK(oddNumber(512), bigE(65537), "k1")) }, func(s *Std) string { return tokSig(stdHdr, js(s.claims()), bytes.Repeat([]byte{1}, 64)) }}, {"8", func(is *Issuer) { is.setKeys(rsaJWK(big.NewInt(251), bigE(65537), "k1")) }, func(s *Std) string { return tokSig(stdHdr, js(s.claims()), []byte{1}) }}}
	})
	cs.regK("JWK-016", "IC", func(t *T) []variant {
		var v []variant
		for _, n := range []int{16384, 65536, 262144} {
			v = append(v, variant{strconv.Itoa(n), func(is *Issuer) { is.setKeys(rsaJWK(oddNumber(n), bigE(65537), "k1")) }, func(s *Std) string { return tokSig(stdHdr, js(s.claims()), bytes.Repeat([]byte{1}, min(n/8, 6000))) }})
		}
		return v
	})
	cs.regK("JWK-019", "IC", func(t *T) []variant {
		var v []variant
		for _, e := range []any{"AA", "Ag", "", "AAAA", 65537, nil, []string{"AQAB"}, "AQA"} {
			v = append(v, variant{fmt.Sprint(e), func(is *Issuer) { is.setKeys(pubJWK(&t.e.keys.A.PublicKey, "k1").with("e", e)) }, nil})
		}
		return v
	})
	cs.regK("JWK-020", "IC", func(t *T) []variant {
		var v []variant
		for _, n := range []any{b64([]byte{0}), b64([]byte{1}), "", b64(new(big.Int).Lsh(big.NewInt(1), 2047).Bytes()), 1, nil} {
			v = append(v, variant{"n", func(is *Issuer) { is.setKeys(pubJWK(&t.e.keys.A.PublicKey, "k1").with("n", n)) }, nil})
		}
		return v
	})
}

// jwk4 registers JWK-023 to JWK-030.
func jwk4(cs catalogue) {
	cs.regK("JWK-023", "IC", func(t *T) []variant {
		j := pubJWK(&t.e.keys.EC.PublicKey, "k1")
		z, ff := b64(make([]byte, 32)), b64(bytes.Repeat([]byte{0xff}, 32))
		f := func(s *Std) string {
			return tokSig(`{"alg":"ES256","kid":"k1"}`, js(s.claims()), bytes.Repeat([]byte{1}, 64))
		}
		return []variant{{"zero", func(is *Issuer) { is.setKeys(j.with("x", z).with("y", z)) }, f}, {"range", func(is *Issuer) { is.setKeys(j.with("x", ff).with("y", ff)) }, f}, {"missing", func(is *Issuer) { is.setKeys(j.with("y", nil)) }, f}}
	})
	cs.regK("JWK-025", "POL", func(t *T) []variant {
		j := pubJWK(&t.e.keys.EC.PublicKey, "k1")
		x, _ := base64.RawURLEncoding.DecodeString(j["x"].(string))
		f := func(s *Std) string { return s.by(`{"alg":"ES256","kid":"k1"}`, "ES256", t.e.keys.EC) }
		return []variant{{"short", func(is *Issuer) { is.setKeys(j.with("x", b64(x[1:]))) }, f}, {"long", func(is *Issuer) { is.setKeys(j.with("x", b64(append([]byte{0}, x...)))) }, f}, {"empty", func(is *Issuer) { is.setKeys(j.with("x", "")) }, f}, {"huge", func(is *Issuer) { is.setKeys(j.with("x", b64(make([]byte, 100000)))) }, f}}
	})
	cs.regK("JWK-027", "IC", func(t *T) []variant {
		pub := t.e.keys.Ed.Public().(ed25519.PublicKey)
		var v []variant
		for _, n := range []int{0, 1, 31, 33, 64, 10000} {
			b := make([]byte, n)
			copy(b, pub)
			v = append(v, variant{strconv.Itoa(n), func(is *Issuer) { is.setKeys(pubJWK(pub, "k1").with("x", b64(b))) }, func(s *Std) string { return s.by(`{"alg":"EdDSA","kid":"k1"}`, "EdDSA", t.e.keys.Ed) }})
		}
		return v
	})
	cs.regK("JWK-029", "OK", func(t *T) []variant {
		good := pubJWK(&t.e.keys.A.PublicKey, "k1")
		var v []variant
		for _, k := range []string{"AKP", "FOO", "rsa", ""} {
			v = append(v, variant{k, func(is *Issuer) { is.setKeys(JWK{"kty": k, "kid": "b", "pub": "AAAA", "alg": "ML-DSA-65"}, good) }, nil})
		}
		return v
	})
	cs.regK("JWK-030", "IC", func(t *T) []variant {
		return []variant{{"none", func(is *Issuer) { is.setKeys(pubJWK(&t.e.keys.A.PublicKey, "k1").with("alg", "none")) }, func(s *Std) string { return tokSig(`{"alg":"none","kid":"k1"}`, js(s.claims()), nil) }}, {"HS256", func(is *Issuer) { is.setKeys(pubJWK(&t.e.keys.A.PublicKey, "k1").with("alg", "HS256")) }, func(s *Std) string { return s.by(`{"alg":"HS256","kid":"k1"}`, "HS256", t.e.keys.A.N.Bytes()) }}}
	})
}

// jwk5 registers JWK-032 to JWK-035.
func jwk5(cs catalogue) {
	cs.reg("JWK-032", func(t *T) {
		c := t.canary()
		is := t.issKeys(pubJWK(&t.e.keys.A.PublicKey, "k1").with("x5u", "https://"+c.Addr+"/c.pem"))
		t.accept("", t.assert(t.on(is).good()))
	})
	cs.regK("JWK-033", "IC", func(t *T) []variant {
		a, b := js(pubJWK(&t.e.keys.A.PublicKey, "k1")), js(pubJWK(&t.e.keys.B.PublicKey, "k1"))
		f := func(s *Std) string { return s.by(stdHdr, "RS256", t.e.keys.B) }
		return []variant{{"evil last", func(is *Issuer) { is.onJWKS(text(200, "application/json", `{"keys":[`+a+`],"keys":[`+b+`]}`)) }, f}, {"evil first", func(is *Issuer) { is.onJWKS(text(200, "application/json", `{"keys":[`+b+`],"keys":[`+a+`]}`)) }, f}}
	})
	cs.regK("JWK-035", "POL", func(t *T) []variant {
		return []variant{{"html", func(is *Issuer) {
			is.onJWKS(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				_, _ = io.WriteString(w, is.keySet())
			})
		}, nil}, {"jwk-set", func(is *Issuer) {
			is.onJWKS(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/jwk-set+json")
				_, _ = io.WriteString(w, is.keySet())
			})
		}, nil}}
	})
}

// jwk6 registers JWK-037 to JWK-038.
func jwk6(cs catalogue) {
	cs.reg("JWK-037", func(t *T) {
		c := t.canary()
		addr, stopFn, err := t.e.issuer.extra(t.goodTLS())
		if err != nil {
			t.skip(err.Error())
		}
		defer stopFn()
		evil := t.e.issuer.newIssuerAt(addr, "evil", pubJWK(&t.e.keys.B.PublicKey, "k1"))
		for _, to := range []string{evil.URL + "/keys", "https://" + c.Addr + "/keys", "http://" + c.Addr + "/keys"} {
			is := t.iss()
			is.onJWKS(redirect(to))
			t.reject("redirect", t.assert(t.on(is).by(stdHdr, "RS256", t.e.keys.B)), "IC", t.e.o.MaxFetch)
		}
		t.ok("evil", evil.nJWKS.Load() == 0, "keys fetched from another origin")
		is := t.iss()
		t.limits(2, 6)
		is.onJWKS(func(w http.ResponseWriter, r *http.Request) { redirect(is.URL+"/keys")(w, r) })
		t.reject("loop", t.assert(t.on(is).good()), "IC", t.e.o.MaxFetch)
	}, "ssrf-guard")
	cs.reg("JWK-038", func(t *T) {
		s := t.std()
		s.control()
		for _, b := range []string{`{"keys":[{"kty":"RSA"`, "", `{"keys":[]}`} {
			s.is.onJWKS(text(200, "application/json", b))
			t.reject("new kid", t.assert(s.by(`{"alg":"RS256","kid":"`+nonce()+`"}`, "RS256", t.e.keys.B)), "UN", t.e.o.MaxFetch)
			t.accept("old key after a broken refresh", t.assert(s.good()))
		}
		t.limits(2, 5)
	})
}

// jwk7 registers JWK-039 to JWK-042.
func jwk7(cs catalogue) {
	cs.reg("JWK-039", func(t *T) {
		s := t.std()
		s.control()
		s.is.setKeys(pubJWK(&t.e.keys.C.PublicKey, "k2"))
		h := `{"alg":"RS256","kid":"k2"}`
		end := time.Now().Add(t.e.o.MinRefresh + 2*time.Second)
		r := t.assert(s.by(h, "RS256", t.e.keys.C))
		for r.Status != 200 && time.Now().Before(end) {
			time.Sleep(500 * time.Millisecond)
			r = t.assert(s.by(h, "RS256", t.e.keys.C))
		}
		t.accept("new key", r)
		t.reject("removed key", t.assert(s.good()), "IC", t.e.o.MaxFast)
		t.limits(3, 6)
	})
	cs.reg("JWK-041", func(t *T) {
		s := t.std()
		s.control()
		s.is.setKeys(pubJWK(&t.e.keys.C.PublicKey, "k1"))
		r := t.assert(s.by(stdHdr, "RS256", t.e.keys.C))
		t.policy("new key, same kid", r)
		if r.Status == 200 {
			t.reject("old key after the change was seen", t.assert(s.good()), "IC", t.e.o.MaxFast)
		}
		t.limits(3, 5)
	})
	cs.regK("JWK-042", "IC", func(t *T) []variant {
		return []variant{{"", func(is *Issuer) {
			set := is.keySet()
			is.onJWKS(text(200, "application/jose", tok(stdHdr, set, "RS256", t.e.keys.A)))
		}, nil}}
	})
}

// jwk8 registers JWK-043.
func jwk8(cs catalogue) {
	cs.regK("JWK-043", "IC", func(t *T) []variant {
		var v []variant
		for _, k := range []string{"a\r\nX-Injected: 1", "<script>alert(1)</script>", strings.Repeat("k", 100000), "\u202e\u2028"} {
			v = append(v, variant{k[:1], func(is *Issuer) { is.setKeys(pubJWK(&t.e.keys.A.PublicKey, k)) }, func(s *Std) string { return s.by(`{"alg":"RS256","kid":"zz"}`, "RS256", t.e.keys.B) }})
		}
		return v
	})
}
