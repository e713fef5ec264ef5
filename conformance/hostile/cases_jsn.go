package main

import (
	"fmt"
	"strings"
	"time"
)

// jsn1 registers JSN-001 to JSN-010.
func jsn1(cs catalogue) {
	cs.regA("JSN-001", "IC", func(s *Std) []string {
		u := js(s.is.URL)
		return []string{s.dup(`"iss":`+u, `"iss":"https://evil.example"`, "iss"), s.dup(`"iss":"https://evil.example"`, `"iss":`+u, "iss"), s.dup(`"iss":`+u, `"iss":`+u, "iss")}
	})
	cs.regA("JSN-003", "IC", func(s *Std) []string { return []string{s.dup(`"sub":"other"`, `"sub":`+js(s.sub), "sub")} })
	cs.regA("JSN-004", "IC", func(s *Std) []string {
		return []string{s.dup(`"aud":`+js(s.aud), `"aud":"other"`, "aud"), s.dup(`"aud":"other"`, `"aud":`+js(s.aud), "aud")}
	})
	cs.regA("JSN-005", "IC", func(s *Std) []string {
		f := fmt.Sprint(time.Now().Unix() + 600)
		return []string{s.dup(`"exp":1`, `"exp":`+f, "exp"), s.dup(`"exp":`+f, `"exp":1`, "exp")}
	})
	cs.regA("JSN-006", "IC", func(s *Std) []string {
		f := fmt.Sprint(time.Now().Unix() + 600)
		return []string{s.dup(`"Sub":`+js(s.sub), "", "sub"), s.dup(`"AUD":`+js(s.aud), "", "aud"), s.dup(`"Iss":`+js(s.is.URL), "", "iss"), s.dup(`"EXP":`+f, "", "exp")}
	})
	cs.regA("JSN-007", "IC", func(s *Std) []string {
		f := fmt.Sprint(time.Now().Unix() + 600)
		return []string{s.dup(`"sub":"other"`, `"SUB":`+js(s.sub), "sub"), s.dup(`"aud":"other"`, `"Aud":`+js(s.aud), "aud"), s.dup(`"exp":1`, `"Exp":`+f, "exp")}
	})
	cs.regA("JSN-008", "IC", func(s *Std) []string {
		return []string{s.dup("\"\u017fub\":"+js(s.sub), "", "sub"), s.dup(`"sub":"other"`, "\"\u017fub\":"+js(s.sub), "sub"), s.dup("\"i\u017f\u017f\":"+js(s.is.URL), "", "iss"), s.dup(`"sub":"other"`, `"\u017fub":`+js(s.sub), "sub")}
	})
	cs.regA("JSN-010", "IC", func(s *Std) []string {
		var o []string
		for _, v := range []string{"[" + js(s.sub) + "]", "123", "{}", "null", "true", `{"sub":` + js(s.sub) + "}"} {
			o = append(o, s.dup(`"sub":`+v, "", "sub"))
		}
		return o
	})
}

