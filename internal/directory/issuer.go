package directory

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"cambio/internal/jose"
)

// How the keys of a managed issuer are had.
const (
	IssuerDiscover = "discover" // fetched, as those of an issuer that is not managed
	IssuerPin      = "pin"      // uploaded by an administrator
	IssuerPush     = "push"     // sent by an application beside the issuer
	IssuerBundle   = "bundle"   // fetched from a SPIFFE bundle endpoint
)

// Limits of managed issuers.
const (
	MaxManagedIssuers   = 500       // of a tenant
	MaxIssuerKeySet     = 256 << 10 // bytes of a key set that is pinned or pushed
	MaxIssuerBytes      = 4 << 20   // bytes of key sets and settings of all issuers of a tenant: its record is in memory
	MaxIssuerCABytes    = 64 << 10  // bytes of PEM
	MaxIssuerAddresses  = 32
	MaxIssuerKeys       = 1000
	DefaultIssuerKeys   = 100            // keys of a set that is pinned or pushed
	DefaultPushedMaxAge = 24 * time.Hour // of keys that were pushed
)

// Issuer is an identity provider that a tenant manages. Its name is compared
// byte for byte with the iss of tokens.
type Issuer struct {
	ID       string
	TenantID string
	Issuer   string
	IssuerSettings
	KeySet    string    // JWK set (RFC 7517) of the modes pin and push; empty: none yet
	KeysAt    time.Time // when KeySet was uploaded or pushed last; zero: never
	CreatedAt time.Time
}

// IssuerSettings is what an administrator decides of an issuer.
type IssuerSettings struct {
	Description    string
	Mode           string
	Algorithms     []string // JWS algorithms that its tokens may use; empty: those of the tenant
	MaxKeys        int      // of its keys, the first ones are used; 0: as configured, 100 unless said otherwise
	CACertificates string   // PEM of further certificate authorities for its documents
	AllowAddresses []string // CIDR: private addresses that it may be on, as far as the operator lets tenants permit them
	BundleEndpoint string   // https URL of the trust domain's SPIFFE bundle, of the mode bundle
	Proxy          string   // name of the operator's proxy that its documents are fetched through; empty: none
	PushedBy       string   // appId of the application that may push its keys
	MaxAgeSeconds  int      // for how long pushed keys are used after they were pushed; 0: DefaultPushedMaxAge
	ApproveKeys    bool     // a key is used only when it was approved
	ApprovedKeys   []string // JWK thumbprints (RFC 7638)
}

// MaxAge is for how long keys are used after they were pushed.
func (s *IssuerSettings) MaxAge() time.Duration {
	if s.MaxAgeSeconds == 0 {
		return DefaultPushedMaxAge
	}
	return time.Duration(s.MaxAgeSeconds) * time.Second
}

// ValidateIssuer checks every value of a managed issuer that is about to be
// stored. allowed decides whether the issuer may be contacted; delegated is
// what the operator lets tenants decide.
func ValidateIssuer(i *Issuer, allowed func(issuer string) error, delegated Delegated) error {
	if err := checkIssuer(i.Issuer, allowed); err != nil {
		return err
	}
	if err := checkText("description", i.Description, 0, MaxDescription); err != nil {
		return err
	}
	if !slices.Contains([]string{IssuerDiscover, IssuerPin, IssuerPush, IssuerBundle}, i.Mode) {
		return Errorf(Invalid, "mode", "mode must be 'discover', 'pin', 'push' or 'bundle'.")
	}
	if err := i.checkBundle(allowed); err != nil {
		return err
	}
	if i.MaxKeys < 0 || i.MaxKeys > MaxIssuerKeys {
		return Errorf(Invalid, "maxKeys", "maxKeys must be between 0 and %d; 0 leaves it to the server.", MaxIssuerKeys)
	}
	for _, alg := range i.Algorithms {
		if !jose.Algorithm(alg).Valid() {
			return Errorf(Invalid, "algorithms", "algorithms: '%s' is not supported. Use RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA.", alg)
		}
	}
	if err := i.checkTransport(delegated); err != nil {
		return err
	}
	if err := i.checkPush(); err != nil {
		return err
	}
	return i.checkApproved()
}

