package server

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

func stack() string { return string(debug.Stack()) }

// NewHTTPServer bounds what a connection may cost: headers in 10 s, a request
// in 10 s, 32 KiB of headers, a hundred requests at a time over HTTP/2.
func NewHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    32 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 100},
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// AskForCertificates makes a listener ask clients for a certificate. One is not
// required, and nothing is checked of it but that the client has its key: whom
// it authenticates is decided where it counts.
func AskForCertificates(c *tls.Config) { c.ClientAuth = tls.RequestClientCert }

// CertificateFiles is a TLS certificate that is read again when its file
// changes, so that a renewal needs no restart. It is safe for concurrent use.
type CertificateFiles struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	modTime time.Time // of certFile when current was read
	checked time.Time
}

// LoadCertificate reads a certificate and its key.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*CertificateFiles, error) {
	c := &CertificateFiles{certFile: certFile, keyFile: keyFile, log: log}
	return c, c.read()
}

func (c *CertificateFiles) read() error {
	info, err := os.Stat(c.certFile)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.current, c.modTime = &pair, info.ModTime()
	return nil
}

// Expiry is when the certificate that is served expires.
func (c *CertificateFiles) Expiry() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current.Leaf.NotAfter
}

// Config is a TLS configuration that serves the certificate.
func (c *CertificateFiles) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// get looks at the file at most every ten seconds. A certificate that cannot
// be read leaves the old one in place.
func (c *CertificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) > 10*time.Second {
		c.checked = now
		if info, err := os.Stat(c.certFile); err == nil && !info.ModTime().Equal(c.modTime) {
			if err := c.read(); err != nil {
				c.log.Error("the new certificate cannot be read; the old one stays", "file", c.certFile, "error", err)
			}
		}
	}
	return c.current, nil
}
