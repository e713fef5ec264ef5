package oidc

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxIssuerLength is Entra's limit on the issuer of a federated identity
// credential, in characters; an issuer is ASCII, so also in bytes.
const maxIssuerLength = 600

// maxURLLength bounds a jwks_uri.
const maxURLLength = 2048

// URLError reports an issuer or jwks_uri that is not acceptable. The text
// says which rule is broken, names nothing but what was given, and can be
// shown to whoever registers the issuer.
type URLError struct {
	Reason  Reason // ReasonIssuerURL, or ReasonAddress for a refused address or name
	Message string
}

func (e *URLError) Error() string { return e.Message }

func badURL(message string) *URLError { return &URLError{Reason: ReasonIssuerURL, Message: message} }

// CheckIssuerURL applies the rules for an issuer identifier when a credential
// is created (OpenID Connect Discovery 1.0 section 3): an absolute https URL of
// at most 600 ASCII characters without user, query or fragment, whose host is
// a DNS name or an address in its usual notation. Addresses that could not be
// dialled under the given policy are refused here already, so that the mistake
// shows at once; a name is only checked when it is dialled.
func CheckIssuerURL(issuer string, policy IssuerPolicy) error {
	if err := checkIssuer(issuer, policy.AllowHTTP, Addresses{policy.AllowPrefixes, policy.AllowAddrPorts}); err != nil {
		return err
	}
	return nil
}

func checkIssuer(issuer string, allowHTTP bool, allowed Addresses) *URLError {
	if issuer == "" {
		return badURL("the issuer is empty")
	}
	if len(issuer) > maxIssuerLength {
		return badURL("the issuer is longer than 600 characters")
	}
	if strings.Contains(issuer, "?") {
		return badURL("the issuer must have no query")
	}
	_, err := checkURL(issuer, allowHTTP, allowed)
	return err
}

// checkURL holds the rules that issuer and jwks_uri share.
func checkURL(raw string, allowHTTP bool, allowed Addresses) (*url.URL, *URLError) {
	for i := 0; i < len(raw); i++ {
		// Beyond control characters and white space: bytes of which servers,
		// proxies and libraries disagree where a host ends, and non-ASCII
		// letters that look or normalise like others.
		if c := raw[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\\\"<>^`{|}#", c) >= 0 {
			return nil, badURL("the URL must consist of the ASCII characters of RFC 3986, without white space or fragment")
		}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Host == "" {
		return nil, badURL("not an absolute https URL")
	}
	if !strings.HasPrefix(raw, "https://") && !(allowHTTP && strings.HasPrefix(raw, "http://")) {
		return nil, badURL("the URL must begin with https://")
	}
	if u.User != nil {
		return nil, badURL("the URL must hold no user or password")
	}
	port := defaultPort(u.Scheme)
	if p, explicit := explicitPort(u.Host); explicit {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 || p[0] == '0' {
			return nil, badURL("the port must be a number from 1 to 65535")
		}
		port = uint16(n)
	}
	return u, checkHost(u.Host, port, allowed)
}

func defaultPort(scheme string) uint16 {
	if scheme == "http" {
		return 80
	}
	return 443
}

// explicitPort gives what follows the host's colon; "h:" has an explicit,
// empty port.
func explicitPort(hostport string) (port string, explicit bool) {
	i := strings.LastIndexByte(hostport, ':')
	if i < 0 || i < strings.LastIndexByte(hostport, ']') {
		return "", false
	}
	return hostport[i+1:], true
}

func checkHost(hostport string, port uint16, allowed Addresses) *URLError {
	host := hostport
	if p, explicit := explicitPort(hostport); explicit {
		host = hostport[:len(hostport)-len(p)-1]
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		return checkIPv6(strings.TrimSuffix(host[1:], "]"), port, allowed)
	}
	if err := checkName(host); err != nil {
		return err
	}
	name := strings.ToLower(host)
	if endsInNumber(name) {
		// 127.1, 0x7f000001, 017700000001 and 2130706433 are one address to
		// some resolvers. Only the dotted decimal form is an address here.
		ip, err := netip.ParseAddr(name)
		if err != nil {
			return badURL("an IPv4 address must be written as four decimal numbers")
		}
		return checkAddress(ip, port, allowed)
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761 section 6.3
		v4 := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
		if !allowed.permit(v4) && !allowed.permit(netip.AddrPortFrom(loopback6, port)) {
			return &URLError{ReasonAddress, "the host is this machine, which is not permitted"}
		}
	}
	if metadataName(name) {
		return &URLError{ReasonAddress, "the host is an instance metadata service, which is never an issuer"}
	}
	return nil
}

func checkIPv6(literal string, port uint16, allowed Addresses) *URLError {
	ip, err := netip.ParseAddr(literal)
	if err != nil || !ip.Is6() || ip.Zone() != "" {
		return badURL("not an IPv6 address without zone")
	}
	if ip.Is4In6() {
		return badURL("an IPv4 address must be written as four decimal numbers")
	}
	return checkAddress(ip, port, allowed)
}

func checkAddress(ip netip.Addr, port uint16, allowed Addresses) *URLError {
	if !allowed.permit(netip.AddrPortFrom(ip, port)) {
		return &URLError{ReasonAddress, "the address is not public and not among the permitted ones"}
	}
	return nil
}

// checkName accepts the letters, digits, hyphens and underscores of names in
// use; punycode is such a name, any other notation of Unicode is not: url.Parse
// decodes %E2%84%AA in a host to the Kelvin sign, which lower case makes a k.
func checkName(name string) *URLError {
	if len(name) > 253 {
		return badURL("the host is longer than 253 characters")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return badURL("the labels of the host must have 1 to 63 characters; no dot at the end")
		}
		for i := 0; i < len(label); i++ {
			c := label[i]
			if !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return badURL("the host must consist of letters, digits, hyphens and dots; write other scripts as punycode")
			}
		}
	}
	return nil
}

// endsInNumber is the rule of the WHATWG URL standard: a host whose last label
// is a number is meant as an IPv4 address, however it is written.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	digits := strings.TrimLeft(last, "0123456789") == ""
	hex, ok := strings.CutPrefix(last, "0x")
	return digits || ok && strings.TrimLeft(hex, "0123456789abcdef") == ""
}

// metadataName recognises the names of instance metadata services, which some
// networks resolve to public-looking or permitted addresses. Other names under
// .internal are ordinary private names; the dialled address decides.
func metadataName(name string) bool {
	first, rest, _ := strings.Cut(name, ".")
	switch {
	case first != "metadata" && first != "instance-data":
		return false
	case rest == "", rest == "goog", rest == "tencentyun.com", rest == "platformequinix.com":
		return true
	}
	return rest == "internal" || strings.HasSuffix(rest, ".internal")
}
