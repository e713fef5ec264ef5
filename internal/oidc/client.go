package oidc

import (
	"bytes"
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

// client fetches documents under the rules of one issuer. It follows no
// redirect, keeps no cookie and no connection, uses no proxy and sends no
// credential. Immutable; safe for concurrent use.
type client struct {
	transport *http.Transport
	maxBody   int64 // bytes
}

// failure is why a document was not received.
type failure struct {
	reason Reason
	status int
	cause  error
}

func newClient(settings HTTPSettings, lookup lookupFunc, roots *x509.CertPool, allowed Addresses) *client {
	guarded := &dialer{lookup: lookup, timeout: settings.DialTimeout, allowed: allowed}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &client{
		maxBody: settings.MaxBodyBytes,
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
			TLSHandshakeTimeout:    settings.DialTimeout,
			MaxResponseHeaderBytes: settings.MaxHeaderBytes, // 1xx answers included
			Protocols:              protocols,
		},
	}
}

// get fetches one document. The deadline of ctx bounds all of it: resolution,
// connection, TLS, headers and body. It calls RoundTrip directly, because
// http.Client would add redirects, cookies and referrers.
func (c *client) get(ctx context.Context, url string) ([]byte, *failure) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, &failure{reason: ReasonInternal, cause: err}
	}
	request.Header.Set("User-Agent", "cambio")
	request.Header.Set("Accept-Encoding", "identity")
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return nil, &failure{reason: classify(err), cause: err}
	}
	defer response.Body.Close()
	switch status := response.StatusCode; {
	case status >= 300 && status < 400:
		return nil, &failure{reason: ReasonRedirect, status: status}
	case status != http.StatusOK:
		return nil, &failure{reason: ReasonStatus, status: status}
	}
	for _, coding := range response.Header.Values("Content-Encoding") {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return nil, &failure{reason: ReasonEncoding, status: http.StatusOK}
		}
	}
	return c.read(response)
}

// read takes the body up to the bound. Closing the body afterwards closes the
// connection without draining it.
func (c *client) read(response *http.Response) ([]byte, *failure) {
	if response.ContentLength > c.maxBody {
		return nil, &failure{reason: ReasonTooLarge, status: http.StatusOK}
	}
	var body bytes.Buffer
	_, err := body.ReadFrom(io.LimitReader(response.Body, c.maxBody+1))
	if err != nil {
		return nil, &failure{reason: classify(err), status: http.StatusOK, cause: err}
	}
	if int64(body.Len()) > c.maxBody {
		return nil, &failure{reason: ReasonTooLarge, status: http.StatusOK}
	}
	return body.Bytes(), nil
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
