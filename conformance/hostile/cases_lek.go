package main

import "strings"

// lek1 registers LEK-001 to LEK-003.
func lek1(cs catalogue) {
	cs.reg("LEK-001", func(t *T) {
		s := t.std()
		s.control()
		for _, a := range []string{s.by(stdHdr, "RS256", t.e.keys.B), s.with("sub", "other", "secret_claim", "s3cr3t-v4lue"), s.with("exp", 1, "secret_claim", "s3cr3t-v4lue"), s.with("aud", "x", "secret_claim", "s3cr3t-v4lue")} {
			r := t.assert(a)
			t.reject("", r, "IC", t.e.o.MaxFast)
			p := strings.Split(a, ".")
			for _, x := range []string{p[2], p[1], a, "s3cr3t-v4lue"} {
				t.ok("echo", !strings.Contains(string(r.Body), x), "answer repeats part of the assertion")
			}
		}
	})
	cs.reg("LEK-003", func(t *T) {
		s := t.std()
		s.control()
		seed := s.good()
		for i := 0; i < 400; i++ {
			b := []byte(seed)
			for k := 0; k <= i%4; k++ {
				b[(i*7919+k*104729)%len(b)] = byte(33 + (i*31+k*17)%90)
			}
			r := t.assert(string(b))
			t.ok("fuzz", r.Err == nil && r.Status < 500, "status %d for mutation %d", r.Status, i)
			if r.Status == 200 && string(b) != seed {
				t.fail("fuzz", "mutation %d accepted", i)
			}
		}
	})
}

// lek2 registers LEK-007 to LEK-012.
func lek2(cs catalogue) {
	cs.reg("LEK-007", func(t *T) {
		s := t.std()
		s.control()
		for _, id := range []string{`"><script>alert(1)</script>`, strings.Repeat("a", 10000), "not-a-guid", "{{7*7}}", "%0d%0aX-Injected: 1"} {
			r := t.req(formType, t.form(s.by(stdHdr, "RS256", t.e.keys.B)).Encode())
			r.Header.Set("client-request-id", id)
			r.Header.Set("return-client-request-id", "true")
			a := t.send(r)
			t.reject("", a, "IC", t.e.o.MaxFast)
			t.ok("reflect", a.Header.Get("client-request-id") != id && !strings.Contains(string(a.Body), id), "correlation id reflected")
		}
	})
	cs.reg("LEK-011", func(t *T) {
		s := t.std()
		s.control()
		for _, v := range []string{"<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>"} {
			f := t.form(s.with("sub", v))
			a := t.post(f)
			t.reject("sub", a, "IC", t.e.o.MaxFast)
			t.ok("nosniff", a.Header.Get("X-Content-Type-Options") == "nosniff", "X-Content-Type-Options %q", a.Header.Get("X-Content-Type-Options"))
			f.Set("scope", v)
			a = t.post(f)
			t.ok("type", strings.HasPrefix(a.Header.Get("Content-Type"), "application/json"), "Content-Type %q", a.Header.Get("Content-Type"))
		}
	})
	cs.reg("LEK-012", func(t *T) {
		s := t.std()
		s.control()
		r := t.assert(tok(stdHdr, `{"iss":`+js(s.is.URL)+`,"sub":"nobody","aud":"x","exp":4102444800}`, "RS256", t.e.keys.B))
		t.reject("", r, "IC", t.e.o.MaxFast)
		t.ok("hint", !strings.Contains(string(r.Body), s.sub), "answer names the registered subject to a caller without a valid signature")
	})
}
