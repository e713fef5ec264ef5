package main

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"time"
)

// hdr1 registers HDR-001 to HDR-006.
func hdr1(cs catalogue) {
	cs.regP("HDR-001", func(s *Std) []string { return []string{s.hdr(`{"alg":"RS256","typ":"JWT"}`)} })
	cs.reg("HDR-002", func(t *T) {
		var ks []JWK
		for i := 0; i < 100; i++ {
			ks = append(ks, rsaJWK(t.e.keys.FakeModulus[i], bigE(65537), fmt.Sprint("f", i)))
		}
		ks[99] = pubJWK(&t.e.keys.A.PublicKey, "k1")
		s := t.on(t.issKeys(ks...))
		s.control()
		r := t.assert(s.hdr(`{"alg":"RS256","typ":"JWT"}`))
		t.policy("good", r)
		r = t.assert(s.by(`{"alg":"RS256","typ":"JWT"}`, "RS256", t.e.keys.B))
		t.reject("bad", r, "IC", t.e.o.MaxFast)
	})
	cs.regA("HDR-003", "IC", func(s *Std) []string {
		var o []string
		for i := 0; i < 20; i++ {
			o = append(o, s.by(`{"alg":"RS256","kid":"`+nonce()+`"}`, "RS256", s.t.e.keys.B))
		}
		return o
	})
	cs.regA("HDR-004", "IC", func(s *Std) []string {
		var o []string
		for _, k := range []string{"1", "null", "[]", "{}", "true", `["k1"]`} {
			o = append(o, s.by(`{"alg":"RS256","kid":`+k+`}`, "RS256", s.t.e.keys.B))
		}
		return o
	})
	cs.regA("HDR-005", "IC", func(s *Std) []string {
		return []string{s.by(`{"alg":"HS256","kid":"../../../../../../dev/null"}`, "HS256", []byte{}), s.by(`{"alg":"HS256","kid":"/proc/sys/kernel/ostype"}`, "HS256", []byte("Linux\n")), s.by(`{"alg":"RS256","kid":"../../k1"}`, "RS256", s.t.e.keys.B)}
	})
	cs.regA("HDR-006", "IC", func(s *Std) []string {
		return []string{s.by(`{"alg":"HS256","kid":"x' UNION SELECT 'key'--"}`, "HS256", []byte("key")), s.by(`{"alg":"RS256","kid":"' OR '1'='1"}`, "RS256", s.t.e.keys.B)}
	})
}

// hdr2 registers HDR-007 to HDR-017.
func hdr2(cs catalogue) {
	cs.reg("HDR-007", func(t *T) {
		c := t.canary()
		s := t.std()
		s.control()
		for _, k := range []string{"@" + c.Addr + "/k", "http://" + c.Addr + "/", "k1?x=http://" + c.Addr, "//" + c.Addr + "/k", "k1|curl " + c.Addr, "$(curl " + c.Addr + ")"} {
			t.reject(k, t.assert(s.by(`{"alg":"RS256","kid":`+js(k)+`}`, "RS256", t.e.keys.B)), "IC", t.e.o.MaxFast)
		}
	})
	cs.reg("HDR-011", func(t *T) {
		a := t.std()
		b := t.on(t.issKeys(pubJWK(&t.e.keys.C.PublicKey, "kb")))
		a.control()
		t.accept("control B", t.assert(b.by(`{"alg":"RS256","kid":"kb"}`, "RS256", t.e.keys.C)))
		t.reject("", t.assert(a.by(`{"alg":"RS256","kid":"kb"}`, "RS256", t.e.keys.C)), "IC", t.e.o.MaxFast)
	})
	cs.regA("HDR-013", "IC", func(s *Std) []string {
		j := js(pubJWK(&s.t.e.keys.B.PublicKey, "k1"))
		return []string{s.by(`{"alg":"RS256","kid":"k1","jwk":`+j+`}`, "RS256", s.t.e.keys.B), s.by(`{"alg":"RS256","jwk":`+j+`}`, "RS256", s.t.e.keys.B), s.by(`{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`, "HS256", []byte{0, 0, 0})}
	})
	cs.reg("HDR-014", func(t *T) {
		s := t.std()
		s.control()
		evil := t.e.issuer.newIssuer("evil", pubJWK(&t.e.keys.B.PublicKey, "k1"), pubJWK(&t.e.keys.B.PublicKey, "kx"))
		for _, k := range []string{"k1", "kx"} {
			t.reject(k, t.assert(s.by(`{"alg":"RS256","kid":"`+k+`","jku":"`+evil.URL+`/keys"}`, "RS256", t.e.keys.B)), "IC", t.e.o.MaxFast)
		}
		n := evil.nDisc.Load() + evil.nJWKS.Load() + evil.other.Load()
		t.ok("jku", n == 0, "%d requests to the jku", n)
	})
	cs.regA("HDR-017", "IC", func(s *Std) []string {
		c := selfSigned(s.t.e.keys.B)
		return []string{s.by(`{"alg":"RS256","kid":"k1","x5c":["`+base64.StdEncoding.EncodeToString(c)+`"]}`, "RS256", s.t.e.keys.B), s.by(`{"alg":"RS256","x5c":["`+base64.StdEncoding.EncodeToString(c)+`"]}`, "RS256", s.t.e.keys.B), s.by(`{"alg":"RS256","x5c":["!!"]}`, "RS256", s.t.e.keys.B), s.by(`{"alg":"RS256","x5c":"x"}`, "RS256", s.t.e.keys.B)}
	})
}

