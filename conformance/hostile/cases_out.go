package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// out1 registers OUT-001.
func out1(cs catalogue) {
	cs.reg("OUT-001", func(t *T) {
		s := t.std()
		c := payload(s.control().Token())
		r := t.assert(s.with("roles", []string{"EVIL-1"}, "scp", "EVIL-2", "tid", "EVIL-3", "oid", "EVIL-4", "appid", "EVIL-5", "azp", "EVIL-6", "wids", []string{"EVIL-7"}, "groups", []string{"EVIL-8"}, "xms_mirid", "EVIL-9", "acr", "EVIL-10", "idtyp", "EVIL-11", "ver", "EVIL-12", "azpacr", "EVIL-13", "xms_tcdt", "EVIL-14", "act", map[string]string{"sub": "EVIL-15"}, "cnf", map[string]string{"jkt": "EVIL-16"}))
		t.accept("", r)
		p := payload(r.Token())
		t.ok("copied", !strings.Contains(js(p), "EVIL-"), "claims of the assertion in the token: %.300s", js(p))
		for _, k := range []string{"roles", "tid", "oid", "appid", "azp", "sub", "iss", "aud", "idtyp", "ver"} {
			t.ok(k, js(p[k]) == js(c[k]), "%s changed from %v to %v", k, c[k], p[k])
		}
	})
}

// out2 registers OUT-003.
func out2(cs catalogue) {
	cs.reg("OUT-003", func(t *T) {
		s := t.std()
		tokn := s.control().Token()
		if strings.Count(tokn, ".") != 2 {
			t.skip("access token is opaque")
		}
		set, err := t.serverJWKS()
		if err != nil {
			t.fail("jwks", "%v", err)
			return
		}
		o, err := jose.ParseSigned(tokn, []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA})
		if err != nil {
			t.fail("parse", "%v", err)
			return
		}
		k := set.Key(o.Signatures[0].Header.KeyID)
		t.ok("kid", len(k) == 1, "%d keys for the token's kid", len(k))
		if len(k) == 1 {
			_, err = o.Verify(k[0])
			t.ok("verify", err == nil, "%v", err)
		}
		for _, x := range set.Keys {
			t.ok("public", x.IsPublic(), "private key in the JWKS")
			t.ok("strength", keyOK(x.Key), "weak key %s", x.KeyID)
		}
	})
}

// out3 registers OUT-005.
func out3(cs catalogue) {
	cs.reg("OUT-005", func(t *T) {
		s := t.std()
		r := s.control()
		l := lifetime(r.Token())
		ei, _ := r.JSON["expires_in"].(float64)
		t.ok("expires_in", ei > 0 && ei <= 86400, "expires_in %v", r.JSON["expires_in"])
		if l > 0 {
			t.ok("agree", int64(ei) <= l+1 && l-int64(ei) < 3600, "expires_in %v, exp-iat %d", ei, l)
			p := payload(r.Token())
			t.ok("nbf", num(p["nbf"]) <= time.Now().Unix()+1, "nbf in the future")
		}
		t.ok("type", strings.EqualFold(fmt.Sprint(r.JSON["token_type"]), "Bearer"), "token_type %v", r.JSON["token_type"])
		t.ok("refresh", r.JSON["refresh_token"] == nil, "refresh token for client credentials")
	})
}
