package main

import (
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// jws1 registers JWS-001 to JWS-021.
func jws1(cs catalogue) {
	cs.regA("JWS-001", "IC", func(s *Std) []string { return []string{"..", "a..", "..a", ".a."} })
	cs.regA("JWS-002", "IC", func(s *Std) []string { return []string{b64s(stdHdr), "x"} })
	cs.regA("JWS-004", "IC", func(s *Std) []string { return []string{s.good() + ".x", s.good() + "." + b64s("x")} })
	cs.regA("JWS-005", "IC", func(s *Std) []string {
		return []string{b64s(`{"alg":"RSA-OAEP","enc":"A256GCM","kid":"k1"}`) + ".AAAA.AAAA.AAAA.AAAA", strings.Repeat("AAAA.", 4) + "AAAA"}
	})
	cs.regA("JWS-006", "IC", func(s *Std) []string {
		return []string{strings.Repeat(".", 12000), "Bearer" + strings.Repeat(".", 12000), s.good() + strings.Repeat(".", 12000)}
	})
	cs.regA("JWS-008", "IC", func(s *Std) []string {
		p := strings.Split(s.good(), ".")
		return []string{p[0] + "." + p[1] + "." + p[2] + "==", p[0] + "=." + p[1] + "." + p[2], p[0] + "." + p[1] + "=." + p[2]}
	})
	cs.regA("JWS-009", "IC", func(s *Std) []string {
		p := strings.Split(s.good(), ".")
		return []string{p[0] + "." + p[1] + "." + p[2][:9] + "\n" + p[2][9:], p[0] + "." + p[1][:9] + "\r\n" + p[1][9:] + "." + p[2], p[0][:9] + " " + p[0][9:] + "." + p[1] + "." + p[2], p[0] + "\n." + p[1] + "." + p[2]}
	})
	cs.regA("JWS-011", "IC", func(s *Std) []string { return []string{s.hdr("hello"), s.hdr(""), s.hdr("{"), s.hdr(`{"alg":"RS256"`)} })
	cs.regA("JWS-012", "IC", func(s *Std) []string {
		return []string{s.hdr("[]"), s.hdr(`"RS256"`), s.hdr("1"), s.hdr("null"), s.hdr("true"), s.hdr(`[{"alg":"RS256","kid":"k1"}]`)}
	})
	cs.regA("JWS-013", "IC", func(s *Std) []string {
		return []string{s.hdr(`{"alg":"none","alg":"RS256","kid":"k1"}`), s.hdr(`{"alg":"RS256","alg":"none","kid":"k1"}`), s.hdr(`{"alg":"RS256","alg":"RS256","kid":"k1"}`)}
	})
	cs.regA("JWS-014", "IC", func(s *Std) []string {
		return []string{s.hdr(`{"alg":"RS256","kid":"k1","kid":"zz"}`), s.hdr(`{"alg":"RS256","kid":"zz","kid":"k1"}`)}
	})
	cs.regA("JWS-017", "IC", func(s *Std) []string { return []string{s.hdr(utf16le(stdHdr))} })
	cs.regA("JWS-018", "IC", func(s *Std) []string {
		return []string{s.hdr(`{"alg":"RS256","kid":"k1","x":"` + strings.Repeat("a", 12<<10) + `"}`)}
	})
	cs.regA("JWS-020", "IC", func(s *Std) []string { return []string{s.raw("hello"), s.raw("{"), s.raw(js(s.claims())[:40])} })
	cs.regA("JWS-021", "IC", func(s *Std) []string {
		return []string{s.raw("[]"), s.raw("null"), s.raw(`"x"`), s.raw("1"), s.raw("true"), s.raw("[" + js(s.claims()) + "]")}
	})
}

// jws2 registers JWS-022 to JWS-029.
func jws2(cs catalogue) {
	cs.regA("JWS-022", "IC", func(s *Std) []string {
		return []string{s.raw(js(s.claims()) + `{"sub":"victim"}`), s.raw(js(s.claims()) + "x"), s.raw(js(s.claims()) + "\x00")}
	})
	cs.regA("JWS-023", "IC", func(s *Std) []string { return []string{s.raw("")} })
	cs.regA("JWS-024", "IC", func(s *Std) []string {
		p := strings.Split(s.good(), ".")
		return []string{js(map[string]any{"payload": p[1], "signatures": []any{map[string]any{"protected": p[0], "signature": p[2]}}})}
	})
	cs.regA("JWS-026", "IC", func(s *Std) []string {
		c := b64s(js(s.claims()))
		h := b64s(`{"alg":"RS256"}`)
		return []string{js(map[string]any{"payload": c, "protected": h, "header": map[string]any{"kid": "k1"}, "signature": b64(sign("RS256", s.t.e.keys.A, h+"."+c))})}
	})
	cs.regA("JWS-027", "IC", func(s *Std) []string {
		h := `{"alg":"RS256","kid":"k1","b64":false,"crit":["b64"]}`
		c := js(s.claims())
		return []string{b64s(h) + ".." + b64(sign("RS256", s.t.e.keys.A, b64s(h)+"."+c))}
	})
	cs.regA("JWS-028", "IC", func(s *Std) []string {
		inner := s.by(stdHdr, "RS256", s.t.e.keys.B)
		return []string{tok(`{"alg":"RS256","kid":"k1","cty":"JWT"}`, inner, "RS256", s.t.e.keys.A), tok(`{"alg":"RS256","kid":"k1","cty":"JWT"}`, s.good(), "RS256", s.t.e.keys.A)}
	})
	cs.reg("JWS-029", func(t *T) {
		s := t.std()
		s.control()
		k, kid := t.serverRSA()
		if k == nil {
			t.skip("server publishes no RSA key")
		}
		t.reject("", t.assert(jwe(k, kid, jose.RSA_OAEP_256, s.good(), false)), "IC", t.e.o.MaxFast)
	})
}

// jws3 registers JWS-030 to JWS-042.
func jws3(cs catalogue) {
	cs.reg("JWS-030", func(t *T) {
		s := t.std()
		s.control()
		k, kid := t.serverRSA()
		if k == nil {
			k, kid = &t.e.keys.A.PublicKey, "k1"
		}
		t.reject("rsa", t.assert(jwe(k, kid, jose.RSA_OAEP_256, strings.Repeat(" ", 3<<20)+s.good(), true)), "IC", t.e.o.MaxFast)
		t.reject("dir", t.assert(b64s(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`)+"..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA"), "IC", t.e.o.MaxFast)
	})
	cs.regA("JWS-031", "IC", func(s *Std) []string {
		h := func(c string) string {
			return b64s(`{"alg":"PBES2-HS256+A128KW","enc":"A128CBC-HS256","p2s":"AAAAAAAAAAA","p2c":`+c+`}`) + "." + strings.Repeat("A", 54) + ".AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA"
		}
		return []string{h("2147483647"), h("9223372036854775807"), h("-1")}
	})
	cs.regA("JWS-033", "IC", func(s *Std) []string {
		return []string{s.good() + "~", s.good() + "~" + b64s(`["salt","sub","victim"]`) + "~", s.good() + "~" + s.good()}
	})
	cs.regA("JWS-035", "IC", func(s *Std) []string {
		g := s.good()
		return []string{g[:len(g)-1], g[:len(g)-2], g[:len(g)-8], g[:len(g)-40], g[1:]}
	})
	cs.regA("JWS-037", "IC", func(s *Std) []string {
		return []string{"Bearer " + s.good(), "bearer " + s.good(), "JWT " + s.good(), `"` + s.good() + `"`}
	})
	cs.regA("JWS-042", "IC", func(s *Std) []string {
		return []string{`{"protected":null,"payload":null,"signatures":[]}`, `{"payload":"","signatures":null}`, `{"payload":"e30","signatures":[null]}`, `{"payload":"e30","signatures":[{}]}`, "null", "{}"}
	})
}
