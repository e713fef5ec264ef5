package spiffe

import (
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// maxChain bounds how many certificates a client may present.
const maxChain = 10

// What is wrong with an X.509-SVID. The texts are safe to show.
var (
	ErrNoSPIFFEID  = errors.New("the certificate does not have exactly one URI as its subject alternative name, a SPIFFE ID with a path")
	ErrNoLeaf      = errors.New("the certificate is that of a certificate authority, or may sign others")
	ErrNoSignature = errors.New("the certificate lacks the key usage digitalSignature")
	ErrNoClient    = errors.New("the extended key usage of the certificate does not have client authentication")
	ErrLongChain   = errors.New("there are more than 10 certificates")
	ErrUntrusted   = errors.New("the certificate does not chain to a certificate authority of its trust domain")
	ErrValidity    = errors.New("the certificate is expired, or not yet valid")
)

// X509SVID is a client's certificate with its chain that has the form of an
// X.509-SVID (X509-SVID §2 to §4). Nothing of it is proven before Verify.
type X509SVID struct {
	ID          string // SPIFFE ID of a workload
	TrustDomain string // spiffe://NAME
	Leaf        *x509.Certificate

	chain []*x509.Certificate
}

// ReadX509SVID checks the form of what a client presented in TLS, leaf first:
// at least one certificate.
func ReadX509SVID(chain []*x509.Certificate) (*X509SVID, error) {
	if len(chain) > maxChain {
		return nil, ErrLongChain
	}
	leaf := chain[0]
	id, err := x509svid.IDFromCert(leaf)
	switch {
	case err != nil || id.Path() == "":
		return nil, ErrNoSPIFFEID
	case leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return nil, ErrNoLeaf
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, ErrNoSignature
	case !forClients(leaf):
		return nil, ErrNoClient
	}
	return &X509SVID{id.String(), id.TrustDomain().IDString(), leaf, chain}, nil
}

// forClients: a certificate without extended key usage is for everything
// (RFC 5280 §4.2.1.12).
func forClients(leaf *x509.Certificate) bool {
	return len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0 ||
		slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// Verify checks that the chain leads to one of the certificate authorities of
// the SVID's trust domain, and that it is valid now. The certificate
// authorities of the system count for nothing. Errors: ErrUntrusted,
// ErrValidity.
func (s *X509SVID) Verify(authorities []*x509.Certificate, now time.Time) error {
	td, err := spiffeid.TrustDomainFromString(s.TrustDomain)
	if err != nil {
		return ErrUntrusted
	}
	_, _, err = x509svid.Verify(s.chain, x509bundle.FromX509Authorities(td, authorities), x509svid.WithTime(now))
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert == s.Leaf:
		return ErrValidity
	}
	return ErrUntrusted
}
