package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// smallBody is what every fetch may hold in memory without asking; largeBodies
// is how many fetches may hold more at the same time. Documents of real
// issuers are small, so only hostile ones wait here for one another.
const (
	smallBody   = 128 << 10 // bytes
	largeBodies = 16
)

// outbound is what all clients share.
type outbound struct {
	settings HTTPSettings
	lookup   lookupFunc
	large    chan struct{} // one held by each fetch with a large body
}

// client fetches documents under the rules of one issuer. It follows no
// redirect, keeps no cookie and no connection, uses no proxy and sends no
// credential. Immutable; safe for concurrent use.
type client struct {
	transport *http.Transport
	maxBody   int // bytes
	large     chan struct{}
}

// failure is why a document was not received.
type failure struct {
	reason Reason
	status int
	cause  error
}

// client makes a client that trusts the roots and dials the permitted addresses.
func (o *outbound) client(roots *x509.CertPool, allowed Addresses) *client {
	guarded := &dialer{lookup: o.lookup, timeout: o.settings.DialTimeout, allowed: allowed}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &client{
		maxBody: o.settings.MaxBodyBytes,
		large:   o.large,
		transport: &http.Transport{
			Proxy:           nil, // not from the environment either
			DialContext:     guarded.dial,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			// A GET on a reused connection that breaks is sent again by
			// net/http itself, which would multiply our fetches unseen.
			DisableKeepAlives: true,
			// Compression is neither asked for nor undone, so no small answer
			// can become a large one.
			DisableCompression:     true,
			TLSHandshakeTimeout:    o.settings.DialTimeout,
			MaxResponseHeaderBytes: o.settings.MaxHeaderBytes, // 1xx answers included
			Protocols:              protocols,
		},
	}
}

// get fetches one document. The deadline of ctx bounds all of it: resolution,
// connection, TLS, headers and body. It calls RoundTrip directly, because
// http.Client would add redirects, cookies and referrers.
func (c *client) get(ctx context.Context, url string) ([]byte, *failure) {
	body, _, fail := c.answer(ctx, url)
	return body, fail
}

// answer is get with the head of the answer; nil: none was received.
func (c *client) answer(ctx context.Context, url string) ([]byte, *http.Response, *failure) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, &failure{reason: ReasonInternal, cause: err}
	}
	request.Header.Set("User-Agent", "cambio")
	request.Header.Set("Accept-Encoding", "identity")
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return nil, nil, &failure{reason: classify(err), cause: err}
	}
	defer response.Body.Close()
	switch status := response.StatusCode; {
	case status >= 300 && status < 400:
		return nil, response, &failure{reason: ReasonRedirect, status: status}
	case status != http.StatusOK:
		return nil, response, &failure{reason: ReasonStatus, status: status}
	}
	for _, coding := range response.Header.Values("Content-Encoding") {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return nil, response, &failure{reason: ReasonEncoding, status: http.StatusOK}
		}
	}
	document, fail := c.read(ctx, response)
	return document, response, fail
}

// read takes the body up to the bound. Closing the body afterwards closes the
// connection without draining it.
func (c *client) read(ctx context.Context, response *http.Response) ([]byte, *failure) {
	if response.ContentLength > int64(c.maxBody) {
		return nil, &failure{reason: ReasonTooLarge, status: http.StatusOK}
	}
	body := make([]byte, 0, 8<<10) // a declared length is not believed before it arrives
	for {
		if len(body) == cap(body) {
			if len(body) > c.maxBody {
				return nil, &failure{reason: ReasonTooLarge, status: http.StatusOK}
			}
			grown := min(2*cap(body), c.maxBody+1)
			if cap(body) <= smallBody && grown > smallBody {
				select {
				case c.large <- struct{}{}:
					defer func() { <-c.large }()
				case <-ctx.Done():
					return nil, &failure{reason: ReasonTimeout, status: http.StatusOK, cause: ctx.Err()}
				}
			}
			body = append(make([]byte, 0, grown), body...)
		}
		n, err := response.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF && ctx.Err() != nil:
			// Our own hanging up can make a server end its answer properly.
			return nil, &failure{reason: ReasonTimeout, status: http.StatusOK, cause: ctx.Err()}
		case err == io.EOF && len(body) > c.maxBody:
			return nil, &failure{reason: ReasonTooLarge, status: http.StatusOK}
		case err == io.EOF:
			return body, nil
		case err != nil:
			return nil, &failure{reason: classify(err), status: http.StatusOK, cause: err}
		}
	}
}

// classify finds the reason behind an error of net/http, by type only.
func classify(err error) Reason {
	var (
		address     *addressError
		network     net.Error
		resolution  *net.DNSError
		operation   *net.OpError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &address):
		return ReasonAddress
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &network) && network.Timeout():
		return ReasonTimeout
	case errors.As(err, &certificate), errors.As(err, &record),
		errors.As(err, &operation) && operation.Op == "remote error": // how crypto/tls reports an alert
		return ReasonTLS
	case errors.As(err, &resolution), operation != nil, errors.Is(err, context.Canceled),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return ReasonUnreachable
	}
	return ReasonHTTP
}
