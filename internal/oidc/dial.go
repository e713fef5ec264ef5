package oidc

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// attemptDelay is how long a connection attempt has before the next address
// of the same name is tried beside it (RFC 8305 section 5).
const attemptDelay = 250 * time.Millisecond

// maxAddresses bounds how many addresses of one name are tried.
const maxAddresses = 8

// lookupFunc resolves a name; network is "ip".
type lookupFunc func(ctx context.Context, network, host string) ([]netip.Addr, error)

// dialer opens connections to permitted addresses only. Immutable.
type dialer struct {
	lookup  lookupFunc
	timeout time.Duration // for the connection, name resolution included
	allowed Addresses
}

// dial resolves once, checks every address that the name has and then dials
// exactly those addresses, so that no second resolution can answer otherwise.
// A name with one refused address is refused as a whole: a name that mixes
// public and private addresses is a rebinding attempt or a mistake.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, err
	}
	var ips []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		ips = []netip.Addr{ip}
	} else if ips, err = d.lookup(ctx, "ip", host); err != nil {
		return nil, err
	}
	var targets []netip.AddrPort
	for _, ip := range ips {
		target := netip.AddrPortFrom(ip.Unmap(), uint16(port))
		if !d.allowed.permit(target) {
			return nil, &addressError{target}
		}
		if len(targets) < maxAddresses {
			targets = append(targets, target)
		}
	}
	if len(targets) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	return d.race(ctx, network, targets)
}

// attempt is the outcome of one connection attempt.
type attempt struct {
	conn net.Conn
	err  error
}

// race tries the targets in order, each a little after the one before or as
// soon as that one failed, and returns the first connection.
func (d *dialer) race(ctx context.Context, network string, targets []netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	connector := net.Dialer{ControlContext: d.control, KeepAlive: -1}
	outcomes := make(chan attempt, len(targets)) // never blocks an attempt that lost
	started, pending := 0, 0
	start := func() {
		target := targets[started].String()
		started++
		pending++
		go func() {
			conn, err := connector.DialContext(ctx, network, target)
			outcomes <- attempt{conn, err}
		}()
	}
	start()
	next := time.NewTicker(attemptDelay)
	defer next.Stop()
	var first error
	for {
		select {
		case <-next.C:
			if started < len(targets) {
				start()
			}
		case a := <-outcomes:
			pending--
			if a.err == nil {
				go discard(outcomes, pending)
				return a.conn, nil
			}
			if first == nil {
				first = a.err
			}
			if started < len(targets) {
				start()
			} else if pending == 0 {
				return nil, first
			}
		}
	}
}

// discard closes the connections of attempts that came too late. They end
// soon: their context is cancelled.
func discard(outcomes <-chan attempt, n int) {
	for range n {
		if a := <-outcomes; a.conn != nil {
			_ = a.conn.Close() // unused; nothing was written to it
		}
	}
}

// control is the last word on an address, asked by package net for the very
// socket address that it is about to connect to.
func (d *dialer) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !d.allowed.permit(target) {
		return &addressError{target}
	}
	return nil
}
