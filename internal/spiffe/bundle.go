// Package spiffe reads what SPIFFE trust domains publish and issue beside
// tokens: bundles.
package spiffe

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"time"

	"cambio/internal/jose"
	"cambio/internal/strictjson"

	"github.com/go-json-experiment/json"
)

// maxAuthorities bounds how many certificate authorities of a bundle are used,
// the first ones.
const maxAuthorities = 100

// Bundle is the SPIFFE bundle of one trust domain (SPIFFE Trust Domain and
// Bundle §4). It is immutable.
type Bundle struct {
	JWT         *jose.KeySet        // that JWT-SVIDs are verified with
	Authorities []*x509.Certificate // that X.509-SVIDs chain to
	RefreshHint time.Duration       // how often the trust domain wants to be asked; 0: it does not say
}

// ParseBundle reads a SPIFFE bundle of at most 1 MiB. Entries with a fault are
// skipped, as in a key set, and entries of a use that is not known, as the
// specification wants it.
func ParseBundle(doc []byte, maxKeys int) (*Bundle, error) {
	keys, err := jose.ParseBundleKeys(doc, maxKeys)
	if err != nil {
		return nil, err
	}
	document, err := strictjson.ParseObject(doc, strictjson.Document)
	if err != nil {
		return nil, err
	}
	entries, _, err := document.Array("keys")
	if err != nil {
		return nil, err
	}
	b := &Bundle{JWT: keys, RefreshHint: refreshHint(document)}
	for _, entry := range entries {
		if authority, err := readAuthority(entry); err == nil && len(b.Authorities) < maxAuthorities {
			b.Authorities = append(b.Authorities, authority)
		}
	}
	return b, nil
}

var errNoAuthority = errors.New("spiffe: not the certificate of a certificate authority for X.509-SVIDs")

// readAuthority reads the one certificate of an entry for X.509-SVIDs. The key
// beside it says nothing that the certificate does not.
func readAuthority(entry []byte) (*x509.Certificate, error) {
	jwk, err := strictjson.ParseObject(entry, strictjson.Document)
	if err != nil {
		return nil, err
	}
	if use, _, err := jwk.String("use"); err != nil || use != "x509-svid" {
		return nil, errNoAuthority
	}
	chain, _, err := jwk.Array("x5c")
	if err != nil || len(chain) != 1 {
		return nil, errNoAuthority
	}
	var text string
	if err := json.Unmarshal(chain[0], &text); err != nil {
		return nil, errNoAuthority
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errNoAuthority
	}
	authority, err := x509.ParseCertificate(der)
	if err != nil || !authority.BasicConstraintsValid || !authority.IsCA {
		return nil, errNoAuthority
	}
	return authority, nil
}

// refreshHint is in seconds; one that makes no sense is as good as none.
func refreshHint(document strictjson.Object) time.Duration {
	const longest = 7 * 24 * 3600
	seconds, present, err := document.Number("spiffe_refresh_hint")
	if err != nil || !present || seconds < 1 || seconds > longest {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}
