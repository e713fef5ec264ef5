package postgres

import (
	"net"
	"sync"
)

// Proxy stands between a client and a server, to take the network away.
type Proxy struct {
	Port     int
	listener net.Listener

	mu     sync.Mutex // guards what follows
	target string
	state  State
	open   map[net.Conn]bool // both sides
	heal   chan struct{}     // closed when a hole ends
}

// State is what becomes of connections.
type State int

// States of a proxy.
const (
	Healthy State = iota
	Reset         // connections end at once, new ones too
	Hole          // connections stay open and nothing arrives
)

// NewProxy listens on a port of 127.0.0.1 and passes on to another one.
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{Port: l.Addr().(*net.TCPAddr).Port, target: target, listener: l, open: map[net.Conn]bool{}, heal: make(chan struct{})}
	go p.accept()
	return p, nil
}

// Set changes what becomes of connections. What was swallowed by a hole is
// lost: its connections are reset when it ends.
func (p *Proxy) Set(state State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == Hole || state == Reset {
		p.reset()
	}
	if p.state == Hole {
		close(p.heal)
		p.heal = make(chan struct{})
	}
	p.state = state
}

// Lead makes new connections lead to another server, and ends those that there
// are.
func (p *Proxy) Lead(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	p.reset()
}

// reset ends every connection; p.mu is held.
func (p *Proxy) reset() {
	for conn := range p.open {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not an end in good order
		}
		conn.Close()
	}
	clear(p.open)
}

// Close ends the proxy.
func (p *Proxy) Close() {
	p.listener.Close()
	p.Set(Reset)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serve(client)
	}
}

func (p *Proxy) serve(client net.Conn) {
	if !p.enter(client) {
		return
	}
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		client.Close()
		return
	}
	if !p.enter(server) {
		client.Close()
		return
	}
	go p.pass(client, server)
	p.pass(server, client)
}

// enter waits while there is a hole, and takes a connection in.
func (p *Proxy) enter(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.state == Hole {
		heal := p.heal
		p.mu.Unlock()
		<-heal
		p.mu.Lock()
	}
	if p.state == Reset {
		conn.Close()
		return false
	}
	p.open[conn] = true
	return true
}

// pass copies until one side ends or the network is taken away.
func (p *Proxy) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		state, heal := p.state, p.heal
		p.mu.Unlock()
		if state == Hole {
			<-heal
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
