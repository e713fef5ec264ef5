// Package spiffe is a small SPIFFE authority for tests and for trying things
// out where SPIRE is not at hand: it speaks the Workload API on a unix socket,
// gives each user of the machine a SPIFFE ID, and publishes its bundle and an
// OIDC discovery document.
//
// It attests nothing but the user id of the process that calls: whoever may
// connect gets an identity. Nothing of it belongs into a production program.
package spiffe

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// keyID is the kid of the only key for JWT-SVIDs.
const keyID = "authority-1"

// Lifetimes as SPIRE has them unless told otherwise.
const (
	jwtLifetime  = 5 * time.Minute
	x509Lifetime = time.Hour
)

// Authority issues the SVIDs of one trust domain. Set Issuer before its first
// use.
type Authority struct {
	TrustDomain spiffeid.TrustDomain
	Issuer      string // iss of JWT-SVIDs and of the discovery document; empty: neither is there

	ca     *x509.Certificate
	caKey  *ecdsa.PrivateKey
	jwtKey *ecdsa.PrivateKey
}

// New makes an authority with new keys.
func New(trustDomain string) (*Authority, error) {
	td, err := spiffeid.TrustDomainFromString(trustDomain)
	if err != nil {
		return nil, err
	}
	a := &Authority{TrustDomain: td}
	if a.jwtKey, err = newKey(); err != nil {
		return nil, err
	}
	if a.caKey, err = newKey(); err != nil {
		return nil, err
	}
	template := certificate(24 * time.Hour)
	template.Subject = pkix.Name{Organization: []string{"SPIFFE authority for tests"}}
	template.URIs = []*url.URL{td.ID().URL()}
	template.IsCA, template.KeyUsage, template.ExtKeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
	a.ca, err = sign(template, template, &a.caKey.PublicKey, a.caKey)
	return a, err
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// certificate is the template of a leaf that is valid from now on.
func certificate(lifetime time.Duration) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-10 * time.Second), NotAfter: now.Add(lifetime),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
}

func sign(template, parent *x509.Certificate, key crypto.PublicKey, parentKey crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, parentKey)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// ID is the SPIFFE ID of a path.
func (a *Authority) ID(path string) string { return a.TrustDomain.IDString() + path }

// JWTSVID issues a JWT-SVID. change may be nil; it sees the claims before they
// are signed, and may break them.
func (a *Authority) JWTSVID(id string, audience []string, change func(claims map[string]any)) (string, error) {
	now := time.Now()
	claims := map[string]any{"sub": id, "aud": audience, "iat": now.Unix(), "exp": now.Add(jwtLifetime).Unix()}
	if a.Issuer != "" {
		claims["iss"] = a.Issuer
	}
	if change != nil {
		change(claims)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: a.jwtKey, KeyID: keyID}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

// X509SVID issues an X.509-SVID with its key. change may be nil; it sees the
// certificate before it is signed, and may break it.
func (a *Authority) X509SVID(id string, change func(*x509.Certificate)) (tls.Certificate, error) {
	name, err := url.Parse(id)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := certificate(x509Lifetime)
	template.URIs = []*url.URL{name}
	if change != nil {
		change(template)
	}
	key, err := newKey()
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := sign(template, a.ca, &key.PublicKey, a.caKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// Bundle is the trust domain's SPIFFE bundle.
func (a *Authority) Bundle() ([]byte, error) {
	b := spiffebundle.New(a.TrustDomain)
	b.AddX509Authority(a.ca)
	if err := b.AddJWTAuthority(keyID, &a.jwtKey.PublicKey); err != nil {
		return nil, err
	}
	b.SetRefreshHint(5 * time.Minute)
	b.SetSequenceNumber(1)
	return b.Marshal()
}

// Handler serves the bundle at /bundle, and with an Issuer what SPIRE's OIDC
// discovery provider serves.
func (a *Authority) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bundle", func(w http.ResponseWriter, _ *http.Request) {
		bundle, err := a.Bundle()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(bundle) // a caller that hangs up loses its answer
	})
	if a.Issuer == "" {
		return mux
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"issuer": a.Issuer, "jwks_uri": a.Issuer + "/keys", "authorization_endpoint": "", "response_types_supported": []string{"id_token"},
			"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256", "ES256", "ES384"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &a.jwtKey.PublicKey, KeyID: keyID, Algorithm: "ES256"}}})
	})
	return mux
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // likewise
}
