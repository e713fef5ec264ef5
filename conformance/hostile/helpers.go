package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf16"

	"github.com/go-jose/go-jose/v4"
)

func (t *T) tokenPath() string { return strings.ReplaceAll(t.e.o.TokenPath, "{tenant}", t.e.o.Tenant) }

func (t *T) host() string {
	u, err := url.Parse(t.e.o.Base)
	if err != nil {
		t.skip(err.Error())
	}
	return u.Host
}

func (t *T) rawHead(extra ...string) string {
	h := "POST " + t.tokenPath() + " HTTP/1.1\r\nHost: " + t.host() + "\r\nContent-Type: " + formType + "\r\n"
	for _, x := range extra {
		h += x + "\r\n"
	}
	return h + "\r\n"
}

func (t *T) dial() (net.Conn, error) {
	d := &net.Dialer{Timeout: 5 * time.Second}
	if strings.HasPrefix(t.e.o.Base, "http://") {
		return d.Dial("tcp", t.host())
	}
	return tls.DialWithDialer(d, "tcp", t.host(), &tls.Config{RootCAs: t.e.pool, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12})
}

// rawHTTP sends bytes and returns whatever comes back until the connection
// closes or is idle for 700 ms.
func (t *T) rawHTTP(in string, limit time.Duration) string {
	c, err := t.dial()
	if err != nil {
		t.fail("dial", "%v", err)
		return ""
	}
	defer c.Close()
	end := time.Now().Add(limit)
	_ = c.SetWriteDeadline(end)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.WriteString(c, in) }()
	var out strings.Builder
	buf := make([]byte, 16<<10)
	for time.Now().Before(end) && out.Len() < 1<<20 {
		wait := end
		if out.Len() > 0 {
			wait = time.Now().Add(700 * time.Millisecond)
		}
		_ = c.SetReadDeadline(wait)
		n, err := c.Read(buf)
		out.Write(buf[:n])
		if err != nil {
			break
		}
	}
	_ = c.Close()
	<-done
	return out.String()
}

// slowConns opens n connections that send prefix and then one byte a second;
// the server must close all within limit and serve others meanwhile.
func (t *T) slowConns(prefix string, n int, limit time.Duration) {
	var wg sync.WaitGroup
	var open atomic.Int64
	var slowest atomic.Int64
	start := time.Now()
	for i := 0; i < n; i++ {
		c, err := t.dial()
		if err != nil {
			t.fail("dial", "%v", err)
			return
		}
		open.Add(1)
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer c.Close()
			_, _ = io.WriteString(c, prefix)
			gone := make(chan struct{})
			go func() {
				_ = c.SetReadDeadline(start.Add(limit))
				_, err := io.Copy(io.Discard, c)
				if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
					open.Add(-1)
					slowest.Store(max(slowest.Load(), int64(time.Since(start))))
				}
				close(gone)
			}()
			for {
				select {
				case <-gone:
					return
				case <-time.After(time.Second):
					_ = c.SetWriteDeadline(time.Now().Add(time.Second))
					_, _ = io.WriteString(c, "a")
				}
			}
		}()
	}
	s := t.std()
	for i := 0; i < 5; i++ {
		r := t.assert(s.good())
		t.accept("another client meanwhile", r)
		t.ok("another client meanwhile", r.Took < time.Second, "%v", r.Took)
		time.Sleep(200 * time.Millisecond)
	}
	wg.Wait()
	t.ok("closed", open.Load() == 0, "%d of %d slow connections still open after %v", open.Load(), n, limit)
	t.note("last slow connection closed after %v", time.Duration(slowest.Load()).Round(time.Second))
}

// flood sends o.Flood assertions from 16 workers and counts the accepted ones.
func (t *T) flood(s *Std, gen func(int, *Std) string) int {
	var accepted, errs, i5xx, next atomic.Int64
	var wg sync.WaitGroup
	for w := 0; w < 16; w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			q := &T{e: t.e, id: t.id, app: t.app}
			c := &Std{t: q, is: s.is, sub: s.sub, aud: s.aud}
			for {
				i := int(next.Add(1))
				if i > t.e.o.Flood {
					return
				}
				r := q.assert(gen(i, c))
				switch {
				case r.Err != nil:
					errs.Add(1)
				case r.Status == 200:
					accepted.Add(1)
				case r.Status >= 500 && r.Status != 503:
					i5xx.Add(1)
				}
			}
		}()
	}
	wg.Wait()
	t.ok("flood", errs.Load() == 0, "%d requests got no answer", errs.Load())
	t.ok("flood", i5xx.Load() == 0, "%d answers 5xx", i5xx.Load())
	return int(accepted.Load())
}

