package floor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// Command is the first argument that makes the benchmark's program run Main
// instead of its own work.
const Command = "floor"

// Spec is what the floor must know to answer like the real server.
type Spec struct {
	Algorithm   string // RS256 or ES256
	KeySet      []byte // of the issuer of the assertions
	Issuer      string
	TrustFile   string // JSON: a list of {"ID", "Subject"}, the clients
	Audience    string
	SampleToken string // an access token of the real server
	SampleReply []byte // the reply that it came in
	CAFile      string // where to write the certificate
}

// Ready is the line that the floor writes once it serves.
type Ready struct{ URL string }

// Main is the floor's process: args holds a Spec. It serves until the process
// is ended.
func Main(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: floor SPEC")
	}
	var s Spec
	if err := json.Unmarshal([]byte(args[0]), &s); err != nil {
		return err
	}
	x, err := newExchanger(&s)
	if err != nil {
		return err
	}
	certificate, err := newCertificate(s.CAFile)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(Ready{URL: "https://" + listener.Addr().String() + "/token"}); err != nil {
		return err
	}
	server := http.Server{Handler: x, ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}}
	return server.ServeTLS(listener, "", "")
}

// Header values of the real server's replies, so that as many bytes are sent.
var fixedHeader = http.Header{
	"Content-Type":              {"application/json; charset=utf-8"},
	"Cache-Control":             {"no-store, no-cache"},
	"Pragma":                    {"no-cache"},
	"X-Content-Type-Options":    {"nosniff"},
	"Strict-Transport-Security": {"max-age=31536000"},
	"X-Ms-Request-Id":           {"00000000-0000-4000-8000-000000000000"},
}

// ServeHTTP answers one exchange.
func (x *exchanger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	reply, err := x.exchange(form.Get("client_assertion"), form.Get("client_id"))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	header := w.Header()
	for name, value := range fixedHeader {
		header[name] = value
	}
	_, _ = w.Write(reply) // the generator sees what is missing
}

func newExchanger(s *Spec) (*exchanger, error) {
	x := &exchanger{audience: s.Audience, buffers: sync.Pool{New: func() any { b := make([]byte, maxToken); return &b }}}
	var err error
	if x.verifying, err = rsaKeys(s.KeySet); err != nil {
		return nil, err
	}
	parts := strings.Split(s.SampleToken, ".")
	if len(parts) != 3 {
		return nil, errors.New("the sample is no token")
	}
	payload, err := b64.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(payload, &x.claims); err != nil {
		return nil, err
	}
	x.header = parts[0]
	x.before, x.after, _ = strings.Cut(string(s.SampleReply), s.SampleToken)
	raw, err := os.ReadFile(s.TrustFile)
	if err != nil {
		return nil, err
	}
	var clients []struct{ ID, Subject string }
	if err := json.Unmarshal(raw, &clients); err != nil {
		return nil, err
	}
	x.trust = make(map[trusted]string, len(clients))
	for _, c := range clients {
		x.trust[trusted{c.ID, s.Issuer, c.Subject}] = x.claims.Object
	}
	if x.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if s.Algorithm == "RS256" {
		x.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	return x, err
}

// rsaKeys reads the RSA keys of a key set (RFC 7517).
func rsaKeys(set []byte) (map[string]*rsa.PublicKey, error) {
	var document struct {
		Keys []struct{ Kty, Kid, N, E string }
	}
	if err := json.Unmarshal(set, &document); err != nil {
		return nil, err
	}
	keys := map[string]*rsa.PublicKey{}
	for _, k := range document.Keys {
		if k.Kty != "RSA" {
			continue
		}
		n, err1 := b64.DecodeString(k.N)
		e, err2 := b64.DecodeString(k.E)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		keys[k.Kid] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("the key set has no RSA key: %.200s", set)
	}
	return keys, nil
}

// newCertificate makes a certificate of the kind that the development server
// has, and writes it for the generator.
func newCertificate(file string) (tls.Certificate, error) {
	keyFile := file + ".key"
	if err := WriteCertificate(file, keyFile); err != nil {
		return tls.Certificate{}, err
	}
	return tls.LoadX509KeyPair(file, keyFile)
}

// WriteCertificate makes a certificate for 127.0.0.1, which is its own
// authority, and writes it and its key.
func WriteCertificate(file, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}