// checkBundle: a trust domain has no documents but its bundle.
func (i *Issuer) checkBundle(allowed func(issuer string) error) error {
	switch {
	case i.Mode != IssuerBundle && IsTrustDomain(i.Issuer):
		return Errorf(Invalid, "mode", "mode must be 'bundle' for a SPIFFE trust domain, with bundleEndpoint: nothing else tells its keys.")
	case i.Mode != IssuerBundle && i.BundleEndpoint != "":
		return Errorf(Invalid, "bundleEndpoint", "bundleEndpoint has a meaning in the mode bundle only.")
	case i.Mode != IssuerBundle:
		return nil
	case i.BundleEndpoint == "" || len(i.BundleEndpoint) > MaxIssuer || IsTrustDomain(i.BundleEndpoint) || IsIssuerSetReference(i.BundleEndpoint):
		return Errorf(Invalid, "bundleEndpoint", "bundleEndpoint is required in the mode bundle: the https URL of the trust domain's SPIFFE bundle.")
	}
	if err := allowed(i.BundleEndpoint); err != nil {
		return Errorf(Invalid, "bundleEndpoint", "bundleEndpoint: %v", err)
	}
	return nil
}

// Delegated is what the operator lets tenants decide of the issuers that they
// manage. The zero value is nothing.
type Delegated struct {
	Addresses []netip.Prefix // private addresses that they may permit
	Proxies   []string       // names of proxies that they may choose
}

func (i *Issuer) checkTransport(delegated Delegated) error {
	if i.Proxy != "" && !slices.Contains(delegated.Proxies, i.Proxy) {
		return Errorf(Invalid, "proxy", "proxy: the server has no proxy of the name '%s' for issuers. The operator of the server names them with issuers.proxies.", i.Proxy)
	}
	if len(i.CACertificates) > MaxIssuerCABytes {
		return Errorf(Invalid, "caCertificates", "caCertificates must not be longer than %d bytes.", MaxIssuerCABytes)
	}
	if block, _ := pem.Decode([]byte(i.CACertificates)); i.CACertificates != "" && (block == nil || block.Type != "CERTIFICATE") {
		return Errorf(Invalid, "caCertificates", "caCertificates must be PEM with certificates of certificate authorities.")
	}
	if len(i.AllowAddresses) > MaxIssuerAddresses {
		return Errorf(Invalid, "allowAddresses", "allowAddresses must hold at most %d ranges.", MaxIssuerAddresses)
	}
	for _, text := range i.AllowAddresses {
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() {
			return Errorf(Invalid, "allowAddresses", "allowAddresses: '%s' is not an address range in CIDR notation, such as 10.1.0.0/16.", text)
		}
		if !within(p, delegated.Addresses) {
			return Errorf(Invalid, "allowAddresses", "allowAddresses: '%s' is not among what tenants may permit. The operator of the server says so with issuers.tenant_addresses.", text)
		}
	}
	return nil
}

func within(p netip.Prefix, ranges []netip.Prefix) bool {
	return slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Bits() <= p.Bits() && r.Contains(p.Addr()) })
}

// Permitted are the addresses that the issuer may be on, of those that
// operators let tenants permit today.
func (s *IssuerSettings) Permitted(delegated []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range s.AllowAddresses {
		if p, err := netip.ParsePrefix(text); err == nil && within(p, delegated) {
			out = append(out, p)
		}
	}
	return out
}

func (i *Issuer) checkPush() error {
	switch {
	case i.Mode == IssuerPush && !IsGUID(i.PushedBy):
		return Errorf(Invalid, "pushedBy", "pushedBy is required in the mode push: the client id of the application that sends the keys.")
	case i.Mode != IssuerPush && i.PushedBy != "":
		return Errorf(Invalid, "pushedBy", "pushedBy has a meaning in the mode push only.")
	case i.MaxAgeSeconds < 0 || i.MaxAgeSeconds > 30*24*3600:
		return Errorf(Invalid, "maxAgeSeconds", "maxAgeSeconds must be between 0 and 2592000, 30 days; 0 stands for a day.")
	case i.Mode == IssuerPin && i.KeySet == "":
		return Errorf(Invalid, "keySet", "keySet is required in the mode pin: the issuer's JWK set.")
	case (i.Mode == IssuerDiscover || i.Mode == IssuerBundle) && i.KeySet != "":
		return Errorf(Invalid, "keySet", "keySet has no meaning in the mode %s; use the mode pin.", i.Mode)
	}
	if i.KeySet == "" {
		return nil
	}
	return CheckKeySet(i.KeySet)
}

