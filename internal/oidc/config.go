package oidc

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"
)

// Config says how documents of issuers are fetched and kept. The zero value is
// usable: public https issuers, trusted by the system's certificate roots.
type Config struct {
	HTTP  HTTPSettings
	Cache CacheSettings

	// MaxKeys is how many keys of a set are used, the first ones; 0 means 100.
	MaxKeys int
	// ExtraRootsPEM are certificate authorities trusted for every issuer,
	// besides those of the system.
	ExtraRootsPEM []byte
	// AllowedPrefixes and AllowedAddrPorts are permitted for every issuer,
	// besides public addresses.
	AllowedPrefixes  []netip.Prefix
	AllowedAddrPorts []netip.AddrPort
	// Issuers are exceptions and additions for single issuers.
	Issuers []IssuerPolicy

	// Clock gives the time for everything that is cached; nil means time.Now.
	// Deadlines of connections always follow the real clock.
	Clock func() time.Time
	// LookupNetIP resolves names; nil means the resolver of the system.
	LookupNetIP func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// OnFetch is told the outcome of every fetch, from the goroutine that
	// made it and before its waiters continue: it must be fast.
	OnFetch func(FetchEvent)
}

// HTTPSettings bound one refresh of an issuer. Zero means the default.
type HTTPSettings struct {
	Timeout        time.Duration // for both documents together: 5 s
	DialTimeout    time.Duration // for resolving and connecting, and again for the TLS handshake: 3 s
	MaxHeaderBytes int64         // of an answer, 1xx answers included: 64 KiB
	MaxBodyBytes   int           // at most 1 MiB, the default
	MaxConcurrent  int           // refreshes under way, of all issuers: 1024; one per issuer always
}

// CacheSettings say how long and how much is kept. Zero means the default.
type CacheSettings struct {
	SoftTTL       time.Duration // age from which keys are renewed while in use, varied by 10 %: 1 h
	HardTTL       time.Duration // age from which keys are not used, whatever the issuer's state: 24 h
	DiscoveryTTL  time.Duration // age from which a refresh reads the discovery document as well: 5 min
	RefreshEvery  time.Duration // refreshes of one issuer for the sake of unknown keys, on average: 10 s
	RefreshBurst  int           // and how many at once: 2
	MaxIssuers    int           // 10 000
	MaxCacheBytes int64         // estimated memory of the keys of all issuers: 64 MiB
}

// IssuerPolicy is what one issuer is allowed beyond the configuration.
type IssuerPolicy struct {
	Issuer         string           // byte for byte
	RootsPEM       []byte           // further certificate authorities
	AllowPrefixes  []netip.Prefix   // further addresses, for any port
	AllowAddrPorts []netip.AddrPort // further addresses with their port
	AllowHTTP      bool             // http URLs may be used
	MaxKeys        int              // 0 means Config.MaxKeys
	// Proxy is asked to reach the issuer; nil: none. It resolves the names,
	// so it decides which addresses are reached.
	Proxy *url.URL
}

func orDefault[T int | int64 | time.Duration](value *T, standard T) error {
	if *value < 0 {
		return errors.New("oidc: a setting is negative")
	}
	if *value == 0 {
		*value = standard
	}
	return nil
}

func (c *Config) setDefaults() error {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.LookupNetIP == nil {
		c.LookupNetIP = net.DefaultResolver.LookupNetIP
	}
	if c.HTTP.MaxBodyBytes > 1<<20 { // the bound of strictjson.Document
		return errors.New("oidc: documents larger than 1 MiB are not supported")
	}
	return errors.Join(
		orDefault(&c.MaxKeys, 100),
		orDefault(&c.HTTP.Timeout, 5*time.Second),
		orDefault(&c.HTTP.DialTimeout, 3*time.Second),
		orDefault(&c.HTTP.MaxHeaderBytes, 64<<10),
		orDefault(&c.HTTP.MaxBodyBytes, 1<<20),
		orDefault(&c.HTTP.MaxConcurrent, 1024),
		orDefault(&c.Cache.SoftTTL, time.Hour),
		orDefault(&c.Cache.HardTTL, 24*time.Hour),
		orDefault(&c.Cache.DiscoveryTTL, 5*time.Minute),
		orDefault(&c.Cache.RefreshEvery, 10*time.Second),
		orDefault(&c.Cache.RefreshBurst, 2),
		orDefault(&c.Cache.MaxIssuers, 10000),
		orDefault(&c.Cache.MaxCacheBytes, 64<<20),
	)
}

