package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"strings"
)

// alg1 registers ALG-001 to ALG-009.
func alg1(cs catalogue) {
	cs.regA("ALG-001", "IC", func(s *Std) []string {
		return []string{tokSig(`{"alg":"none","typ":"JWT"}`, js(s.claims()), nil), tokSig(`{"alg":"none","typ":"JWT","kid":"k1"}`, js(s.claims()), nil)}
	})
	cs.regA("ALG-002", "IC", func(s *Std) []string {
		var o []string
		for _, a := range []string{"None", "NONE", "nOnE", "none ", "nonE\u0000"} {
			o = append(o, tokSig(`{"alg":`+js(a)+`,"kid":"k1"}`, js(s.claims()), nil))
		}
		return o
	})
	cs.regA("ALG-003", "IC", func(s *Std) []string { return []string{s.hdr(`{"alg":"none","kid":"k1"}`)} })
	cs.regA("ALG-004", "IC", func(s *Std) []string {
		return []string{s.hdr(`{"typ":"JWT","kid":"k1"}`), s.hdr(`{"ALG":"RS256","kid":"k1"}`)}
	})
	cs.regA("ALG-005", "IC", func(s *Std) []string {
		var o []string
		for _, a := range []string{"null", "0", "true", `["RS256"]`, `{"a":1}`} {
			o = append(o, s.hdr(`{"alg":`+a+`,"kid":"k1"}`))
		}
		return o
	})
	cs.regA("ALG-007", "IC", func(s *Std) []string {
		var o []string
		for _, a := range []string{"rs256", "RS256 ", " RS256", "RS256\u0000", "RS256\n", "Rs256", "RS-256", "\uff32\uff33256"} {
			o = append(o, s.hdr(`{"alg":`+js(a)+`,"kid":"k1"}`))
		}
		return o
	})
	cs.regA("ALG-008", "IC", func(s *Std) []string {
		k := pkixPEM(s.t.e.keys.A)
		return []string{s.by(`{"alg":"HS256","kid":"k1"}`, "HS256", k), s.by(`{"alg":"HS256","kid":"k1"}`, "HS256", bytes.TrimRight(k, "\n")), s.by(`{"alg":"HS256"}`, "HS256", k)}
	})
	cs.regA("ALG-009", "IC", func(s *Std) []string {
		k := pkcs1PEM(s.t.e.keys.A)
		return []string{s.by(`{"alg":"HS256","kid":"k1"}`, "HS256", k), s.by(`{"alg":"HS256","kid":"k1"}`, "HS256", bytes.TrimRight(k, "\n"))}
	})
}

// alg2 registers ALG-010 to ALG-018.
func alg2(cs catalogue) {
	cs.regA("ALG-010", "IC", func(s *Std) []string {
		d, _ := x509.MarshalPKIXPublicKey(&s.t.e.keys.A.PublicKey)
		return []string{s.by(`{"alg":"HS256","kid":"k1"}`, "HS256", d), s.by(`{"alg":"HS256","kid":"k1"}`, "HS256", x509.MarshalPKCS1PublicKey(&s.t.e.keys.A.PublicKey))}
	})
	cs.regA("ALG-011", "IC", func(s *Std) []string {
		n := s.t.e.keys.A.N.Bytes()
		return []string{s.by(`{"alg":"HS256","kid":"k1"}`, "HS256", []byte(js(pubJWK(&s.t.e.keys.A.PublicKey, "k1")))), s.by(`{"alg":"HS256","kid":"k1"}`, "HS256", []byte(b64(n))), s.by(`{"alg":"HS256","kid":"k1"}`, "HS256", n), s.by(`{"alg":"HS256","kid":"k1"}`, "HS256", []byte(s.is.keySet()))}
	})
	cs.regA("ALG-013", "IC", func(s *Std) []string {
		k := pkixPEM(s.t.e.keys.A)
		return []string{s.by(`{"alg":"HS384","kid":"k1"}`, "HS384", k), s.by(`{"alg":"HS512","kid":"k1"}`, "HS512", k)}
	})
	cs.regX("ALG-014", "IC", func(s *Std) []string {
		return []string{tokSig(`{"alg":"ES256","kid":"e1"}`, js(s.claims()), make([]byte, 64)), tokSig(`{"alg":"ES384","kid":"e3"}`, js(s.claims()), make([]byte, 96)), tokSig(`{"alg":"ES512","kid":"e5"}`, js(s.claims()), make([]byte, 132))}
	})
	cs.regX("ALG-015", "IC", func(s *Std) []string {
		n := s.t.e.keys.EC.Curve.Params().N
		b := append(n.FillBytes(make([]byte, 32)), n.FillBytes(make([]byte, 32))...)
		one := make([]byte, 64)
		one[31], one[63] = 1, 1
		return []string{tokSig(`{"alg":"ES256","kid":"e1"}`, js(s.claims()), b), tokSig(`{"alg":"ES256","kid":"e1"}`, js(s.claims()), one), tokSig(`{"alg":"ES256","kid":"e1"}`, js(s.claims()), bytes.Repeat([]byte{0xff}, 64))}
	})
	cs.regX("ALG-016", "IC", func(s *Std) []string {
		h, c := `{"alg":"ES256","kid":"e1"}`, js(s.claims())
		d, _ := ecdsa.SignASN1(rand.Reader, s.t.e.keys.EC, digest(crypto.SHA256, b64s(h)+"."+b64s(c)))
		return []string{tokSig(h, c, d)}
	})
	cs.regX("ALG-018", "POL", func(s *Std) []string {
		h, c := `{"alg":"ES256","kid":"e1"}`, js(s.claims())
		g := sign("ES256", s.t.e.keys.EC, b64s(h)+"."+b64s(c))
		n := s.t.e.keys.EC.Curve.Params().N
		sv := new(big.Int).Sub(n, new(big.Int).SetBytes(g[32:]))
		return []string{tokSig(h, c, g), tokSig(h, c, append(append([]byte{}, g[:32]...), sv.FillBytes(make([]byte, 32))...))}
	})
}

