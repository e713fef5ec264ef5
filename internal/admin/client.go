package admin

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cambio/internal/strictjson"
)

// Bounds of one request and its repetitions.
const (
	requestTimeout = 30 * time.Second // one attempt, its answer included
	maxAttempts    = 4
	maxWait        = 30 * time.Second // between two attempts, whatever Retry-After says
)

// answerLimits bound an answer: a page has up to 999 objects.
var answerLimits = strictjson.Limits{Bytes: 16 << 20, Depth: 64, Members: 1 << 20}

// Config is what a client needs. Settings are required.
type Config struct {
	Settings

	// DryRun gets each request that would change something, instead of the
	// server. Nil sends them.
	DryRun io.Writer

	// Busy is told how long a request waits before it is sent again; nil tells
	// nobody.
	Busy func(time.Duration)

	UserAgent string
	Now       func() time.Time                           // nil: time.Now
	Sleep     func(context.Context, time.Duration) error // between attempts; nil: waits
}

// Client speaks to the management APIs of one tenant. It is for one goroutine.
type Client struct {
	cfg     Config
	http    *http.Client
	bearer  string
	expires time.Time // when bearer ends; zero: not known

	reasons []string // see Override

	subscription string // of the tenant; empty: not asked yet
	ownedOnly    bool   // see SeesOwnedOnly
}

