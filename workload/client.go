package workload

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"cambio/internal/strictjson"
)

// renewBefore is how long before its end a token is replaced; less for tokens
// that live for less than four times as long.
const renewBefore = 5 * time.Minute

// Config says where tokens are exchanged, whose, and for what.
type Config struct {
	Authority string // origin of the server, https
	Tenant    string // id or domain name; empty: "adfs", the server's default tenant
	ClientID  string // of the application or managed identity that trusts the workload
	Scope     string // of Token, as in api://orders/.default
	Audience  string // of the platform's token; empty: DefaultAudience
	Source    Source // obtains the platform's token

	// CAFile is a PEM file with the authority's certificate authorities. Empty
	// stands for the system's.
	CAFile string
	// HTTPClient is used for the authority in place of one of CAFile.
	HTTPClient *http.Client
	// Now is the clock; nil stands for time.Now.
	Now func() time.Time
}

// Client exchanges the platform's tokens. It is safe for concurrent use.
type Client struct {
	cfg      Config
	endpoint string

	mu     sync.Mutex
	tokens map[string]Token // by scope
}

// Token is an access token.
type Token struct {
	AccessToken string
	Issued      time.Time // when it was asked for
	Expires     time.Time
}

// New checks the configuration; it makes no request. The error is a
// *SettingsError.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.Authority)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, Settingsf("the authority %q must be an https URL without path, as in https://sts.example.net", cfg.Authority)
	}
	switch {
	case cfg.ClientID == "":
		return nil, Settingsf("the client id is missing: the application or managed identity that trusts this workload")
	case cfg.Source == nil:
		return nil, Settingsf("the source of the platform's token is missing")
	}
	if cfg.Tenant == "" {
		cfg.Tenant = "adfs"
	}
	if cfg.Audience == "" {
		cfg.Audience = DefaultAudience
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.HTTPClient == nil {
		if cfg.HTTPClient, err = newAuthorityClient(cfg.CAFile); err != nil {
			return nil, err
		}
	}
	endpoint := "https://" + u.Host + "/" + url.PathEscape(cfg.Tenant) + "/oauth2/v2.0/token"
	return &Client{cfg: cfg, endpoint: endpoint, tokens: map[string]Token{}}, nil
}

// Token is an access token for the scope of the configuration, of memory or
// new. Errors are those of TokenFor.
func (c *Client) Token(ctx context.Context) (Token, error) { return c.TokenFor(ctx, c.cfg.Scope) }

// TokenFor is an access token for a scope. The error is a *SettingsError, a
// *PlatformError when the platform refuses its token, a *RefusedError when the
// authority refuses to exchange it, or says what could not be reached.
func (c *Client) TokenFor(ctx context.Context, scope string) (Token, error) {
	if scope == "" {
		return Token{}, Settingsf("the scope is missing: what the access token is for, as in api://orders/.default")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.tokens[scope]; ok && c.cfg.Now().Before(t.RenewAt()) {
		return t, nil
	}
	t, err := c.exchange(ctx, scope)
	if err != nil {
		return Token{}, err
	}
	c.tokens[scope] = t
	return t, nil
}

// RenewAt is when a token should be replaced: five minutes before its end, or
// after three quarters of a life that is shorter than twenty.
func (t Token) RenewAt() time.Time {
	return t.Expires.Add(-min(renewBefore, t.Expires.Sub(t.Issued)/4))
}

// Assertion is the platform's own token.
func (c *Client) Assertion(ctx context.Context) (string, error) {
	return c.cfg.Source(ctx, c.cfg.Audience)
}

// exchange is RFC 7523 §2.2: the platform's token authenticates the client.
func (c *Client) exchange(ctx context.Context, scope string) (Token, error) {
	assertion, err := c.Assertion(ctx)
	if err != nil {
		return Token{}, err
	}
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {c.cfg.ClientID}, "scope": {scope},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return Token{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	asked := c.cfg.Now()
	resp, err := c.cfg.HTTPClient.Do(req)
	if err != nil {
		return Token{}, c.unreachable(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Token{}, c.unreachable(err)
	}
	return c.read(resp.StatusCode, raw, asked)
}

func (c *Client) read(status int, raw []byte, asked time.Time) (Token, error) {
	answer, err := strictjson.ParseObject(raw, strictjson.Document)
	if err != nil {
		return Token{}, fmt.Errorf("%s answered with status %d and no JSON; is this a cambio server?", c.cfg.Authority, status)
	}
	if status != http.StatusOK {
		return Token{}, refusal(status, answer)
	}
	token, _, err := answer.String("access_token")
	if err != nil || token == "" {
		return Token{}, fmt.Errorf("%s answered without an access token", c.cfg.Authority)
	}
	seconds, ok, err := answer.Number("expires_in")
	if err != nil || !ok || seconds <= 0 {
		return Token{}, fmt.Errorf("%s did not say how long the access token lives", c.cfg.Authority)
	}
	return Token{AccessToken: token, Issued: asked, Expires: asked.Add(time.Duration(seconds) * time.Second)}, nil
}

// RefusedError is the authority's refusal (RFC 6749 §5.2).
type RefusedError struct {
	Status      int    // of HTTP
	Code        string // as in invalid_client
	Description string // begins with the number of the refusal, as in AADSTS700213
	TraceID     string // what the server's log calls the request
	URI         string // page about the refusal, if the server names one
}

func (e *RefusedError) Error() string {
	text := e.Code
	if e.Description != "" {
		text += ": " + e.Description
	}
	if e.TraceID != "" {
		text += " (trace " + e.TraceID + ")"
	}
	if e.URI != "" {
		text += "; see " + e.URI
	}
	return text
}

func refusal(status int, answer strictjson.Object) error {
	text := func(name string) string {
		v, _, _ := answer.String(name) // absent is empty
		return v
	}
	e := &RefusedError{Status: status, Code: text("error"), TraceID: text("trace_id"), URI: text("error_uri")}
	// The description ends with identifiers that say nothing to a person.
	e.Description, _, _ = strings.Cut(text("error_description"), " Trace ID: ")
	if e.Code == "" {
		e.Code = http.StatusText(status)
	}
	return e
}

// unreachable says what can be done about a connection that failed.
func (c *Client) unreachable(err error) error {
	err = unwrapURL(err)
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		where := "name the certificate authority with --ca FILE or CAMBIO_CA_FILE"
		if c.cfg.CAFile != "" {
			where = "its certificate authority is not in " + c.cfg.CAFile
		}
		return fmt.Errorf("%s: %w; %s", c.cfg.Authority, err, where)
	}
	return fmt.Errorf("%s cannot be reached: %w", c.cfg.Authority, err)
}