// jsn2 registers JSN-011 to JSN-018.
func jsn2(cs catalogue) {
	cs.regA("JSN-011", "IC", func(s *Std) []string {
		var o []string
		a := js(s.aud)
		for _, v := range []string{"1", "{}", "null", "true", "[[" + a + "]]", "[1," + a + "]", "[null," + a + "]", `{"0":` + a + "}", js(s.aud + "," + "x"), js("x " + s.aud)} {
			o = append(o, s.dup(`"aud":`+v, "", "aud"))
		}
		return o
	})
	cs.regA("JSN-013", "IC", func(s *Std) []string {
		return []string{s.dup(`"exp":1e400`, "", "exp"), s.dup(`"exp":1E+999999`, "", "exp"), s.dup(`"exp":-1e400`, "", "exp"), s.dup(`"exp":-99999999999999999999`, "", "exp")}
	})
	cs.regO("JSN-014", func(s *Std) []string {
		return []string{s.dup(`"\u0073ub":`+js(s.sub), "", "sub"), s.raw(" \n\t{ " + s.members() + " }\r\n ")}
	})
	cs.reg("JSN-017", func(t *T) {
		is := t.iss()
		s := &Std{t: t, is: is, sub: "repo:acme/\ufffdx", aud: t.e.o.Audience}
		if _, refused := t.tryFIC(is.URL, s.sub, s.aud); refused {
			return
		}
		for _, e := range []string{`\ud800`, `\udc00`, `\udc00\ud800`} {
			t.reject(e, t.assert(s.raw(`{"sub":"repo:acme/`+e+`x",`+s.members("sub")+`}`)), "IC", t.e.o.MaxFast)
		}
	})
	cs.regA("JSN-018", "IC", func(s *Std) []string {
		m := s.members()
		return []string{s.raw("{" + m + ",}"), s.raw("{/*x*/" + m + "}"), s.raw("{" + m + "}//x"), s.raw("{'x':1," + m + "}"), s.raw("{x:1," + m + "}"), s.raw(`{"x":NaN,` + m + "}"), s.raw(`{"x":Infinity,` + m + "}"), s.raw("{" + m), s.raw(`{"x":01,` + m + "}"), s.raw(`{"x":"\x41",` + m + "}"), s.raw(`{"x":True,` + m + "}")}
	})
}

// jsn3 registers JSN-019 to JSN-022.
func jsn3(cs catalogue) {
	cs.reg("JSN-019", func(t *T) {
		s := t.std()
		s.control()
		for _, p := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
			n := 5000
			if p[0] != "[" {
				n = 1500
			}
			mid := strings.Repeat(p[0], n) + "1" + strings.Repeat(p[1], n)
			r := t.assert(s.dup(`"x":`+mid, ""))
			t.policy("deep", r)
			t.ok("time", r.Took < t.e.o.MaxFast, "%v", r.Took)
		}
	})
	cs.regP("JSN-020", func(s *Std) []string {
		var b strings.Builder
		for i := 0; i < 900; i++ {
			fmt.Fprintf(&b, `"c%d":%d,`, i, i)
		}
		return []string{s.raw("{" + b.String() + s.members() + "}")}
	})
	cs.regA("JSN-021", "IC", func(s *Std) []string {
		d := strings.Repeat("1", 8000)
		return []string{s.dup(`"exp":-`+d, "", "exp"), s.dup(`"exp":`+d+`e`+d[:20], "", "exp"), s.dup(`"nbf":1e`+d[:12], "", "nbf")}
	})
	cs.regA("JSN-022", "IC", func(s *Std) []string {
		return []string{s.dup(`"__proto__":{"sub":`+js(s.sub)+`}`, "", "sub"), s.dup(`"constructor":{"prototype":{"sub":`+js(s.sub)+`}}`, `"sub":"other"`, "sub")}
	})
}

// jsn4 registers JSN-029 to JSN-030.
func jsn4(cs catalogue) {
	cs.reg("JSN-029", func(t *T) {
		is := t.iss()
		s := &Std{t: t, is: is, sub: "repo:acme/\U0001F600", aud: t.e.o.Audience}
		if _, refused := t.tryFIC(is.URL, s.sub, s.aud); refused {
			t.skip("server allows no astral subjects")
		}
		t.accept("raw", t.assert(s.good()))
		t.accept("escaped", t.assert(s.raw(`{"sub":"repo:acme/\ud83d\ude00",`+s.members("sub")+`}`)))
		t.reject("half", t.assert(s.raw(`{"sub":"repo:acme/\ud83d",`+s.members("sub")+`}`)), "IC", t.e.o.MaxFast)
	})
	cs.regA("JSN-030", "IC", func(s *Std) []string {
		return []string{s.raw(`{"x":"a` + "\x01" + `",` + s.members() + "}"), s.raw(`{"x":"a` + "\n" + `",` + s.members() + "}"), s.raw(`{"x":"a` + "\x00" + `",` + s.members() + "}")}
	})
}
