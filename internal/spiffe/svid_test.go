package spiffe_test

import (
	"crypto/x509"
	"net/url"
	"testing"
	"time"

	"cambio/internal/spiffe"
	authority "cambio/test/spiffe"
)

func TestX509SVID(t *testing.T) {
	a, err := authority.New("example.org")
	if err != nil {
		t.Fatal(err)
	}
	document, err := a.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := spiffe.ParseBundle(document, 100)
	if err != nil {
		t.Fatal(err)
	}
	id := a.ID("/ns/shop")
	for name, c := range map[string]struct {
		id     string
		change func(*x509.Certificate)
		after  time.Duration
		want   error
	}{
		"good":                        {id, nil, 0, nil},
		"without extended key usage":  {id, func(c *x509.Certificate) { c.ExtKeyUsage = nil }, 0, nil},
		"a common name beside":        {id, func(c *x509.Certificate) { c.Subject.CommonName = a.ID("/ns/other") }, 0, nil},
		"a DNS name beside":           {id, func(c *x509.Certificate) { c.DNSNames = []string{"api.example.org"} }, 0, nil},
		"another trust domain":        {"spiffe://example.com/ns/shop", nil, 0, nil},
		"no URI":                      {id, func(c *x509.Certificate) { c.URIs = nil }, 0, spiffe.ErrNoSPIFFEID},
		"two URIs":                    {id, func(c *x509.Certificate) { c.URIs = append(c.URIs, &url.URL{Scheme: "https", Host: "example.org"}) }, 0, spiffe.ErrNoSPIFFEID},
		"no path":                     {"spiffe://example.org", nil, 0, spiffe.ErrNoSPIFFEID},
		"a path that leads elsewhere": {"spiffe://example.org/a/../b", nil, 0, spiffe.ErrNoSPIFFEID},
		"may sign certificates":       {id, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }, 0, spiffe.ErrNoLeaf},
		"may not sign":                {id, func(c *x509.Certificate) { c.KeyUsage = 0 }, 0, spiffe.ErrNoSignature},
		"for code":                    {id, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }, 0, spiffe.ErrNoClient},
		"a minute before its end":     {id, nil, 59 * time.Minute, nil},
		"a minute after its end":      {id, nil, 61 * time.Minute, spiffe.ErrValidity},
		"before its begin":            {id, nil, -time.Minute, spiffe.ErrValidity},
		"the authority ended too":     {id, func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(48 * time.Hour) }, 25 * time.Hour, spiffe.ErrUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := a.X509SVID(c.id, c.change)
			if err != nil {
				t.Fatal(err)
			}
			svid, err := spiffe.ReadX509SVID([]*x509.Certificate{made.Leaf})
			if err == nil {
				err = svid.Verify(bundle.Authorities, time.Now().Add(c.after))
			}
			// The bundle at hand counts for the trust domain of the SVID: that it
			// is the right one is decided by who looks it up.
			if err != c.want {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	made, err := a.X509SVID(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	chain := make([]*x509.Certificate, 11)
	for i := range chain {
		chain[i] = made.Leaf
	}
	if _, err := spiffe.ReadX509SVID(chain); err != spiffe.ErrLongChain {
		t.Errorf("11 certificates: %v", err)
	}
	svid, err := spiffe.ReadX509SVID(chain[:1])
	if err != nil {
		t.Fatal(err)
	}
	if err := svid.Verify(nil, time.Now()); err != spiffe.ErrUntrusted {
		t.Errorf("without authorities: %v", err)
	}
}
