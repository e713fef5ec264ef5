package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// dsc1 registers DSC-001 to DSC-014.
func dsc1(cs catalogue) {
	cs.regD("DSC-001", "IC", func(t *T, is *Issuer) { is.onDoc(func(d map[string]any) { d["issuer"] = "https://other.example" }) })
	cs.regD("DSC-002", "IC", func(t *T, is *Issuer) { is.onDoc(func(d map[string]any) { d["issuer"] = is.URL + "/" }) })
	cs.regK("DSC-004", "IC", func(t *T) []variant {
		return []variant{{"array", func(is *Issuer) { is.onDoc(func(d map[string]any) { d["issuer"] = []string{is.URL} }) }, nil}, {"number", func(is *Issuer) { is.onDoc(func(d map[string]any) { d["issuer"] = 1 }) }, nil}}
	})
	cs.regK("DSC-005", "IC", func(t *T) []variant {
		f := func(a, b string) func(*Issuer) {
			return func(is *Issuer) {
				x := map[string]string{"own": is.URL, "other": "https://other.example"}
				is.onDisc(text(200, "application/json", `{"issuer":"`+x[a]+`","jwks_uri":"`+is.URL+`/keys","issuer":"`+x[b]+`"}`))
			}
		}
		return []variant{{"good first", f("own", "other"), nil}, {"good last", f("other", "own"), nil}}
	})
	cs.regD("DSC-007", "IC", func(t *T, is *Issuer) { is.onDoc(func(d map[string]any) { delete(d, "jwks_uri") }) })
	cs.regD("DSC-009", "IC", func(t *T, is *Issuer) { is.onDoc(func(d map[string]any) { d["jwks_uri"] = "file:///etc/passwd" }) })
	cs.regK("DSC-010", "IC", func(t *T) []variant {
		var v []variant
		set := `{"keys":[` + js(pubJWK(&t.e.keys.A.PublicKey, "k1")) + `]}`
		for _, u := range []string{"data:application/json," + url.QueryEscape(set), "data:application/json;base64," + base64.StdEncoding.EncodeToString([]byte(set)), "gopher://127.0.0.2/_x", "ftp://127.0.0.2/keys", "unix:///var/run/docker.sock", "javascript:1", ""} {
			v = append(v, variant{u[:min(len(u), 20)], func(is *Issuer) { is.onDoc(func(d map[string]any) { d["jwks_uri"] = u }) }, nil})
		}
		return v
	})
	cs.regK("DSC-014", "IC", func(t *T) []variant {
		var v []variant
		for _, u := range []string{"/keys", "keys", "//127.0.0.2/keys", "?keys", "."} {
			v = append(v, variant{u, func(is *Issuer) { is.onDoc(func(d map[string]any) { d["jwks_uri"] = u }) }, nil})
		}
		return v
	})
}

// dsc2 registers DSC-016 to DSC-022.
func dsc2(cs catalogue) {
	cs.regK("DSC-016", "IC", func(t *T) []variant {
		var v []variant
		for n, x := range map[string]any{"number": 1, "null": nil, "array": []string{"x"}, "object": map[string]string{}} {
			v = append(v, variant{n, func(is *Issuer) { is.onDoc(func(d map[string]any) { d["jwks_uri"] = x }) }, nil})
		}
		return v
	})
	cs.regK("DSC-019", "POL", func(t *T) []variant {
		return []variant{{"html", func(is *Issuer) {
			is.onDisc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				_, _ = w.Write([]byte(js(is.discovery())))
			})
		}, nil}, {"octets", func(is *Issuer) {
			is.onDisc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/octet-stream")
				_, _ = w.Write([]byte(js(is.discovery())))
			})
		}, nil}}
	})
	cs.regD("DSC-020", "IC", func(t *T, is *Issuer) {
		is.onDisc(func(w http.ResponseWriter, _ *http.Request) {
			d := js(is.discovery())
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, d[:len(d)-1]+`,"pad":"`)
			c := strings.Repeat("a", 1<<20)
			for i := 0; i < 50; i++ {
				if _, err := io.WriteString(w, c); err != nil {
					return
				}
			}
			_, _ = io.WriteString(w, `"}`)
		})
	})
	cs.regD("DSC-021", "IC", func(t *T, is *Issuer) { is.onDisc(endless) })
	cs.regD("DSC-022", "IC", func(t *T, is *Issuer) { is.onDisc(gzipBomb) })
}