// New makes a client. Nothing is sent before the first request.
func New(cfg Config) (*Client, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Sleep == nil {
		cfg.Sleep = wait
	}
	transport, err := cfg.transport()
	if err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, http: &http.Client{Transport: transport, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

func (c *Config) transport() (*http.Transport, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true}
	if c.CAFile == "" {
		return t, nil
	}
	pem, err := readBounded(c.CAFile)
	if err != nil {
		return nil, settingsErrorf("--ca: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, settingsErrorf("--ca: %s holds no certificate in PEM form", c.CAFile)
	}
	return t, nil
}

// Settings are those that the client was made with.
func (c *Client) Settings() Settings { return c.cfg.Settings }

// overrideHeader says why findings of lint are let pass.
const overrideHeader = "Cambio-Lint-Override"

// Override gives reasons for what rules of lint would refuse, RULE=REASON each,
// with every change from now on.
func (c *Client) Override(reasons []string) { c.reasons = reasons }

// IsDryRun reports whether requests that change something are only printed.
func (c *Client) IsDryRun() bool { return c.cfg.DryRun != nil }

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Get reads one object. path begins with /v1.0, /beta, /subscriptions or
// /trust and may carry a query string.
func (c *Client) Get(ctx context.Context, path string) (jsontext.Value, error) {
	return c.do(ctx, http.MethodGet, path, nil)
}

// maxPages keeps a server that goes on for ever from holding the client.
const maxPages = 10000

// List reads every object of a list, page by page.
func (c *Client) List(ctx context.Context, path string) ([]jsontext.Value, error) {
	all := []jsontext.Value{} // never nil: an empty list is printed as []
	for range maxPages {
		raw, err := c.do(ctx, http.MethodGet, path, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Value    []jsontext.Value `json:"value"`
			Next     string           `json:"@odata.nextLink"`
			NextLink string           `json:"nextLink"`
		}
		if err := decode(raw, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Value...)
		if page.Next == "" {
			page.Next = page.NextLink
		}
		if page.Next == "" {
			return all, nil
		}
		if path, err = nextPath(page.Next); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("the list does not end after %d pages", maxPages)
}

// nextPath is what of a link to a next page is followed: only path and query,
// so that the token stays with this origin. They are appended to it, and must
// begin with a slash not to become a part of its name.
func nextPath(link string) (string, error) {
	u, err := url.Parse(link)
	if err != nil || u.Opaque != "" || !strings.HasPrefix(u.EscapedPath(), "/") {
		return "", fmt.Errorf("the link to the next page is no URL of a server: %q", link)
	}
	return u.RequestURI(), nil
}

// Change sends a request that changes something. body is marshalled; nil sends
// none. In a dry run the request is printed and answered with preview instead,
// which may be nil.
func (c *Client) Change(ctx context.Context, method, path string, body, preview any) (jsontext.Value, error) {
	var raw jsontext.Value
	if body != nil {
		var err error
		if raw, err = json.Marshal(body, json.Deterministic(true)); err != nil {
			return nil, err
		}
	}
	if c.cfg.DryRun != nil {
		return c.plan(method, path, raw, preview)
	}
	return c.do(ctx, method, path, raw)
}

// plan prints what would be sent.
func (c *Client) plan(method, path string, body jsontext.Value, preview any) (jsontext.Value, error) {
	text := method + " " + c.cfg.Authority + path + "\n"
	if body != nil {
		if err := body.Indent(jsontext.WithIndent("  ")); err != nil {
			return nil, err
		}
		text += string(body) + "\n"
	}
	if _, err := io.WriteString(c.cfg.DryRun, text+"\n"); err != nil || preview == nil {
		return nil, err
	}
	return json.Marshal(preview, json.Deterministic(true))
}

// do sends a request with the client's token.
func (c *Client) do(ctx context.Context, method, path string, body []byte) (jsontext.Value, error) {
	bearer, err := c.token(ctx)
	if err != nil {
		return nil, err
	}
	h := http.Header{"Authorization": {"Bearer " + bearer}}
	if body != nil {
		h.Set("Content-Type", "application/json")
	}
	if method != http.MethodGet && len(c.reasons) > 0 {
		h.Set(overrideHeader, strings.Join(c.reasons, "; "))
	}
	raw, err := c.repeat(ctx, method, path, body, h)
	return raw, c.stale(err)
}

// stale adds to the refusal of an access token what its holder can tell: the
// server does not say which of several reasons it is.
func (c *Client) stale(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusUnauthorized || c.cfg.AccessToken == "" {
		return err
	}
	if c.SingleUse() {
		return fmt.Errorf("%w; a bootstrap token works once, within 15 minutes: `cambio bootstrap --new-token TENANT` prints another", err)
	}
	claims, unreadable := Claims(c.cfg.AccessToken)
	if unreadable != nil {
		return err
	}
	if exp, ok, _ := claims.Number("exp"); ok && c.cfg.Now().Unix() >= int64(exp) {
		return fmt.Errorf("%w; it ended at %s", err, time.Unix(int64(exp), 0).UTC().Format(time.RFC3339))
	}
	return err
}

// repeat sends a request, once more when the server is busy and the method
// allows it (RFC 9110 §9.2.2). A POST to the token endpoint changes nothing.
func (c *Client) repeat(ctx context.Context, method, path string, body []byte, h http.Header) (jsontext.Value, error) {
	idempotent := method != http.MethodPost || h.Get("Authorization") == ""
	for attempt := 1; ; attempt++ {
		raw, resp, err := c.send(ctx, method, path, body, h)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 && resp.StatusCode < 300 {
			return raw, nil
		}
		busy := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable
		if !busy || !idempotent || attempt == maxAttempts {
			return nil, errorOf(resp, raw)
		}
		pause := retryAfter(resp.Header, attempt)
		if c.cfg.Busy != nil {
			c.cfg.Busy(pause)
		}
		if err := c.cfg.Sleep(ctx, pause); err != nil {
			return nil, errors.Join(errorOf(resp, raw), err)
		}
	}
}

// retryAfter reads Retry-After in seconds (RFC 9110 §10.2.3); without it the
// waits are 1, 2 and 4 seconds.
func retryAfter(h http.Header, attempt int) time.Duration {
	d := time.Second << (attempt - 1)
	if n, err := strconv.Atoi(h.Get("Retry-After")); err == nil && n >= 0 {
		d = time.Duration(min(n, int(maxWait/time.Second))) * time.Second
	}
	return min(d, maxWait)
}

// send is one attempt. The answer is valid JSON, or empty, when its status is
// a success.
func (c *Client) send(ctx context.Context, method, path string, body []byte, h http.Header) (jsontext.Value, *http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.cfg.Authority+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header = h.Clone()
	req.Header.Set("Accept", "application/json")
	if c.cfg.UserAgent != "" {
		req.Header.Set("User-Agent", c.cfg.UserAgent)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, c.unreachable(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, int64(answerLimits.Bytes)+1))
	if err != nil {
		return nil, nil, c.unreachable(err)
	}
	if success := resp.StatusCode >= 200 && resp.StatusCode < 300; success && len(raw) > 0 {
		if err := strictjson.Check(raw, answerLimits); err != nil {
			return nil, nil, fmt.Errorf("the answer of %s is not what a cambio server sends: %w", c.cfg.Authority, err)
		}
	}
	return raw, resp, nil
}

// unreachable says what can be done about a connection that failed.
func (c *Client) unreachable(err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // the URL is said already
	}
	switch {
	case errors.As(err, &unknown) && c.cfg.CAFile != "":
		return fmt.Errorf("%s: %w; its certificate authority is not in %s (--ca FILE or CAMBIO_CA_FILE)", c.cfg.Authority, err, c.cfg.CAFile)
	case errors.As(err, &unknown):
		return fmt.Errorf("%s: %w; name the certificate authority with --ca FILE or CAMBIO_CA_FILE", c.cfg.Authority, err)
	case errors.As(err, &host):
		return fmt.Errorf("%s: %w; use the name that the certificate is for", c.cfg.Authority, err)
	case c.cfg.IsDevelopment():
		return fmt.Errorf("%s cannot be reached: %w; is `cambio dev` still running? (%s)", c.cfg.Authority, err, c.cfg.From)
	}
	return fmt.Errorf("%s cannot be reached: %w", c.cfg.Authority, err)
}

// decode reads an answer, which was checked when it arrived.
func decode(raw jsontext.Value, v any) error {
	return strictjson.Unmarshal(raw, v, answerLimits)
}
