package workload

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"time"

	"golang.org/x/net/http/httpproxy"

	"cambio/internal/strictjson"
)

// Bounds of a request and its repetitions.
const (
	attempts       = 4
	firstPause     = 500 * time.Millisecond // doubled each time
	longestPause   = 30 * time.Second       // whatever Retry-After says
	requestTimeout = 2 * time.Minute        // with all repetitions
	answerTimeout  = 20 * time.Second       // of one attempt
	maxAnswer      = 1 << 20                // bytes
)

// NewHTTPClient makes a client that uses the proxies of the environment
// (HTTPS_PROXY, NO_PROXY; never for metadata servers), trusts the certificate
// authorities in the PEM file beside the system's, and repeats a request after
// a pause when the server is busy or the connection fails. No redirect is
// followed. caFile may be empty. The error is a *SettingsError.
func NewHTTPClient(caFile string) (*http.Client, error) {
	var roots *x509.CertPool
	if caFile != "" {
		var err error
		if roots, err = x509.SystemCertPool(); err != nil {
			return nil, err
		}
		if err := appendFile(roots, caFile); err != nil {
			return nil, err
		}
	}
	return newHTTPClient(roots), nil
}

// newAuthorityClient trusts the file's certificate authorities only, if there
// is one.
func newAuthorityClient(caFile string) (*http.Client, error) {
	if caFile == "" {
		return newHTTPClient(nil), nil
	}
	roots := x509.NewCertPool()
	if err := appendFile(roots, caFile); err != nil {
		return nil, err
	}
	return newHTTPClient(roots), nil
}

func appendFile(roots *x509.CertPool, file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return Settingsf("the file of certificate authorities cannot be read: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return Settingsf("%s holds no certificate in PEM form", file)
	}
	return nil
}

func newHTTPClient(roots *x509.CertPool) *http.Client {
	transport := &http.Transport{
		Proxy: proxies(), TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: answerTimeout,
		MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute,
	}
	return &http.Client{Transport: &retrying{transport, pause}, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// proxies are those of the environment, but none for metadata servers, which
// are on the machine itself.
func proxies() func(*http.Request) (*url.URL, error) {
	proxy := httpproxy.FromEnvironment().ProxyFunc()
	return func(r *http.Request) (*url.URL, error) {
		host := r.URL.Hostname()
		if ip, err := netip.ParseAddr(host); host == "metadata.google.internal" || err == nil && ip.IsLinkLocalUnicast() {
			return nil, nil
		}
		return proxy(r.URL)
	}
}

// retrying repeats requests. All requests of this package may be repeated:
// they obtain tokens and change nothing.
type retrying struct {
	base  http.RoundTripper
	pause func(context.Context, time.Duration) error
}

// RoundTrip is [http.RoundTripper].
func (t *retrying) RoundTrip(r *http.Request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		resp, err := t.base.RoundTrip(r)
		if attempt == attempts || !worthRepeating(resp, err) || r.Body != nil && r.GetBody == nil {
			return resp, err
		}
		wait := backoff(attempt)
		if resp != nil {
			wait = retryAfter(resp.Header, wait)
			_ = resp.Body.Close() // it is of no use
		}
		if paused := t.pause(r.Context(), wait); paused != nil {
			return nil, errors.Join(err, paused)
		}
		if r.GetBody != nil {
			r = r.Clone(r.Context())
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

func worthRepeating(resp *http.Response, err error) bool {
	if err != nil {
		var certificate *tls.CertificateVerificationError
		var missing *net.DNSError
		final := errors.As(err, &certificate) || errors.As(err, &missing) && missing.IsNotFound || errors.Is(err, context.Canceled)
		return !final
	}
	return resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented
}

// backoff is a random pause, so that many jobs which failed together do not
// return together.
func backoff(attempt int) time.Duration {
	longest := firstPause << (attempt - 1)
	return longest/2 + rand.N(longest/2)
}

// retryAfter is what the server asks for (RFC 9110 §10.2.3), with some jitter.
func retryAfter(h http.Header, otherwise time.Duration) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds <= 0 {
		return otherwise
	}
	wait := time.Duration(min(seconds, int(longestPause/time.Second))) * time.Second
	return wait + rand.N(firstPause)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// platformRequest asks a platform's endpoint for a token.
type platformRequest struct {
	platform, method, url string
	header                http.Header
	body                  []byte
	member                string         // of the answer, that holds the token; empty: the answer is the token
	hints                 map[int]string // by status: what is missing
}

func askPlatform(ctx context.Context, e Environment, p platformRequest) (string, error) {
	client, err := e.Client()
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, p.method, p.url, bytes.NewReader(p.body))
	if err != nil {
		return "", Settingsf("%s: the address of the token endpoint is no URL", p.platform)
	}
	req.Header = p.header
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("%s gave no token: its endpoint cannot be reached: %w", p.platform, unwrapURL(err))
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("%s gave no token: %w", p.platform, err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return "", &PlatformError{Platform: p.platform, Status: resp.StatusCode, Hint: p.hints[resp.StatusCode], Answer: excerpt(raw)}
	}
	if p.member == "" {
		return oneToken(raw, "the answer of "+p.platform)
	}
	answer, err := strictjson.ParseObject(raw, strictjson.Document)
	if err != nil {
		return "", fmt.Errorf("%s gave no token: its answer is not JSON: %w", p.platform, err)
	}
	token, _, err := answer.String(p.member)
	if err != nil {
		return "", fmt.Errorf("%s gave no token: %w", p.platform, err)
	}
	return oneToken([]byte(token), "the member "+p.member+" in the answer of "+p.platform)
}

// PlatformError is a platform's refusal to give a token.
type PlatformError struct {
	Platform string
	Status   int    // of HTTP; 0: it was not refused over HTTP
	Hint     string // what is missing, if that is known
	Answer   string // the beginning of the answer
}

func (e *PlatformError) Error() string {
	text := e.Platform + " gave no token"
	if e.Status != 0 {
		text += fmt.Sprintf(": status %d", e.Status)
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	if e.Answer != "" {
		text += " (it answered: " + e.Answer + ")"
	}
	return text
}

// excerpt is the beginning of an answer, fit for one line.
func excerpt(raw []byte) string {
	const most = 300
	if len(raw) > most {
		raw = append(raw[:most:most], "…"...)
	}
	fields := bytes.Fields(bytes.ToValidUTF8(raw, []byte("?")))
	return string(bytes.Join(fields, []byte(" ")))
}

// unwrapURL leaves out the URL, which may hold secrets.
func unwrapURL(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}
