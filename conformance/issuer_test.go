package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// issuerServer is one https listener on loopback that serves any number of
// issuers, each under a path of its own.
type issuerServer struct {
	caFile string
	base   string

	mu     sync.Mutex
	byPath map[string]*issuer // guarded by mu
}

// issuer is an OIDC issuer whose behaviour a script can change.
type issuer struct {
	url  string
	path string
	keys []issuerKey // fixed

	mu        sync.Mutex
	behaviour string          // guarded by mu; see behaviours
	withdrawn map[string]bool // guarded by mu: key ids that are not published
	fetched   map[string]int  // guarded by mu: "discovery", "keys" → requests
}

// issuerKey is a key of an issuer. Fillers share one RSA key.
type issuerKey struct {
	kid     string
	private crypto.Signer
}

// behaviours of an issuer, besides "well".
var behaviours = []string{"well", "down", "redirect", "not-json", "wrong-issuer", "no-jwks-uri", "status-404", "status-500", "keys-down", "keys-redirect", "keys-not-json", "keys-status-500"}

// newIssuerServer starts the listener. Its CA is read from dir, or made there.
func newIssuerServer(dir string) (*issuerServer, error) {
	s := &issuerServer{caFile: filepath.Join(dir, "issuer-ca.pem"), byPath: map[string]*issuer{}}
	ca, key, err := loadCA(dir)
	if err != nil {
		return nil, err
	}
	leaf, err := newLeaf(ca, key)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.base = "https://" + listener.Addr().String()
	server := &http.Server{
		Handler: s, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS12},
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	return s, nil
}

// loadCA reads issuer-ca.pem and issuer-ca.key of dir, or makes them.
func loadCA(dir string) (*x509.Certificate, crypto.Signer, error) {
	certFile, keyFile := filepath.Join(dir, "issuer-ca.pem"), filepath.Join(dir, "issuer-ca.key")
	if _, err := os.Stat(certFile); errors.Is(err, os.ErrNotExist) {
		if err := makeCA(dir, certFile, keyFile); err != nil {
			return nil, nil, err
		}
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, nil, err
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("%s holds no signing key", keyFile)
	}
	return cert, signer, nil
}

func makeCA(dir, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "conformance issuers"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

func newLeaf(ca *x509.Certificate, caKey crypto.Signer) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "conformance issuer"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// add makes an issuer with the given keys that behaves well.
func (s *issuerServer) add(keys []issuerKey) *issuer {
	path := "/i/" + strings.ToLower(rand.Text())
	is := &issuer{url: s.base + path, path: path, keys: keys, behaviour: "well", withdrawn: map[string]bool{}, fetched: map[string]int{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byPath[path] = is
	return is
}

// ServeHTTP finds the issuer by the first two segments of the path.
func (s *issuerServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, rest := r.URL.Path, ""
	if seg := strings.SplitN(path, "/", 4); len(seg) == 4 {
		path, rest = "/"+seg[1]+"/"+seg[2], seg[3]
	}
	s.mu.Lock()
	is := s.byPath[path]
	s.mu.Unlock()
	if is == nil {
		http.NotFound(w, r)
		return
	}
	switch strings.TrimPrefix(rest, "moved/") {
	case ".well-known/openid-configuration":
		is.serve(w, r, "discovery", is.document())
	case "keys":
		is.serve(w, r, "keys", is.keySet())
	default:
		http.NotFound(w, r)
	}
}

// serve answers with a document, or as the behaviour has it. Whatever stands
// under moved/ is in order, so that a client which follows redirects shows.
func (is *issuer) serve(w http.ResponseWriter, r *http.Request, document string, body any) {
	is.mu.Lock()
	is.fetched[document]++
	behaviour := is.behaviour
	is.mu.Unlock()
	if document == "keys" {
		var ofKeys bool
		if behaviour, ofKeys = strings.CutPrefix(behaviour, "keys-"); !ofKeys {
			behaviour = "well"
		}
	}
	if strings.Contains(r.URL.Path, "/moved/") {
		behaviour = "well"
	}
	w.Header().Set("Content-Type", "application/json")
	switch behaviour {
	case "down":
		panic(http.ErrAbortHandler)
	case "redirect":
		_, rest, _ := strings.Cut(r.URL.Path, is.path)
		w.Header().Set("Location", is.url+"/moved"+rest)
		w.WriteHeader(http.StatusFound)
	case "not-json":
		_, _ = io.WriteString(w, `{"issuer":`)
	case "status-404":
		http.NotFound(w, r)
	case "status-500":
		http.Error(w, "{}", http.StatusInternalServerError)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(text)
	}
}

func (is *issuer) document() map[string]any {
	doc := map[string]any{
		"issuer": is.url, "jwks_uri": is.url + "/keys", "response_types_supported": []string{"id_token"},
		"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
	}
	is.mu.Lock()
	defer is.mu.Unlock()
	switch is.behaviour {
	case "wrong-issuer":
		doc["issuer"] = is.url + "/other"
	case "no-jwks-uri":
		delete(doc, "jwks_uri")
	}
	return doc
}

func (is *issuer) keySet() map[string]any {
	is.mu.Lock()
	defer is.mu.Unlock()
	keys := []map[string]any{}
	for _, k := range is.keys {
		if !is.withdrawn[k.kid] {
			keys = append(keys, publicJWK(k))
		}
	}
	return map[string]any{"keys": keys}
}

func publicJWK(k issuerKey) map[string]any {
	jwk := map[string]any{"use": "sig", "kid": k.kid}
	enc := base64.RawURLEncoding.EncodeToString
	switch pub := k.private.Public().(type) {
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", enc(pub.N.Bytes()), enc(big.NewInt(int64(pub.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			panic(err)
		}
		half := (len(point) - 1) / 2
		jwk["kty"], jwk["crv"] = "EC", pub.Curve.Params().Name
		jwk["x"], jwk["y"] = enc(point[1:1+half]), enc(point[1+half:])
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", enc(pub)
	}
	return jwk
}

// behave changes the behaviour from the next request on.
func (is *issuer) behave(how string) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.behaviour = how
}

// publish withdraws a key from the key set, or puts it back.
func (is *issuer) publish(kid string, published bool) {
	is.mu.Lock()
	defer is.mu.Unlock()
	is.withdrawn[kid] = !published
}

// fetches counts the requests for a document so far.
func (is *issuer) fetches(document string) int {
	is.mu.Lock()
	defer is.mu.Unlock()
	return is.fetched[document]
}