// hdr3 registers HDR-018 to HDR-029.
func hdr3(cs catalogue) {
	cs.reg("HDR-018", func(t *T) {
		s := t.std()
		s.control()
		h := `{"alg":"RS256","kid":"k1","x5t":"` + b64(digest(crypto.SHA1, "other")) + `"}`
		t.policy("right key", t.assert(s.hdr(h)))
		t.reject("wrong key", t.assert(s.by(h, "RS256", t.e.keys.B)), "IC", t.e.o.MaxFast)
	})
	cs.regA("HDR-021", "IC", func(s *Std) []string {
		h := `{"alg":"RS256","kid":"k1","b64":false,"crit":["b64"]}`
		c := js(s.claims())
		in := b64s(h) + "." + b64s(c)
		return []string{in + "." + b64(sign("RS256", s.t.e.keys.A, b64s(h)+"."+c)), in + "." + b64(sign("RS256", s.t.e.keys.A, in))}
	})
	cs.regP("HDR-022", func(s *Std) []string {
		return []string{s.hdr(`{"alg":"RS256","kid":"k1","b64":false}`), s.hdr(`{"alg":"RS256","kid":"k1","b64":true}`)}
	})
	cs.regP("HDR-023", func(s *Std) []string { return []string{s.hdr(`{"alg":"RS256","kid":"k1","zip":"DEF"}`)} })
	cs.regA("HDR-024", "IC", func(s *Std) []string {
		var o []string
		for _, x := range []string{"at+jwt", "dpop+jwt", "logout+jwt", "secevent+jwt", "entity-statement+jwt", "kb+jwt", "application/at+jwt", "JWE", "JOSE"} {
			o = append(o, s.hdr(`{"alg":"RS256","kid":"k1","typ":"`+x+`"}`))
		}
		return o
	})
	cs.regA("HDR-027", "IC", func(s *Std) []string {
		return []string{tok(`{"alg":"RS256","kid":"k1","iss":`+js(s.is.URL)+`,"sub":`+js(s.sub)+`,"aud":`+js(s.aud)+`}`, `{"iss":`+js(s.is.URL)+`,"sub":"other","aud":"other","exp":`+fmt.Sprint(time.Now().Unix()+600)+`}`, "RS256", s.t.e.keys.A)}
	})
	cs.regA("HDR-028", "IC", func(s *Std) []string {
		return []string{tok(`{"alg":"RS256","kid":"k1","sub":`+js(s.sub)+`}`, "{"+s.members("sub")+"}", "RS256", s.t.e.keys.A), tok(`{"alg":"RS256","kid":"k1","aud":`+js(s.aud)+`}`, "{"+s.members("aud")+"}", "RS256", s.t.e.keys.A)}
	})
	cs.regP("HDR-029", func(s *Std) []string { return []string{s.hdr(`{"alg":"RS256","kid":"k1","nonce":"abc"}`)} })
}

// hdr4 registers HDR-030 to HDR-031.
func hdr4(cs catalogue) {
	cs.reg("HDR-030", func(t *T) {
		c := t.canary()
		s := t.std()
		s.control()
		t.reject("", t.assert(s.by(`{"alg":"RS256","kid":"k1","jku":"http://`+c.Addr+`/latest/meta-data"}`, "RS256", t.e.keys.B)), "IC", t.e.o.MaxFast)
	})
	cs.regP("HDR-031", func(s *Std) []string {
		h := `{"alg":"RS256","kid":"k1"`
		for i := 0; i < 100; i++ {
			h += fmt.Sprintf(`,"x%d":%d`, i, i)
		}
		return []string{s.hdr(h + "}")}
	})
}
