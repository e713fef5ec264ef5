package server

import (
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

func TestSource(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		name, remote string
		forwarded    []string
		trusted      []netip.Prefix
		want         string
	}{
		{"no proxy", "192.0.2.1:5", []string{"198.51.100.1"}, nil, "192.0.2.1"},
		{"not a trusted one", "192.0.2.1:5", []string{"198.51.100.1"}, trusted, "192.0.2.1"},
		{"a trusted one", "10.1.1.1:5", []string{"198.51.100.1"}, trusted, "198.51.100.1"},
		{"what the caller wrote comes before", "10.1.1.1:5", []string{"203.0.113.9, 198.51.100.1"}, trusted, "198.51.100.1"},
		{"several proxies", "10.1.1.1:5", []string{"203.0.113.9, 198.51.100.1, 10.2.2.2"}, trusted, "198.51.100.1"},
		{"several headers", "10.1.1.1:5", []string{"203.0.113.9", "198.51.100.1"}, trusted, "198.51.100.1"},
		{"nonsense", "10.1.1.1:5", []string{"203.0.113.9, unknown"}, trusted, "10.1.1.1"},
		{"nothing", "10.1.1.1:5", nil, trusted, "10.1.1.1"},
		{"IPv6", "10.1.1.1:5", []string{"2001:db8::7"}, trusted, "2001:db8::7"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := sourceOf(c.trusted)(r); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestConnectionsPerSource(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := LimitSources(inner, 2, nil)
	defer l.Close()
	accepted := make(chan net.Conn, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := d.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	closed := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := c.Read(make([]byte, 1))
		timeout, ok := err.(net.Error)
		return err != nil && !(ok && timeout.Timeout())
	}
	dial("127.0.0.1")
	dial("127.0.0.1")
	first, second := <-accepted, <-accepted
	if !closed(dial("127.0.0.1")) {
		t.Error("a third connection of one source was accepted")
	}
	dial("127.0.0.2")
	<-accepted
	first.Close()
	first.Close()
	dial("127.0.0.1")
	<-accepted
	if !closed(dial("127.0.0.1")) {
		t.Error("closing twice made two places")
	}
	second.Close()
}
