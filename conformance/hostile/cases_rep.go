package main

// rep registers REP-001 to REP-010.
func rep(cs catalogue) {
	cs.reg("REP-001", func(t *T) {
		s := t.std()
		g := s.good()
		for i := 0; i < 3; i++ {
			t.accept("reuse", t.assert(g))
		}
	})
	cs.regA("REP-008", "IC", func(s *Std) []string {
		return []string{s.with("aud", "sts.amazonaws.com"), s.with("aud", "https://vault.example"), s.with("aud", []string{"https://github.com/acme"})}
	})
	cs.reg("REP-010", func(t *T) {
		a := t.std()
		b := t.on(t.issKeys(pubJWK(&t.e.keys.C.PublicKey, "k1")))
		t.accept("A", t.assert(a.with("jti", "1")))
		c := b.claims()
		c["jti"] = "1"
		t.accept("B", t.assert(tok(stdHdr, js(c), "RS256", t.e.keys.C)))
	})
}
