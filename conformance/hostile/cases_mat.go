package main

import (
	"context"
	"strings"
)

// mat1 registers MAT-001 to MAT-018.
func mat1(cs catalogue) {
	cs.regM("MAT-001", func(s *Std) []string { return []string{s.is.URL + "/", s.is.URL + "//"} })
	cs.regM("MAT-002", func(s *Std) []string {
		return []string{strings.Replace(s.is.URL, "/i/", "/I/", 1), "https://" + strings.ToUpper(strings.TrimPrefix(s.is.URL, "https://"))}
	})
	cs.regM("MAT-005", func(s *Std) []string {
		h := strings.TrimPrefix(s.is.URL, "https://")
		return []string{"https://user:pass@" + h, "https://user@" + h, s.is.URL + "@127.0.0.2:9", "https://@" + h}
	})
	cs.regM("MAT-006", func(s *Std) []string {
		return []string{strings.Replace(s.is.URL, "/i/", "/i/../i/", 1), strings.Replace(s.is.URL, "/i/", "/./i/", 1), s.is.URL + "/x/..", s.is.URL + "/."}
	})
	cs.regM("MAT-007", func(s *Std) []string {
		return []string{strings.Replace(s.is.URL, "/i/", "/%69/", 1), strings.Replace(s.is.URL, "/i/", "%2fi/", 1)}
	})
	cs.regM("MAT-009", func(s *Std) []string {
		return []string{strings.Replace(s.is.URL, "/i/", "/\u0456/", 1), strings.Replace(s.is.URL, "127.0.0.1", "127.0.0.\u0661", 1) + "\u200b", strings.Replace(s.is.URL, ".", "\u3002", 1)}
	})
	cs.regM("MAT-010", func(s *Std) []string {
		return []string{s.is.URL + "?", s.is.URL + "?x=1", s.is.URL + "#", s.is.URL + "#f"}
	})
	cs.regM("MAT-011", func(s *Std) []string {
		return []string{" " + s.is.URL, s.is.URL + " ", s.is.URL + "\n", s.is.URL + "\t", "\ufeff" + s.is.URL, s.is.URL + "\u00a0"}
	})
	cs.regM("MAT-013", func(s *Std) []string {
		return []string{s.is.URL + "2", s.is.URL + "/evil", s.is.URL[:len(s.is.URL)-1], strings.Replace(s.is.URL, "/i/", ".evil.example/i/", 1), "https://evil.example/" + s.is.URL, strings.TrimPrefix(s.is.URL, "https://"), "*", "https://*"}
	})
	cs.regA("MAT-014", "IC", func(s *Std) []string {
		return []string{s.with("sub", strings.ToUpper(s.sub)), s.with("sub", strings.Replace(s.sub, "acme", "Acme", 1)), s.with("sub", strings.Replace(s.sub, "acme", "ac\u212ae", 1))}
	})
	cs.regA("MAT-015", "IC", func(s *Std) []string {
		return []string{s.with("sub", s.sub+" "), s.with("sub", " "+s.sub), s.with("sub", s.sub+"\n"), s.with("sub", s.sub+"\u00a0"), s.with("sub", s.sub+"\u200b"), s.with("sub", s.sub+"\t")}
	})
	cs.regA("MAT-018", "IC", func(s *Std) []string {
		return []string{s.with("sub", "*"), s.with("sub", "%"), s.with("sub", "repo:acme/*"), s.with("sub", ".*"), s.with("sub", "_")}
	})
}

// mat2 registers MAT-019 to MAT-034.
func mat2(cs catalogue) {
	cs.regA("MAT-019", "IC", func(s *Std) []string {
		return []string{s.with("sub", s.sub[:len(s.sub)-1]), s.with("sub", s.sub+"x"), s.with("sub", s.sub[1:]), s.with("sub", "x"+s.sub), s.with("sub", s.sub+":"+s.sub)}
	})
	cs.regS("MAT-020", "repo:o/r:*", []string{"repo:o/r:x", "repo:o/r:", "repo:o/r:ref:refs/heads/main"})
	cs.regA("MAT-024", "IC", func(s *Std) []string {
		return []string{s.with("aud", strings.ToLower(s.aud)), s.with("aud", strings.ToUpper(s.aud)), s.with("aud", []string{strings.ToLower(s.aud)})}
	})
	cs.regA("MAT-026", "IC", func(s *Std) []string {
		return []string{s.with("aud", ""), s.with("aud", []string{}), s.with("aud", []string{""}), s.with("aud", " ")}
	})
	cs.regA("MAT-027", "IC", func(s *Std) []string {
		return []string{s.with("aud", s.t.tokenURL()), s.with("aud", s.t.e.o.Base), s.with("aud", s.t.e.o.Base+"/"+s.t.e.o.Tenant+"/v2.0"), s.with("aud", s.t.app.ClientID), s.with("aud", s.is.URL)}
	})
	cs.regP("MAT-029", func(s *Std) []string {
		return []string{s.with("aud", []string{"https://other.example", s.aud}), s.with("aud", []string{s.aud, "https://other.example"})}
	})
	cs.regP("MAT-030", func(s *Std) []string { return []string{s.with("aud", []string{s.aud, s.aud})} })
	cs.regA("MAT-032", "IC", func(s *Std) []string {
		return []string{s.with("aud", s.aud+"/"), s.with("aud", s.aud+" "), s.with("aud", " "+s.aud), s.with("aud", s.aud+"\n")}
	})
	cs.reg("MAT-034", func(t *T) {
		s := t.std()
		s.control()
		b, err := t.e.reg.CreateApp(context.Background(), "hostile-b-"+nonce())
		if err != nil {
			t.skip("no second application: " + err.Error())
		}
		defer func() { _ = t.e.reg.DeleteApp(context.Background(), b) }()
		if _, refused := t.tryFICOn(b, s.is.URL, "other:"+nonce(), s.aud); refused {
			t.skip("second credential refused")
		}
		v := t.form(s.good())
		v.Set("client_id", b.ClientID)
		t.reject("", t.post(v), "IC", t.e.o.MaxFast)
	}, "second-app")
}

