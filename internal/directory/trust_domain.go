package directory

import (
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// IsTrustDomain reports whether an issuer is a SPIFFE trust domain, written as
// spiffe://NAME. The keys of one are in its bundle; there is nothing to
// discover.
func IsTrustDomain(issuer string) bool {
	td, err := spiffeid.TrustDomainFromString(issuer)
	return err == nil && td.IDString() == issuer
}

// TrustDomainOf returns the trust domain of a workload's SPIFFE ID, as an
// issuer is written; false if the text is no such SPIFFE ID.
func TrustDomainOf(id string) (issuer string, ok bool) {
	if !strings.HasPrefix(id, "spiffe://") {
		return "", false // most subjects
	}
	parsed, err := spiffeid.FromString(id)
	if err != nil || parsed.Path() == "" {
		return "", false
	}
	return parsed.TrustDomain().IDString(), true
}

// checkTrustDomain: a trust domain vouches for its own SPIFFE IDs alone.
func checkTrustDomain(c *FederatedIdentityCredential, level Compat) error {
	if !IsTrustDomain(c.Issuer) {
		return nil
	}
	if level == Strict {
		return Errorf(Invalid, "issuer", "issuer must be an https URL in a strict tenant. A SPIFFE trust domain is taken in relaxed tenants.")
	}
	if td, ok := TrustDomainOf(c.Subject); c.Subject != "" && (!ok || td != c.Issuer) {
		return Errorf(Invalid, "subject", "subject must be a SPIFFE ID of the trust domain that is the issuer, as %s/ns/shop/sa/api.", c.Issuer)
	}
	return nil
}