// dsc3 registers DSC-023 to DSC-027.
func dsc3(cs catalogue) {
	cs.reg("DSC-023", func(t *T) {
		addr, stopFn, err := t.e.issuer.extra(t.goodTLS())
		if err != nil {
			t.skip(err.Error())
		}
		defer stopFn()
		evil := t.e.issuer.newIssuerAt(addr, "evil", pubJWK(&t.e.keys.B.PublicKey, "k1"))
		is := t.iss()
		evil.onDisc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"issuer":"`+is.URL+`","jwks_uri":"`+evil.URL+`/keys"}`)
		})
		is.onDisc(redirect(evil.URL + "/.well-known/openid-configuration"))
		s := t.on(is)
		t.reject("attacker key", t.assert(s.by(stdHdr, "RS256", t.e.keys.B)), "IC", t.e.o.MaxFetch)
		t.ok("followed", evil.nJWKS.Load() == 0, "keys were fetched from the redirect target")
	})
	cs.reg("DSC-025", func(t *T) {
		is := t.iss()
		t.limits(5, 0)
		is.onDisc(func(w http.ResponseWriter, r *http.Request) {
			redirect(is.URL+"/.well-known/openid-configuration")(w, r)
		})
		t.reject("", t.assert(t.on(is).good()), "IC", t.e.o.MaxFetch)
	})
	cs.regK("DSC-026", "POL", func(t *T) []variant {
		return []variant{{"302", func(is *Issuer) { is.onDisc(redirect(is.URL + "/moved-disc")) }, nil}, {"relative", func(is *Issuer) { is.onDisc(redirect("/moved")) }, nil}}
	})
	cs.regK("DSC-027", "IC", func(t *T) []variant {
		return []variant{{"http", func(is *Issuer) {
			is.onDisc(redirect("http://" + strings.TrimPrefix(is.URL, "https://") + "/moved-disc"))
		}, nil}, {"file", func(is *Issuer) { is.onDisc(redirect("file:///etc/passwd")) }, nil}, {"empty", func(is *Issuer) { is.onDisc(redirect("")) }, nil}, {"garbage", func(is *Issuer) { is.onDisc(redirect("https://%zz")) }, nil}}
	})
}

// dsc4 registers DSC-031 to DSC-035.
func dsc4(cs catalogue) {
	cs.reg("DSC-031", func(t *T) {
		s := t.std()
		r := t.req(formType, t.form(s.good()).Encode())
		for k, v := range map[string]string{"Cookie": "a=b", "Baggage": "user=secret", "Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "X-Forwarded-For": "203.0.113.9", "Referer": "https://x.example/secret"} {
			r.Header.Set(k, v)
		}
		t.accept("", t.send(r))
		for _, h := range s.is.headers() {
			for _, k := range []string{"Authorization", "Cookie", "Referer", "Baggage", "X-Forwarded-For", "Proxy-Authorization"} {
				t.ok(k, h.Get(k) == "", "%s sent to the issuer", k)
			}
		}
	})
	cs.reg("DSC-032", func(t *T) {
		s := t.std()
		s.control()
		t.ok("paths", s.is.other.Load() == 0, "%d requests to other paths of the issuer", s.is.other.Load())
	})
	cs.regD("DSC-034", "UN", func(t *T, is *Issuer) {
		is.onDisc(hijack(func(c net.Conn) {
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{\"issuer\":")
		}))
	})
	cs.reg("DSC-035", func(t *T) {
		is := t.iss()
		is.onDisc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Set-Cookie", "trap=1; Path=/")
			is.serveDoc(w)
		})
		t.accept("", t.assert(t.on(is).good()))
		for _, h := range is.headers() {
			t.ok("cookie", h.Get("Cookie") == "", "cookie of the issuer was stored and sent back")
		}
	})
}

// dsc5 registers DSC-036.
func dsc5(cs catalogue) {
	cs.regK("DSC-036", "IC", func(t *T) []variant {
		var v []variant
		for _, n := range []int{201, 204, 206, 300, 304} {
			v = append(v, variant{strconv.Itoa(n), func(is *Issuer) {
				is.onDisc(func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(n)
					if n != 204 && n != 304 {
						_, _ = io.WriteString(w, js(is.discovery()))
					}
				})
			}, nil})
		}
		return v
	})
}

// dsc6 registers DSC-037 to DSC-038.
func dsc6(cs catalogue) {
	cs.regK("DSC-037", "IC", func(t *T) []variant {
		return []variant{{"headers", func(is *Issuer) {
			is.onDisc(hijack(func(c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
				h := "X-Pad: " + strings.Repeat("a", 8000) + "\r\n"
				for i := 0; i < 3000; i++ {
					if _, err := io.WriteString(c, h); err != nil {
						return
					}
				}
				_, _ = io.WriteString(c, "Content-Length: 2\r\n\r\n{}")
			}))
		}, nil}, {"1xx", func(is *Issuer) {
			is.onDisc(hijack(func(c net.Conn) {
				for i := 0; i < 20000; i++ {
					if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"); err != nil {
						return
					}
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			}))
		}, nil}}
	})
	cs.reg("DSC-038", func(t *T) {
		a := t.std()
		a.control()
		b := t.issKeys(pubJWK(&t.e.keys.C.PublicKey, "kc"))
		b.onDoc(func(d map[string]any) { d["jwks_uri"] = a.is.URL + "/keys" })
		s := t.on(b)
		t.accept("keys of A for B", t.assert(s.good()))
		t.reject("own key of B", t.assert(s.by(`{"alg":"RS256","kid":"kc"}`, "RS256", t.e.keys.C)), "IC", t.e.o.MaxFetch)
		t.reject("B's key for A", t.assert(a.by(`{"alg":"RS256","kid":"kc"}`, "RS256", t.e.keys.C)), "IC", t.e.o.MaxFetch)
		t.limits(2, 6)
	})
}
