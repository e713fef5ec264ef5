package oidc

import (
	"net/netip"
	"testing"
)

func TestPublicAddressesOnly(t *testing.T) {
	cases := map[string]bool{
		"93.184.216.34": true, "8.8.8.8": true, "172.15.255.255": true, "172.32.0.1": true, "100.63.255.255": true,
		"100.128.0.1": true, "192.0.1.1": true, "198.17.0.1": true, "223.255.255.255": true,
		"2606:2800:220:1::1": true, "2a00:1450::1": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "100.127.255.255": false,
		"127.0.0.1": false, "127.255.255.255": false, "169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.0.0.1": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.0.1": false, "198.18.0.1": false,
		"198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "239.1.1.1": false,
		"240.0.0.1": false, "255.255.255.255": false, "168.63.129.16": false,

		"::": false, "::1": false, "::7f00:1": false, "::127.0.0.2": false, "::8.8.8.8": false,
		"::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:8.8.8.8": true, // the same socket address as 8.8.8.8
		"64:ff9b::a9fe:a9fe": false, "64:ff9b::808:808": false, "64:ff9b:1::1": false,
		"2002:7f00:1::": false, "2002:808:808::1": false, "2001::1": false, "2001:0:808:808::f7f7:f7f7": false,
		"2001:db8::1": false, "3fff::1": false, "fc00::1": false, "fd00:ec2::254": false, "fe80::1": false, "fe80::1%eth0": false,
		"fec0::1": false, "ff02::1": false, "100::1": false, "5f00::1": false, "4000::1": false,
	}
	for text, want := range cases {
		ap := netip.AddrPortFrom(netip.MustParseAddr(text), 443)
		if got := (Addresses{}).permit(ap); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if (Addresses{}).permit(netip.AddrPort{}) {
		t.Error("the zero address")
	}
}

func TestAllowedAddresses(t *testing.T) {
	wide := Addresses{Prefixes: prefixes("0.0.0.0/0", "::/0")}
	translated := Addresses{Prefixes: prefixes("64:ff9b::/96", "2002::/16", "2001::/32", "::/96")}
	private := Addresses{Prefixes: prefixes("10.0.0.0/8", "fd00::/8"), AddrPorts: []netip.AddrPort{
		netip.MustParseAddrPort("127.0.0.1:9443"), netip.MustParseAddrPort("[::ffff:127.0.0.3]:1")}}
	cases := []struct {
		allowed Addresses
		addr    string
		want    bool
	}{
		{private, "10.1.2.3:443", true},
		{private, "10.1.2.3:1", true},
		{private, "[::ffff:10.1.2.3]:443", true},
		{private, "11.1.2.3:443", true}, // public
		{private, "192.168.1.1:443", false},
		{private, "[fd12::1]:443", true},
		{private, "[fd00:ec2::254]:80", false},
		{private, "127.0.0.1:9443", true},
		{private, "[::ffff:127.0.0.1]:9443", true},
		{private, "127.0.0.1:9444", false},
		{private, "127.0.0.2:9443", false},
		{private, "127.0.0.3:1", true},
		{private, "[64:ff9b::a00:1]:443", false}, // the translation was not allowed

		{translated, "[64:ff9b::808:808]:443", true},
		{translated, "[64:ff9b::a00:1]:443", false},
		{translated, "[64:ff9b::a9fe:a9fe]:443", false},
		{translated, "[2002:808:808::1]:443", true},
		{translated, "[2002:a00:1::1]:443", false},
		{translated, "[2001:0:808:808::f7f7:f7f7]:443", true},
		{translated, "[2001:0:808:808::f5ff:fffe]:443", false}, // client 10.0.0.1
		{translated, "[2001:0:a00:1::f7f7:f7f7]:443", false},   // server 10.0.0.1
		{translated, "[::8.8.8.8]:443", true},
		{translated, "[::1]:443", true}, // the operator's prefix covers it
		{translated, "[::]:443", false},

		{wide, "127.0.0.1:443", true},
		{wide, "[fe80::1]:443", true},
		{wide, "[64:ff9b::7f00:1]:443", true},
		{wide, "169.254.169.254:80", false},
		{wide, "[64:ff9b::a9fe:a9fe]:80", false},
		{wide, "168.63.129.16:80", false},
		{wide, "0.0.0.0:80", false},
		{wide, "[::]:80", false},
		{wide, "224.0.0.1:80", false},
		{wide, "255.255.255.255:80", false},
		{wide, "[ff02::1]:80", false},
		{Addresses{Prefixes: prefixes("169.254.169.254/32")}, "169.254.169.254:80", true},
	}
	for _, c := range cases {
		if got := c.allowed.permit(netip.MustParseAddrPort(c.addr)); got != c.want {
			t.Errorf("%s with %v: %v", c.addr, c.allowed, got)
		}
	}
}
