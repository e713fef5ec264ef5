package server

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// sourceOf returns the function that says which network address a request came
// from: that of its connection, or, where that is a trusted proxy's, the last
// one in X-Forwarded-For that is not. What a caller writes there itself stands
// before that and counts for nothing.
func sourceOf(trusted []netip.Prefix) func(*http.Request) string {
	return func(r *http.Request) string {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		if len(trusted) == 0 || !isIn(host, trusted) {
			return host
		}
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for _, hop := range slices.Backward(hops) {
			hop = strings.TrimSpace(hop)
			if _, err := netip.ParseAddr(hop); err != nil {
				return host // it came from the proxy itself, or is no address
			}
			if host = hop; !isIn(hop, trusted) {
				return hop
			}
		}
		return host
	}
}

func isIn(host string, ranges []netip.Prefix) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

// LimitSources is a listener that closes connections of a source which has
// perSource of them open. Those of trusted proxies, who speak for many, are
// not counted. Zero is no bound.
func LimitSources(l net.Listener, perSource int, trusted []netip.Prefix) net.Listener {
	if perSource <= 0 {
		return l
	}
	return &sourceListener{Listener: l, most: perSource, trusted: trusted, open: map[string]int{}}
}

type sourceListener struct {
	net.Listener
	most    int
	trusted []netip.Prefix

	mu   sync.Mutex
	open map[string]int // by address; only sources that have any
}

// Accept returns the next connection of a source that may have another one.
func (l *sourceListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
		if isIn(host, l.trusted) {
			return conn, nil
		}
		l.mu.Lock()
		full := l.open[host] >= l.most
		if !full {
			l.open[host]++
		}
		l.mu.Unlock()
		if !full {
			return &sourceConn{Conn: conn, done: sync.OnceFunc(func() { l.release(host) })}, nil
		}
		conn.Close()
	}
}

func (l *sourceListener) release(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[host]--; l.open[host] == 0 {
		delete(l.open, host)
	}
}

type sourceConn struct {
	net.Conn
	done func()
}

// Close closes the connection and gives its place to another one.
func (c *sourceConn) Close() error {
	defer c.done()
	return c.Conn.Close()
}
