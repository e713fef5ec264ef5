package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// frm1 registers FRM-002 to FRM-004.
func frm1(cs catalogue) {
	cs.reg("FRM-002", func(t *T) {
		s := t.std()
		s.control()
		for _, g := range []string{"password", "authorization_code", "Client_Credentials", "client_credentials ", ""} {
			v := t.form(s.good())
			v.Set("grant_type", g)
			r := t.post(v)
			if g == "" {
				t.reject("empty", r, "IR", t.e.o.MaxFast)
			} else {
				t.reject(g, r, "UG", t.e.o.MaxFast)
			}
		}
	})
	cs.reg("FRM-003", func(t *T) {
		s := t.std()
		s.control()
		v := t.form(s.good())
		v.Del("client_assertion")
		t.reject("", t.post(v), "IR", t.e.o.MaxFast)
		v.Del("client_assertion_type")
		t.reject("neither", t.post(v), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-004", func(t *T) {
		s := t.std()
		s.control()
		v := t.form(s.good())
		v.Del("client_assertion_type")
		t.reject("", t.post(v), "IR", t.e.o.MaxFast)
	})
}

// frm2 registers FRM-005 to FRM-008.
func frm2(cs catalogue) {
	cs.reg("FRM-005", func(t *T) {
		s := t.std()
		s.control()
		v := t.form(s.good())
		v.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
		t.reject("", t.post(v), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-006", func(t *T) {
		s := t.std()
		s.control()
		for _, x := range []string{"URN:IETF:PARAMS:OAUTH:CLIENT-ASSERTION-TYPE:JWT-BEARER", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer ", "jwt-bearer", ""} {
			v := t.form(s.good())
			v.Set("client_assertion_type", x)
			t.reject(x, t.post(v), "IR", t.e.o.MaxFast)
		}
	})
	cs.reg("FRM-007", func(t *T) {
		s := t.std()
		s.control()
		v := t.form(s.good())
		v.Add("client_assertion", s.by(stdHdr, "RS256", t.e.keys.B))
		t.reject("good first", t.post(v), "IR", t.e.o.MaxFast)
		g := s.good()
		v["client_assertion"] = []string{g, g}
		t.reject("same twice", t.post(v), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-008", func(t *T) {
		s := t.std()
		s.control()
		v := t.form(s.by(stdHdr, "RS256", t.e.keys.B))
		v.Add("client_assertion", s.good())
		t.reject("good last", t.post(v), "IR", t.e.o.MaxFast)
	})
}

// frm3 registers FRM-011 to FRM-014.
func frm3(cs catalogue) {
	cs.reg("FRM-011", func(t *T) {
		s := t.std()
		s.control()
		v := t.form(s.good())
		v.Add("scope", "api://other/.default")
		t.reject("", t.post(v), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-012", func(t *T) {
		s := t.std()
		s.control()
		v := t.form(s.good())
		q := url.Values{"client_assertion": v["client_assertion"]}
		v.Del("client_assertion")
		r := t.req(formType, v.Encode())
		r.URL.RawQuery = q.Encode()
		t.reject("", t.send(r), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-013", func(t *T) {
		s := t.std()
		s.control()
		r := t.req(formType, "")
		r.URL.RawQuery = t.form(s.good()).Encode()
		t.reject("", t.send(r), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-014", func(t *T) {
		s := t.std()
		s.control()
		r := t.req("", "")
		r.Method = "GET"
		r.Body = nil
		r.ContentLength = 0
		r.URL.RawQuery = t.form(s.good()).Encode()
		a := t.send(r)
		t.ok("method", a.Err == nil && a.Token() == "" && (a.Status == 405 || a.Status == 400 || a.Status == 404), "status %d", a.Status)
	})
}

// frm4 registers FRM-016 to FRM-021.
func frm4(cs catalogue) {
	cs.reg("FRM-016", func(t *T) {
		s := t.std()
		s.control()
		m := map[string]string{}
		for k, v := range t.form(s.good()) {
			m[k] = v[0]
		}
		t.reject("", t.postBody("application/json", js(m)), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-018", func(t *T) {
		s := t.std()
		s.control()
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for k, v := range t.form(s.good()) {
			_ = w.WriteField(k, v[0])
		}
		_ = w.Close()
		t.reject("", t.postBody(w.FormDataContentType(), b.String()), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-019", func(t *T) {
		s := t.std()
		s.control()
		t.reject("", t.postBody("text/plain", t.form(s.good()).Encode()), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-021", func(t *T) {
		s := t.std()
		s.control()
		r := t.req(formType, t.form(s.good()).Encode())
		r.SetBasicAuth(t.app.ClientID, "x")
		t.reject("", t.send(r), "IR", t.e.o.MaxFast)
	})
}

// frm5 registers FRM-022 to FRM-025.
func frm5(cs catalogue) {
	cs.reg("FRM-022", func(t *T) {
		s := t.std()
		s.control()
		r := t.req(formType, t.form(s.good()).Encode())
		r.SetBasicAuth("11111111-1111-4111-8111-111111111111", "x")
		t.reject("", t.send(r), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-024", func(t *T) {
		s := t.std()
		s.control()
		b, err := t.e.reg.CreateApp(context.Background(), "hostile-b-"+nonce())
		if err != nil {
			t.skip("no second application: " + err.Error())
		}
		defer func() { _ = t.e.reg.DeleteApp(context.Background(), b) }()
		v := t.form(s.good())
		v.Set("client_id", b.ClientID)
		r := t.post(v)
		t.reject("", r, "IC", t.e.o.MaxFast)
		t.ok("hint", !strings.Contains(string(r.Body), t.app.ClientID), "answer names the other application")
	}, "second-app")
	cs.reg("FRM-025", func(t *T) {
		s := t.std()
		v := t.form(s.good())
		v.Set("client_id", "11111111-1111-4111-8111-111111111111")
		t.limits(0, 0)
		t.reject("", t.post(v), "UC", t.e.o.MaxFast)
	})
}

// frm6 registers FRM-027 to FRM-030.
func frm6(cs catalogue) {
	cs.reg("FRM-027", func(t *T) {
		s := t.std()
		s.control()
		for _, c := range []string{strings.ToUpper(t.app.ClientID), "{" + t.app.ClientID + "}", strings.ReplaceAll(t.app.ClientID, "-", ""), " " + t.app.ClientID} {
			v := t.form(s.good())
			v.Set("client_id", c)
			t.policy(c, t.post(v))
		}
	})
	cs.reg("FRM-028", func(t *T) {
		s := t.std()
		s.control()
		t.reject("", t.assert(""), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-029", func(t *T) {
		s := t.std()
		s.control()
		t.limits(2, 3)
		t.reject("", t.assert(s.with("pad", strings.Repeat("a", 1<<20))), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-030", func(t *T) {
		s := t.std()
		s.control()
		n := &zeroReader{left: 64 << 20}
		req, _ := http.NewRequest("POST", t.tokenURL(), n)
		req.ContentLength = 64 << 20
		req.Header.Set("Content-Type", formType)
		r := t.send(req)
		t.ok("refused", r.Token() == "" && (r.Err != nil || r.Status >= 400 && r.Status < 500), "status %d", r.Status)
		t.ok("read", n.sent < 16<<20, "server took %d bytes of the body", n.sent)
		t.ok("time", r.Took < 5*time.Second, "%v", r.Took)
	})
}

// frm7 registers FRM-031 to FRM-035.
func frm7(cs catalogue) {
	cs.reg("FRM-031", func(t *T) {
		s := t.std()
		s.control()
		var b strings.Builder
		b.WriteString(t.form(s.good()).Encode())
		for i := 0; i < 100000; i++ {
			b.WriteString("&a")
			b.WriteString(strconv.Itoa(i))
			b.WriteString("=")
		}
		t.reject("", t.postBody(formType, b.String()), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-033", func(t *T) {
		s := t.std()
		s.control()
		b := t.form(s.good()).Encode()
		t.reject("all", t.postBody(formType, strings.ReplaceAll(b, "&", ";")), "IR", t.e.o.MaxFast)
		t.reject("tail", t.postBody(formType, b+"&x;y=1"), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-035", func(t *T) {
		s := t.std()
		s.control()
		v := t.form(s.good())
		v.Set("scope", "\xff\xfe/.default")
		r := t.post(v)
		t.reject("", r, "IS", t.e.o.MaxFast)
		t.ok("json", json.Valid(r.Body) && utf8.Valid(r.Body), "answer is not valid JSON")
	})
}

// frm8 registers FRM-036 to FRM-040.
func frm8(cs catalogue) {
	cs.reg("FRM-036", func(t *T) {
		s := t.std()
		s.control()
		v := t.form(s.good())
		v.Set("scope", "")
		t.reject("empty", t.post(v), "IR", t.e.o.MaxFast)
		v.Del("scope")
		t.reject("missing", t.post(v), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-037", func(t *T) {
		s := t.std()
		s.control()
		v := t.form(s.good())
		v.Set("scope", "a\r\nSet-Cookie: x=1\r\nX-Injected: 1")
		t.reject("", t.post(v), "IS", t.e.o.MaxFast)
	})
	cs.reg("FRM-039", func(t *T) {
		s := t.std()
		s.control()
		v := t.form(s.good())
		v.Set("scope", strings.TrimSuffix(t.e.o.Scope, "/.default")+"/Read.All")
		t.reject("", t.post(v), "IS", t.e.o.MaxFast)
	})
	cs.reg("FRM-040", func(t *T) {
		s := t.std()
		s.control()
		v := t.form(s.good())
		v.Set("scope", strings.Repeat("x", 60000)+"/.default")
		t.reject("", t.post(v), "IS", t.e.o.MaxFast)
	})
}

// frm9 registers FRM-042 to FRM-044.
func frm9(cs catalogue) {
	cs.reg("FRM-042", func(t *T) {
		s := t.std()
		s.control()
		for _, p := range []string{"/" + t.e.o.Tenant + "%2f..%2f..%2fv1.0%2fapplications", "/%2e%2e/" + t.e.o.Tenant + "/oauth2/v2.0/token", "/x/..;/" + t.e.o.Tenant + "/oauth2/v2.0/token", "/" + t.e.o.Tenant + "%00/oauth2/v2.0/token", "/" + t.e.o.Tenant + "%2foauth2/v2.0/token"} {
			r := t.req(formType, t.form(s.good()).Encode())
			r.URL.Path, r.URL.RawPath = "/x", ""
			r.URL.Opaque = "//" + r.URL.Host + p
			a := t.send(r)
			t.ok(p, a.Err == nil && a.Status < 500 && a.Token() == "", "status %d token %v", a.Status, a.Token() != "")
		}
	})
	cs.reg("FRM-043", func(t *T) {
		s := t.std()
		s.control()
		for _, n := range []string{"common", "organizations", "consumers", "."} {
			r := t.req(formType, t.form(s.good()).Encode())
			r.URL.Path = strings.Replace(r.URL.Path, t.e.o.Tenant, n, 1)
			a := t.send(r)
			t.ok(n, a.Err == nil && a.Token() == "" && a.Status >= 300 && a.Status < 500, "status %d", a.Status)
		}
	})
	cs.reg("FRM-044", func(t *T) {
		s := t.std()
		s.control()
		for _, p := range []string{"/" + t.tokenPath(), t.tokenPath() + "/", strings.ToUpper(t.tokenPath()), t.tokenPath() + ";x=1", t.tokenPath() + "//", t.tokenPath() + "/../token"} {
			r := t.req(formType, t.form(s.good()).Encode())
			r.URL.Opaque = "//" + r.URL.Host + p
			a := t.send(r)
			t.ok(p, a.Err == nil && a.Status < 500, "status %d", a.Status)
			t.note("%s: %d", p, a.Status)
		}
	})
}

// frm10 registers FRM-046 to FRM-053.
func frm10(cs catalogue) {
	cs.reg("FRM-046", func(t *T) {
		s := t.std()
		c := payload(s.control().Token())
		r := t.req(formType, t.form(s.good()).Encode())
		for k, v := range map[string]string{"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-For": "203.0.113.9", "Forwarded": "host=evil.example;proto=http;for=203.0.113.9", "X-Original-URL": "/v1.0/applications", "X-Rewrite-URL": "/v1.0/applications", "X-Real-IP": "203.0.113.9", "X-HTTP-Method-Override": "GET"} {
			r.Header.Set(k, v)
		}
		a := t.send(r)
		t.accept("", a)
		p := payload(a.Token())
		t.ok("iss", p["iss"] == c["iss"], "iss %v became %v", c["iss"], p["iss"])
		t.ok("ipaddr", !strings.Contains(js(p), "203.0.113.9"), "forwarded address in the token")
	})
	cs.reg("FRM-047", func(t *T) {
		s := t.std()
		s.control()
		b := t.form(s.good()).Encode()
		a := t.rawHTTP(t.rawHead("Content-Length: 4", "Transfer-Encoding: chunked")+fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", len(b), b), 5*time.Second)
		t.ok("framing", strings.HasPrefix(a, "HTTP/1.1 400") || strings.HasPrefix(a, "HTTP/1.1 200"), "neither refused nor read by Transfer-Encoding: %.80q", a)
		t.note("%d answers; RFC 9112 6.1 asks to close after such a request", strings.Count(a, "HTTP/1.1 "))
		a = t.rawHTTP(t.rawHead(fmt.Sprintf("Content-Length: %d", len(b)), "Transfer-Encoding: chunked, identity")+b, 5*time.Second)
		t.ok("unknown coding", !strings.HasPrefix(a, "HTTP/1.1 2") && !strings.HasPrefix(a, "HTTP/1.1 500"), "%.80q", a)
		a = t.rawHTTP(t.rawHead(fmt.Sprintf("Content-Length: %d", len(b)), "Transfer-Encoding : chunked")+b, 5*time.Second)
		t.ok("space before colon", !strings.HasPrefix(a, "HTTP/1.1 2"), "%.80q", a)
	})
	cs.reg("FRM-048", func(t *T) {
		a := t.rawHTTP(t.rawHead("Content-Length: 10", "Content-Length: 400")+"0123456789", 5*time.Second)
		t.ok("400", strings.HasPrefix(a, "HTTP/1.1 400"), "%.60q", a)
	})
	cs.reg("FRM-051", func(t *T) { t.slowConns("POST "+t.tokenPath()+" HTTP/1.1\r\nHost: x\r\nX-A: ", 20, 40*time.Second) }, "slow")
	cs.reg("FRM-053", func(t *T) { t.slowConns(t.rawHead("Content-Length: 100", "Expect: 100-continue"), 5, 40*time.Second) }, "slow")
}

// frm11 registers FRM-055 to FRM-063.
func frm11(cs catalogue) {
	cs.reg("FRM-055", func(t *T) {
		s := t.std()
		s.control()
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(t.form(s.good()).Encode() + "&pad="))
		_, _ = z.Write(bytes.Repeat([]byte("a"), 10<<20))
		_ = z.Close()
		r := t.req(formType, b.String())
		r.Header.Set("Content-Encoding", "gzip")
		t.reject("", t.send(r), "IR", t.e.o.MaxFast)
	})
	cs.reg("FRM-056", func(t *T) {
		s := t.std()
		s.control()
		t.policy("utf-16", t.postBody(formType+"; charset=utf-16", t.form(s.good()).Encode()))
		t.policy("broken", t.postBody(formType+"; charset", t.form(s.good()).Encode()))
	})
	cs.regP("FRM-058", func(s *Std) []string {
		g := s.good()
		return []string{g + "\n", "\n" + g, g + " ", g + "\r\n"}
	})
	cs.reg("FRM-063", func(t *T) {
		s := t.std()
		s.control()
		b := t.form(s.good()).Encode()
		a := t.rawHTTP(fmt.Sprintf("POST %s HTTP/1.0\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", t.tokenPath(), formType, len(b), b), 5*time.Second)
		t.ok("status", strings.HasPrefix(a, "HTTP/1.") && !strings.Contains(a[:min(16, len(a))], " 5"), "%.60q", a)
	})
}

// frm12 registers FRM-064.
func frm12(cs catalogue) {
	cs.reg("FRM-064", func(t *T) {
		s := t.std()
		s.control()
		r := t.req(formType, t.form(s.good()).Encode())
		r.URL.RawQuery = "x=" + strings.Repeat("a", 100000)
		a := t.send(r)
		t.ok("status", a.Err != nil || a.Status < 500, "status %d", a.Status)
		r = t.req(formType, "")
		r.URL.Path = "/" + strings.Repeat("a", 100000)
		a = t.send(r)
		t.ok("path", a.Err != nil || a.Status >= 400 && a.Status < 500, "status %d", a.Status)
	})
}