// CheckKeySet refuses a JWK set that is pinned or pushed and cannot be used:
// it is too large, is none, or has no usable key.
func CheckKeySet(text string) error {
	if len(text) > MaxIssuerKeySet {
		return Errorf(Invalid, "keySet", "keySet must not be longer than %d bytes.", MaxIssuerKeySet)
	}
	set, err := jose.ParseKeySet([]byte(text), MaxIssuerKeys)
	if err != nil {
		return Errorf(Invalid, "keySet", "keySet is not a JWK set (RFC 7517 section 5): %s.", err)
	}
	if len(set.Keys) == 0 {
		reason := "it is empty"
		if len(set.Ignored) > 0 {
			reason = set.Ignored[0].Reason
		}
		return Errorf(Invalid, "keySet", "keySet holds no usable signature key: %s.", reason)
	}
	return nil
}

func (i *Issuer) checkApproved() error {
	if len(i.ApprovedKeys) > MaxIssuerKeys {
		return Errorf(Invalid, "approvedKeys", "approvedKeys must hold at most %d thumbprints.", MaxIssuerKeys)
	}
	for _, thumbprint := range i.ApprovedKeys {
		if raw, err := base64.RawURLEncoding.DecodeString(thumbprint); err != nil || len(raw) != sha256.Size {
			return Errorf(Invalid, "approvedKeys", "approvedKeys: '%s' is not a JWK thumbprint (RFC 7638, SHA-256); `cambio issuer keys` shows them.", thumbprint)
		}
	}
	return nil
}

// IssuerRecord is a managed issuer as the token path sees it. Immutable.
type IssuerRecord struct {
	Issuer
	Keys  *jose.KeySet // of the modes pin and push
	Terms string       // names what is particular about how its documents are fetched; empty: nothing

	approved map[string]bool // thumbprints; nil: every key
}

// Compile makes the record. A stored key set that cannot be read any more is
// an empty one.
func (i Issuer) Compile() *IssuerRecord {
	r := &IssuerRecord{Issuer: i, Keys: jose.NewKeySet(nil)}
	if i.KeySet != "" {
		limit := i.MaxKeys
		if limit == 0 {
			limit = DefaultIssuerKeys
		}
		if set, err := jose.ParseKeySet([]byte(i.KeySet), limit); err == nil {
			r.Keys = set
		}
	}
	if i.ApproveKeys {
		r.approved = make(map[string]bool, len(i.ApprovedKeys))
		for _, thumbprint := range i.ApprovedKeys {
			r.approved[thumbprint] = true
		}
	}
	if i.CACertificates != "" || len(i.AllowAddresses) > 0 || i.MaxKeys > 0 || i.Proxy != "" || i.BundleEndpoint != "" {
		h := sha256.New()
		for _, part := range append([]string{i.Issuer, i.CACertificates, i.Proxy, i.BundleEndpoint, strconv.Itoa(i.MaxKeys)}, i.AllowAddresses...) {
			h.Write([]byte(part))
			h.Write([]byte{0})
		}
		r.Terms = i.Issuer + " " + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	}
	return r
}

// Stored reports whether the issuer's keys are those of the record.
func (r *IssuerRecord) Stored() bool { return r.Mode == IssuerPin || r.Mode == IssuerPush }

// Accepts reports whether the issuer's tokens may use an algorithm.
func (r *IssuerRecord) Accepts(alg string) bool {
	return len(r.Algorithms) == 0 || slices.Contains(r.Algorithms, alg)
}

// Approved leaves out the keys that wait for approval.
func (r *IssuerRecord) Approved(keys []*jose.PublicKey) []*jose.PublicKey {
	if r.approved == nil {
		return keys
	}
	return slices.DeleteFunc(slices.Clone(keys), func(k *jose.PublicKey) bool { return !r.approved[k.Thumbprint()] })
}

// Bytes estimates the memory that the record holds.
func (r *IssuerRecord) Bytes() int {
	return 1024 + 3*len(r.KeySet) + len(r.CACertificates) + 64*len(r.ApprovedKeys)
}