// mat3 registers MAT-035 to MAT-043.
func mat3(cs catalogue) {
	cs.reg("MAT-035", func(t *T) {
		a := t.std()
		b := t.on(t.issKeys(pubJWK(&t.e.keys.C.PublicKey, "kc")))
		b.sub = "b:" + nonce()
		t.trust(b.is.URL, b.sub, b.aud)
		a.control()
		t.accept("control B", t.assert(b.by(`{"alg":"RS256","kid":"kc"}`, "RS256", t.e.keys.C)))
		t.reject("iss A, sub B", t.assert(a.with("sub", b.sub)), "IC", t.e.o.MaxFast)
	})
	cs.reg("MAT-036", func(t *T) {
		a := t.std()
		a.control()
		other := "api://other-" + nonce()
		sub2 := "second:" + nonce()
		if _, refused := t.tryFIC(a.is.URL, sub2, other); refused {
			t.skip("server allows one audience only")
		}
		t.accept("control 2", t.assert(a.with("sub", sub2, "aud", other)))
		t.reject("sub 1, aud 2", t.assert(a.with("aud", other)), "IC", t.e.o.MaxFast)
		t.reject("sub 2, aud 1", t.assert(a.with("sub", sub2)), "IC", t.e.o.MaxFast)
	})
	cs.regS("MAT-038", "repo:o/r:ref:refs/heads/main", []string{"repo:o/r:environment:x:ref:refs/heads/main", "repo:o/r:ref:refs/heads/main:environment:x", "repo:o/r:pull_request"})
	cs.regS("MAT-041", "spiffe://td.example/ns/a/sa/b", []string{"spiffe://TD.example/ns/a/sa/b", "spiffe://td.example/ns/a/sa/b/", "spiffe://td.example//ns/a/sa/b", "spiffe://td.example/ns/a/sa/%62", "SPIFFE://td.example/ns/a/sa/b", "spiffe://td.example/ns/a/../a/sa/b"})
	cs.regA("MAT-042", "IC", func(s *Std) []string {
		return []string{s.with("sub", "other", "email", s.sub, "email_verified", true), s.with("sub", "other", "upn", s.sub, "unique_name", s.sub, "preferred_username", s.sub)}
	})
	cs.regA("MAT-043", "IC", func(s *Std) []string {
		return []string{s.with("sub", "other", "azp", s.t.app.ClientID, "client_id", s.t.app.ClientID, "appid", s.t.app.ClientID), s.with("sub", s.t.app.ClientID)}
	})
}

// mat4 registers MAT-047 to MAT-049.
func mat4(cs catalogue) {
	cs.reg("MAT-047", func(t *T) {
		s := t.std()
		c := payload(s.control().Token())
		r := t.assert(s.with("tid", "22222222-2222-4222-8222-222222222222", "oid", "33333333-3333-4333-8333-333333333333", "tenant", "x"))
		t.accept("", r)
		p := payload(r.Token())
		for _, k := range []string{"tid", "oid", "iss", "sub", "appid", "azp"} {
			t.ok(k, js(p[k]) == js(c[k]), "%s %v became %v", k, c[k], p[k])
		}
	})
	cs.reg("MAT-049", func(t *T) {
		s := t.std()
		for i := 0; i < 10; i++ {
			t.reject("", t.assert(s.with("sub", "other")), "IC", t.e.o.MaxFast)
		}
		t.note("fetches for a subject that is not registered: %d+%d", s.is.nDisc.Load(), s.is.nJWKS.Load())
		t.limits(1, 2)
	})
}
