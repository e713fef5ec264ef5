package oidc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"cambio/internal/jose"
)

// Step is one thing that was looked at of an issuer.
type Step struct {
	Name   string // what was looked at, such as "name" or "keys"
	OK     bool
	Note   string // what was found
	Advice string // what to do; empty when all is well
}

// Report is what a check of an issuer found. It names addresses: it is for
// whoever manages the issuer, not for callers of the token endpoint.
type Report struct {
	Issuer             string
	Steps              []Step
	Keys               []*jose.PublicKey // that tokens would be verified with
	Ignored            []jose.IgnoredKey
	CertificateExpires time.Time // the earliest of the TLS certificates met; zero: none was
}

// OK reports whether tokens of the issuer could be verified.
func (r *Report) OK() bool {
	for _, s := range r.Steps {
		if !s.OK {
			return false
		}
	}
	return true
}

// Differs reports whether the issuer publishes other keys than those of a JWK
// set, or fewer, or more. What is no key set differs.
func (r *Report) Differs(keySet string) bool {
	set, err := jose.ParseKeySet([]byte(keySet), math.MaxInt32)
	if err != nil {
		return true
	}
	thumbprints := func(keys []*jose.PublicKey) []string {
		var out []string
		for _, k := range keys {
			out = append(out, k.Thumbprint())
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	return !slices.Equal(thumbprints(set.Keys), thumbprints(r.Keys))
}

func (r *Report) add(name string, ok bool, note, advice string) bool {
	r.Steps = append(r.Steps, Step{name, ok, note, advice})
	return ok
}

// Check looks at an issuer from outside in with the client, the parsers and
// the rules that exchanges use: its URL, name, addresses, discovery document
// and keys. It stops where nothing further can be seen. It fails only if the
// configuration cannot be used.
func Check(ctx context.Context, config Config, issuer string) (*Report, error) {
	k, err := New(config)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	c := &checker{k: k, rules: k.rulesOf(issuer), report: &Report{Issuer: issuer}}
	c.run(ctx, issuer)
	return c.report, nil
}

// Documents fetches the discovery document and the key set of an issuer, as
// they are, with the client and the checks of Check. Errors: *FetchError,
// *URLError, or that the configuration cannot be used.
func Documents(ctx context.Context, config Config, issuer string) (discovery, keySet []byte, err error) {
	k, err := New(config)
	if err != nil {
		return nil, nil, err
	}
	defer k.Close()
	ctx, cancel := context.WithTimeout(ctx, k.config.HTTP.Timeout)
	defer cancel()
	e := newEntry(issuer, k.rulesOf(issuer), k.config.Cache)
	if refused := checkIssuer(issuer, e.rules.allowHTTP, e.rules.allowed); refused != nil {
		return nil, nil, refused
	}
	var uri string
	fail := k.fetch(ctx, e, Discovery, discoveryURL(issuer), func(document []byte, _ *FetchEvent) (failed *failure) {
		discovery = document
		uri, failed = parseDiscovery(document, issuer, e.rules)
		return failed
	})
	if fail == nil {
		fail = k.fetch(ctx, e, JWKS, uri, func(document []byte, _ *FetchEvent) *failure {
			keySet = document
			set, err := jose.ParseKeySet(document, e.rules.maxKeys)
			switch {
			case err != nil:
				return &failure{reason: ReasonKeySet, cause: err}
			case len(set.Keys) == 0:
				return &failure{reason: ReasonNoKeys}
			}
			return nil
		})
	}
	if fail != nil {
		return nil, nil, fail
	}
	return discovery, keySet, nil
}

type checker struct {
	k      *KeySets
	rules  *rules
	report *Report
}

func (c *checker) run(ctx context.Context, issuer string) {
	if err := checkIssuer(issuer, c.rules.allowHTTP, c.rules.allowed); err != nil {
		c.report.add("url", false, err.Message, "Use the iss claim of a token of this issuer, byte for byte. A private address is permitted with issuers.rules in the configuration, or --allow-address here.")
		return
	}
	c.report.add("url", true, issuer, "")
	document, ok := c.document(ctx, "discovery", discoveryURL(issuer))
	if !ok {
		return
	}
	uri, fail := parseDiscovery(document, issuer, c.rules)
	if fail != nil {
		c.report.add("discovery document", false, fail.reason.text()+because(fail), discoveryAdvice(fail.reason, document))
		return
	}
	c.report.add("discovery document", true, "its issuer is the same, byte for byte; jwks_uri is "+uri, "")
	if document, ok = c.document(ctx, "key set", uri); ok {
		c.keys(document)
	}
}

func because(f *failure) string {
	if f.cause == nil {
		return ""
	}
	return ": " + f.cause.Error()
}

// document looks at everything between here and a document.
func (c *checker) document(ctx context.Context, what, address string) ([]byte, bool) {
	ctx, cancel := context.WithTimeout(ctx, c.k.config.HTTP.Timeout)
	defer cancel()
	if !c.addresses(ctx, what, address) {
		return nil, false
	}
	document, response, fail := c.rules.client.answer(ctx, address)
	if response != nil && response.TLS != nil {
		c.certificate(what, response)
	}
	if fail != nil {
		note := fail.reason.text() + because(fail)
		if fail.status != 0 && fail.status != http.StatusOK {
			note = fmt.Sprintf("%s: status %d", fail.reason.text(), fail.status)
		}
		return nil, c.report.add(what+" answer", false, address+": "+note, fetchAdvice(fail))
	}
	kind := response.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(kind)
	if err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
		// It is accepted: some issuers serve files from object storage.
		return document, c.report.add(what+" answer", true, fmt.Sprintf("%s: status 200, %d bytes, but its content type is %q", address, len(document), kind), "Other relying parties may want application/json.")
	}
	return document, c.report.add(what+" answer", true, fmt.Sprintf("%s: status 200, %d bytes, %s", address, len(document), media), "")
}

// addresses resolves the host and asks which of its addresses may be dialled.
func (c *checker) addresses(ctx context.Context, what, address string) bool {
	if c.rules.proxied {
		return c.report.add(what+" address", true, "a proxy resolves and dials", "")
	}
	u, err := url.Parse(address)
	if err != nil {
		return c.report.add(what+" name", false, "not a URL", "Correct jwks_uri in the issuer's discovery document.")
	}
	ips := []netip.Addr{}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		ips = append(ips, ip)
	} else if ips, err = c.k.config.LookupNetIP(ctx, "ip", u.Hostname()); err != nil {
		var unknown *net.DNSError
		advice := "The resolver of this machine failed; try again, and look at /etc/resolv.conf."
		if errors.As(err, &unknown) && unknown.IsNotFound {
			advice = "The name does not exist for this machine's resolver. Look for a misspelling; an issuer that only another network knows is pinned or pushed."
		}
		return c.report.add(what+" name", false, err.Error(), advice)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	var seen, refused []string
	for _, ip := range ips {
		target, err := netip.ParseAddrPort(net.JoinHostPort(ip.Unmap().String(), port))
		if err != nil || !c.rules.allowed.permit(target) {
			refused = append(refused, ip.String())
		}
		seen = append(seen, ip.String())
	}
	note := u.Hostname() + " is " + strings.Join(seen, ", ")
	if len(refused) > 0 {
		return c.report.add(what+" address", false, note+"; not permitted: "+strings.Join(refused, ", "),
			"Private and special addresses are refused unless they are permitted for this issuer: issuers.rules in the configuration, allowAddresses of the managed issuer, or --allow-address here.")
	}
	return c.report.add(what+" address", true, note, "")
}

func (c *checker) certificate(what string, response *http.Response) {
	expires := response.TLS.PeerCertificates[0].NotAfter
	if c.report.CertificateExpires.IsZero() || expires.Before(c.report.CertificateExpires) {
		c.report.CertificateExpires = expires
	}
	advice := ""
	if left := expires.Sub(c.k.config.Clock()); left < 14*24*time.Hour {
		advice = "The certificate ends soon: see that it is renewed."
	}
	c.report.add(what+" TLS", true, "the certificate is trusted and ends at "+expires.UTC().Format(time.RFC3339), advice)
}

// keys reads the key set and says what of it is used.
func (c *checker) keys(document []byte) {
	set, err := jose.ParseKeySet(document, c.rules.maxKeys)
	if err != nil {
		c.report.add("keys", false, err.Error(), "The document at jwks_uri must be a JWK set: {\"keys\":[…]}.")
		return
	}
	c.report.Keys, c.report.Ignored = set.Keys, set.Ignored
	if len(set.Keys) == 0 {
		c.report.add("keys", false, "the set holds no usable signature key", "See the keys that are not used, and why. RSA from 2048 bits, P-256, P-384, P-521 and Ed25519 are.")
		return
	}
	c.report.add("keys", true, fmt.Sprintf("%d usable", len(set.Keys)), "")
	if len(set.Ignored) > 0 {
		c.report.add("keys not used", true, fmt.Sprintf("at least %d", len(set.Ignored)), "Tokens signed with one of these are refused.")
	}
	seen, twice := map[string]bool{}, map[string]bool{}
	for _, key := range set.Keys {
		twice[key.KeyID] = seen[key.KeyID]
		seen[key.KeyID] = true
		if twice[key.KeyID] {
			c.report.add("key ids", true, fmt.Sprintf("several keys have the kid %q", key.KeyID), "Each is tried, up to four. The issuer should give each key its own kid.")
		}
	}
	if seen[""] && len(set.Keys) > 1 {
		c.report.add("key ids", true, "a key has no kid, and there are others", "Tokens without kid are refused, for it cannot be told which key is meant.")
	}
}

func discoveryAdvice(reason Reason, document []byte) string {
	switch reason {
	case ReasonIssuerMismatch:
		return "The document must say the very issuer that tokens have as iss: compare case, port and a slash at the end. Register the issuer as tokens spell it."
	case ReasonJWKSURI, ReasonAddress:
		return "jwks_uri must be an https URL on a permitted address. Correct the issuer's configuration (for Kubernetes: --service-account-jwks-uri)."
	}
	if start := strings.TrimSpace(string(document[:min(len(document), 64)])); strings.HasPrefix(start, "<") {
		return "It is HTML: a login page, an error page or a proxy stands in between. The document must be readable without signing in."
	}
	return "The issuer must serve one JSON object there, without duplicate members."
}

func fetchAdvice(f *failure) string {
	switch f.reason {
	case ReasonTLS:
		return "Name the certificate authority (caCertificates of the managed issuer, ca_file in the configuration, or --ca-file here), or give the issuer a certificate for its name. TLS 1.2 at least."
	case ReasonUnreachable:
		return "Nothing listens there, or a firewall is in between. An issuer that cannot be reached from here is pinned or pushed."
	case ReasonTimeout:
		return "A firewall that drops packets looks like this, and so does a slow server. An issuer that cannot be reached from here is pinned or pushed."
	case ReasonRedirect:
		return "Redirects are not followed. Register the issuer that serves the document itself."
	case ReasonStatus:
		switch f.status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return "The document must be readable without signing in. For Kubernetes, bind system:service-account-issuer-discovery to system:unauthenticated, or pin the keys."
		case http.StatusNotFound:
			return "There is no document. Look for a misspelling, a missing path, or one too many."
		}
		return "The server answers with an error: its own log says why."
	case ReasonEncoding:
		return "The answer is compressed though it was asked not to be; turn that off for these two documents."
	case ReasonTooLarge:
		return "A document may have 1 MiB."
	}
	return "See the note."
}