// alg3 registers ALG-024 to ALG-026.
func alg3(cs catalogue) {
	cs.regA("ALG-024", "IC", func(s *Std) []string {
		c := js(s.claims())
		return []string{tokSig(stdHdr, c, make([]byte, 256)), tokSig(stdHdr, c, nil), tokSig(stdHdr, c, make([]byte, 255))}
	})
	cs.regA("ALG-025", "IC", func(s *Std) []string {
		n := s.t.e.keys.A.N
		c := js(s.claims())
		g := new(big.Int).SetBytes(sign("RS256", s.t.e.keys.A, b64s(stdHdr)+"."+b64s(c)))
		f := func(x *big.Int) string {
			return tokSig(stdHdr, c, x.FillBytes(make([]byte, (max(2048, x.BitLen())+7)/8)))
		}
		return []string{f(big.NewInt(1)), f(new(big.Int).Sub(n, big.NewInt(1))), f(n), f(new(big.Int).Add(g, n))}
	})
	cs.regK("ALG-026", "IC", func(t *T) []variant {
		n := t.e.keys.FakeModulus[0]
		set := func(is *Issuer) { is.setKeys(rsaJWK(n, bigE(3), "k3")) }
		return []variant{{"cube root", set, func(s *Std) string {
			h, c := `{"alg":"RS256","kid":"k3"}`, js(s.claims())
			d := digest(crypto.SHA256, b64s(h)+"."+b64s(c))
			em := append([]byte{0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}, append(append([]byte{}, sha256Info...), d...)...)
			em = append(em, make([]byte, 256-len(em))...)
			return tokSig(h, c, cubeRoot(new(big.Int).SetBytes(em)).FillBytes(make([]byte, 256)))
		}}}
	})
}

// alg4 registers ALG-027 to ALG-032.
func alg4(cs catalogue) {
	cs.regA("ALG-027", "IC", func(s *Std) []string {
		c := js(s.claims())
		d := digest(crypto.SHA256, b64s(stdHdr)+"."+b64s(c))
		mk := func(info []byte, bt byte, tail int) string {
			body := append(append([]byte{}, info...), d...)
			em := make([]byte, 256)
			em[1] = bt
			for i := 2; i < 256-len(body)-1-tail; i++ {
				if bt == 1 {
					em[i] = 0xff
				}
			}
			copy(em[256-len(body)-tail:], body)
			return tokSig(stdHdr, c, rawRSA(s.t.e.keys.A, em))
		}
		noNull := append([]byte{}, sha256Info...)
		noNull = append(noNull[:13], noNull[15:]...)
		noNull[1] -= 2
		noNull[3] -= 2
		sha1Info := []byte{0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14}
		return []string{mk(noNull, 1, 0), mk(sha256Info, 0, 0), mk(sha256Info, 2, 0), mk(sha256Info, 1, 16), mk(nil, 1, 0), mk(sha1Info, 1, 0)}
	})
	cs.regA("ALG-028", "IC", func(s *Std) []string {
		var o []string
		for _, a := range []string{"ES256K", "EdDSA448", "RS3072", "X", "A128KW", "RS256/PSS", "SHA256withRSA", "1.2.840.113549.1.1.11"} {
			o = append(o, s.hdr(`{"alg":`+js(a)+`,"kid":"k1"}`))
		}
		return o
	})
	cs.regA("ALG-029", "IC", func(s *Std) []string {
		return []string{s.hdr(`{"alg":"RSA-OAEP","kid":"k1"}`), s.hdr(`{"alg":"dir","enc":"A128GCM","kid":"k1"}`), s.hdr(`{"alg":"RS256","enc":"A128GCM","kid":"k1","zip":"DEF"}`)[:60]}
	})
	cs.regX("ALG-032", "IC", func(s *Std) []string {
		p := strings.Split(s.good(), ".")
		return []string{b64s(`{"alg":"RS256","typ":"JWT","kid":"k2"}`) + "." + p[1] + "." + p[2]}
	})
}

// alg5 registers ALG-034 to ALG-036.
func alg5(cs catalogue) {
	cs.regA("ALG-034", "IC", func(s *Std) []string { return []string{s.by(stdHdr, "RS256", s.t.e.keys.B)} })
	cs.regK("ALG-036", "IC", func(t *T) []variant {
		id := make([]byte, 32)
		id[0] = 1
		return []variant{{"identity", func(is *Issuer) {
			is.setKeys(JWK{"kty": "OKP", "crv": "Ed25519", "kid": "d0", "use": "sig", "x": b64(id)})
		}, func(s *Std) string {
			return tokSig(`{"alg":"EdDSA","kid":"d0"}`, js(s.claims()), append(append([]byte{}, id...), make([]byte, 32)...))
		}}}
	})
}
