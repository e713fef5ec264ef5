package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// net1 registers NET-001 to NET-012.
func net1(cs catalogue) {
	cs.regR("NET-001", false, func(t *T) []string {
		return []string{"https://169.254.169.254", "http://169.254.169.254/latest", "https://[fd00:ec2::254]"}
	})
	cs.regR("NET-002", false, func(t *T) []string {
		return []string{"https://[::ffff:169.254.169.254]", "https://[::ffff:7f00:2]", "https://[64:ff9b::a9fe:a9fe]", "https://[2002:7f00:1::]", "https://[::127.0.0.2]"}
	})
	cs.reg("NET-003", func(t *T) {
		c := t.canary()
		_, port, _ := net.SplitHostPort(c.Addr)
		for _, h := range []string{"127.0.0.2", "2130706434", "0x7f000002", "0177.0.0.2", "127.2", "127.0.2"} {
			u := "https://" + h + ":" + port
			sub := "x:" + nonce()
			if _, refused := t.tryFIC(u, sub, t.e.o.Audience); refused {
				continue
			}
			now := time.Now().Unix()
			r := t.assert(tok(stdHdr, js(map[string]any{"iss": u, "sub": sub, "aud": t.e.o.Audience, "iat": now, "exp": now + 600}), "RS256", t.e.keys.B))
			t.ok(h, r.Err == nil && r.Token() == "" && r.Status >= 400, "status %d", r.Status)
			t.clean(h, r)
		}
	}, "ssrf-guard")
	cs.regR("NET-004", false, func(t *T) []string {
		return []string{"https://10.0.0.1", "https://172.16.0.1", "https://192.168.0.1", "https://100.64.0.1", "https://198.18.0.1", "https://192.0.0.1", "https://[fc00::1]", "https://[fe80::1]", "https://0.0.0.0", "https://224.0.0.1", "https://255.255.255.255", "https://[ff02::1]"}
	})
	cs.regR("NET-008", false, func(t *T) []string {
		return []string{"https://metadata.google.internal", "https://metadata", "https://instance-data.ec2.internal"}
	})
	cs.reg("NET-012", func(t *T) {
		is := t.iss()
		is.onDisc(drip(strings.Repeat(" ", 24) + "{"))
		t.reject("discovery", t.assert(t.on(is).good()), "UN", t.e.o.MaxFetch)
		b := t.iss()
		b.onJWKS(drip(strings.Repeat(" ", 24) + "{"))
		t.reject("jwks", t.assert(t.on(b).good()), "UN", t.e.o.MaxFetch)
	})
}

// net2 registers NET-015 to NET-018.
func net2(cs catalogue) {
	cs.reg("NET-015", func(t *T) {
		is := t.iss()
		n := 0
		is.onDisc(func(w http.ResponseWriter, r *http.Request) {
			n++
			redirect(fmt.Sprintf("%s/.well-known/openid-configuration?h=%d", is.URL, n))(w, r)
		})
		t.limits(5, 0)
		t.reject("", t.assert(t.on(is).good()), "IC", t.e.o.MaxFetch)
	})
	cs.reg("NET-018", func(t *T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.skip(err.Error())
		}
		defer ln.Close()
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					time.Sleep(15 * time.Second)
					_ = c.Close()
				}()
			}
		}()
		u := "https://" + ln.Addr().String() + "/x"
		sub := "x:" + nonce()
		if _, refused := t.tryFIC(u, sub, t.e.o.Audience); refused {
			return
		}
		now := time.Now().Unix()
		t.reject("", t.assert(tok(stdHdr, js(map[string]any{"iss": u, "sub": sub, "aud": t.e.o.Audience, "iat": now, "exp": now + 600}), "RS256", t.e.keys.A)), "UN", t.e.o.MaxFetch)
	})
}

// net3 registers NET-019 to NET-026.
func net3(cs catalogue) {
	cs.regK("NET-019", "UN", func(t *T) []variant {
		var v []variant
		for _, b := range []string{"hello\n", "HTTP/0.9 200 OK\r\n\r\n{}", "HTTP/1.1 999 x\r\n\r\n", "HTTP/1.1 200\r\nX\r\n\r\n", "SSH-2.0-x\r\n", "\x00\x00\x00"} {
			v = append(v, variant{b[:3], func(is *Issuer) { is.onDisc(hijack(func(c net.Conn) { _, _ = io.WriteString(c, b) })) }, nil})
		}
		return v
	})
	cs.regK("NET-020", "IC", func(t *T) []variant {
		var v []variant
		for _, enc := range []string{"gzip, gzip", "br", "zstd", "deflate", "x"} {
			v = append(v, variant{enc, func(is *Issuer) {
				is.onDisc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					w.Header().Set("Content-Encoding", enc)
					_, _ = w.Write(bombOnce())
				})
			}, nil})
		}
		return v
	})
	cs.regR("NET-024", true, func(t *T) []string {
		return []string{strings.TrimRight(t.e.o.Base, "/") + "/" + t.e.o.Tenant + "/v2.0", strings.TrimRight(t.e.o.Base, "/")}
	})
	cs.regR("NET-026", false, func(t *T) []string {
		return []string{"https://\u2460\u2461\u2466.0.0.1", "https://127\u30020\u30020\u30022", "https://\uff11\uff12\uff17.0.0.2", "https://loc\u212alhost"}
	})
}