// background floods until the returned function is called, for 30 s at most.
func (t *T) background(s *Std, gen func(int, *Std) string) func() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	var wg sync.WaitGroup
	var next atomic.Int64
	for w := 0; w < 4; w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			q := &T{e: t.e, id: t.id, app: t.app}
			c := &Std{t: q, is: s.is, sub: s.sub, aud: s.aud}
			for ctx.Err() == nil && next.Add(1) < 5000 {
				q.assert(gen(int(next.Load()), c))
			}
		}()
	}
	return func() { cancel(); wg.Wait() }
}

// serverJWKS is the key set of the server under test.
func (t *T) serverJWKS() (*jose.JSONWebKeySet, error) {
	get := func(u string, v any) error {
		if err := loopbackOnly(u, t.e.o.Insecure); err != nil {
			return err
		}
		resp, err := t.e.http.Get(u)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(v)
	}
	var d struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := get(strings.TrimRight(t.e.o.Base, "/")+"/"+t.e.o.Tenant+"/v2.0/.well-known/openid-configuration", &d); err != nil {
		return nil, err
	}
	var set jose.JSONWebKeySet
	return &set, get(d.JWKS, &set)
}

func (t *T) serverRSA() (*rsa.PublicKey, string) {
	set, err := t.serverJWKS()
	if err != nil {
		return nil, ""
	}
	for _, k := range set.Keys {
		if p, ok := k.Key.(*rsa.PublicKey); ok {
			return p, k.KeyID
		}
	}
	return nil, ""
}

func jwe(k *rsa.PublicKey, kid string, alg jose.KeyAlgorithm, plain string, deflate bool) string {
	o := (&jose.EncrypterOptions{}).WithContentType("JWT")
	if deflate {
		o.Compression = jose.DEFLATE
	}
	e, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: alg, Key: k, KeyID: kid}, o)
	if err != nil {
		panic(err)
	}
	x, err := e.Encrypt([]byte(plain))
	if err != nil {
		panic(err)
	}
	c, err := x.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return c
}

func keyOK(k any) bool {
	switch p := k.(type) {
	case *rsa.PublicKey:
		return p.N.BitLen() >= 2048 && p.E == 65537
	case *ecdsa.PublicKey:
		return p.Curve.Params().BitSize >= 256
	case ed25519.PublicKey:
		return true
	}
	return false
}

func utf16le(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

func pkixPEM(k *rsa.PrivateKey) []byte {
	d, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: d})
}

func pkcs1PEM(k *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&k.PublicKey)})
}

func selfSigned(k *rsa.PrivateKey) []byte {
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "attacker"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	d, err := x509.CreateCertificate(rand.Reader, t, t, &k.PublicKey, k)
	if err != nil {
		panic(err)
	}
	return d
}

// zeroReader yields a body of 'a' bytes and counts what was taken.
type zeroReader struct {
	left int64
	sent int64
}

func (z *zeroReader) Read(b []byte) (int, error) {
	if z.left <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(b)), z.left)
	for i := range b[:n] {
		b[i] = 'a'
	}
	z.left -= n
	atomic.AddInt64(&z.sent, n)
	return int(n), nil
}

// hijack answers on the bare connection.
func hijack(f func(net.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		h, ok := unwrap(w).(http.Hijacker)
		if !ok {
			return
		}
		c, _, err := h.Hijack()
		if err != nil {
			return
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		f(c)
		_ = c.Close()
	}
}

func unwrap(w http.ResponseWriter) http.ResponseWriter {
	if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
		return u.Unwrap()
	}
	return w
}

func num(v any) int64 {
	switch n := v.(type) {
	case json.Number:
		f, _ := n.Float64()
		return int64(f)
	case float64:
		return int64(n)
	}
	return 0
}

// lifetime is exp-iat of a JWT, 0 for an opaque token.
func lifetime(jwt string) int64 {
	p := payload(jwt)
	if p["exp"] == nil || p["iat"] == nil {
		return 0
	}
	return num(p["exp"]) - num(p["iat"])
}

func (t *T) goodTLS() *tls.Config {
	c, err := t.e.issuer.leaf(time.Now().Add(-time.Hour), time.Now().Add(time.Hour), "127.0.0.1", "localhost")
	if err != nil {
		t.skip(err.Error())
	}
	return &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12}
}
