package oidc

import (
	"fmt"
	"net/netip"
)

// Addresses lists what may be dialled besides public addresses. The zero value
// permits public addresses only.
type Addresses struct {
	Prefixes  []netip.Prefix   // any port
	AddrPorts []netip.AddrPort // exactly this address and port
}

// everywhere permits what an operator's proxy may be on: every address but
// those that never are one's.
func everywhere() Addresses { return Addresses{Prefixes: prefixes("0.0.0.0/0", "::/0")} }

// addressError is a refusal to dial. It names the address: logs only.
type addressError struct{ addr netip.AddrPort }

func (e *addressError) Error() string { return fmt.Sprintf("address %s is not permitted", e.addr) }

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// The tables below are never written to.
var (
	// never are addresses that no issuer has, whatever an operator allows:
	// "this network" (dialled, it reaches the own host), multicast, broadcast.
	never = prefixes("0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "ff00::/8")

	// reserved are the IPv4 ranges of the IANA special-purpose registry
	// (RFC 6890) and what is commonly routed inside networks only.
	reserved = prefixes(
		"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
		"192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"240.0.0.0/4")

	// global is the only part of IPv6 from which public addresses are given
	// out (RFC 4291 section 2.4); reserved6 are the exceptions inside it.
	global    = netip.MustParsePrefix("2000::/3")
	reserved6 = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")

	// metadata are the instance metadata services of the large clouds. They
	// hand credentials to whoever asks, so a wide prefix does not permit them;
	// only an entry for exactly that address does.
	metadata = prefixes("169.254.169.254/32", "169.254.169.253/32", "169.254.170.2/32", "169.254.170.23/32",
		"168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128")

	nat64      = netip.MustParsePrefix("64:ff9b::/96")   // RFC 6052
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48") // RFC 8215
	sixToFour  = netip.MustParsePrefix("2002::/16")      // RFC 3056
	teredo     = netip.MustParsePrefix("2001::/32")      // RFC 4380
	compatible = netip.MustParsePrefix("::/96")          // RFC 4291 section 2.5.5.1
	loopback6  = netip.IPv6Loopback()
)

func contains(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// listed says whether a prefix of the operator covers the address. A mapped
// prefix is compared in its IPv4 form.
func (a Addresses) listed(ip netip.Addr) bool {
	single := contains(metadata, ip)
	for _, p := range a.Prefixes {
		if p.Contains(ip) && (!single || p.IsSingleIP()) {
			return true
		}
	}
	return false
}

// permit decides whether an address may be dialled.
func (a Addresses) permit(ap netip.AddrPort) bool {
	ip := ap.Addr().Unmap()
	if !ip.IsValid() || ip.Zone() != "" || contains(never, ip) {
		return false
	}
	for _, allowed := range a.AddrPorts {
		if allowed.Addr().Unmap() == ip && allowed.Port() == ap.Port() {
			return true
		}
	}
	if ip.Is4() {
		return a.listed(ip) || !contains(reserved, ip) && !contains(metadata, ip)
	}
	// A translated address leads to the IPv4 address inside it: the operator
	// must have allowed the translation, and the inner address must pass too.
	if inner, translated := embedded(ip); translated {
		if !a.listed(ip) {
			return false
		}
		for _, v4 := range inner {
			if !a.permit(netip.AddrPortFrom(v4, ap.Port())) {
				return false
			}
		}
		return true
	}
	return a.listed(ip) || global.Contains(ip) && !contains(reserved6, ip) && !contains(metadata, ip)
}

// embedded gives the IPv4 addresses that an IPv6 address carries for a
// translator or tunnel, and whether it is such an address.
func embedded(ip netip.Addr) (inner []netip.Addr, translated bool) {
	b := ip.As16()
	v4 := func(at int) netip.Addr { return netip.AddrFrom4([4]byte(b[at : at+4])) }
	switch {
	case ip == loopback6:
		return nil, false
	case nat64.Contains(ip), compatible.Contains(ip):
		return []netip.Addr{v4(12)}, true
	case nat64Local.Contains(ip): // the place of the inner address depends on the network
		return nil, true
	case sixToFour.Contains(ip):
		return []netip.Addr{v4(2)}, true
	case teredo.Contains(ip):
		for i := 12; i < 16; i++ {
			b[i] ^= 0xff // the client's address is stored inverted
		}
		return []netip.Addr{v4(4), v4(12)}, true
	}
	return nil, false
}