// rules are the compiled policy of an issuer. Immutable.
type rules struct {
	client    *client
	allowed   Addresses
	allowHTTP bool
	proxied   bool // a proxy resolves and dials
	maxKeys   int
}

// outbound is what the clients of all issuers share.
func (c *Config) outbound() *outbound {
	return &outbound{settings: c.HTTP, lookup: c.LookupNetIP, large: make(chan struct{}, largeBodies)}
}

// with adds to the policy what another one allows.
func (p IssuerPolicy) with(more IssuerPolicy) IssuerPolicy {
	p.RootsPEM = append(append(slices.Clip(p.RootsPEM), '\n'), more.RootsPEM...)
	p.AllowPrefixes = append(slices.Clip(p.AllowPrefixes), more.AllowPrefixes...)
	p.AllowAddrPorts = append(slices.Clip(p.AllowAddrPorts), more.AllowAddrPorts...)
	p.AllowHTTP = p.AllowHTTP || more.AllowHTTP
	if more.Proxy != nil {
		p.Proxy = more.Proxy
	}
	if more.MaxKeys > 0 {
		p.MaxKeys = more.MaxKeys
	}
	return p
}

// compile makes the rules for issuers without and with a policy of their own.
func (c *Config) compile(shared *outbound) (standard *rules, byIssuer map[string]*rules, err error) {
	if standard, err = c.rulesFor(IssuerPolicy{}, shared); err != nil {
		return nil, nil, err
	}
	byIssuer = make(map[string]*rules, len(c.Issuers))
	for _, policy := range c.Issuers {
		if _, twice := byIssuer[policy.Issuer]; twice {
			return nil, nil, fmt.Errorf("oidc: issuer %q is listed twice", policy.Issuer)
		}
		own, err := c.rulesFor(policy, shared)
		if err != nil {
			return nil, nil, fmt.Errorf("oidc: issuer %q: %w", policy.Issuer, err)
		}
		if err := checkIssuer(policy.Issuer, own.allowHTTP, own.allowed); err != nil {
			return nil, nil, fmt.Errorf("oidc: issuer %q: %w", policy.Issuer, err)
		}
		byIssuer[policy.Issuer] = own
	}
	return standard, byIssuer, nil
}

func (c *Config) rulesFor(policy IssuerPolicy, shared *outbound) (*rules, error) {
	if policy.MaxKeys < 0 {
		return nil, errors.New("the number of keys is negative")
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's certificate authorities cannot be read: %w", err)
	}
	for _, pem := range [][]byte{c.ExtraRootsPEM, policy.RootsPEM} {
		if len(bytes.TrimSpace(pem)) > 0 && !roots.AppendCertsFromPEM(pem) {
			return nil, errors.New("the PEM of certificate authorities holds no certificate")
		}
	}
	own := &rules{
		allowHTTP: policy.AllowHTTP,
		maxKeys:   c.MaxKeys,
		allowed: Addresses{
			Prefixes:  append(append([]netip.Prefix(nil), c.AllowedPrefixes...), policy.AllowPrefixes...),
			AddrPorts: append(append([]netip.AddrPort(nil), c.AllowedAddrPorts...), policy.AllowAddrPorts...),
		},
	}
	if policy.MaxKeys > 0 {
		own.maxKeys = policy.MaxKeys
	}
	for _, p := range own.allowed.Prefixes {
		if !p.IsValid() {
			return nil, errors.New("an allowed address prefix is not valid")
		}
	}
	own.client = shared.client(roots, own.allowed)
	if own.proxied = policy.Proxy != nil; own.proxied {
		own.client = shared.client(roots, everywhere())
		own.client.transport.Proxy = http.ProxyURL(policy.Proxy)
	}
	return own, nil
}
