package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cambio/internal/jose"
	"cambio/internal/strictjson"
)

// bootstrapPrefix marks tokens that are good for one request.
const bootstrapPrefix = "cambio-bootstrap-"

// renewBefore is how long before its end a token is replaced.
const renewBefore = 5 * time.Minute

// SingleUse reports whether the client holds a bootstrap token, which its
// first request uses up: nothing may be looked up before.
func (c *Client) SingleUse() bool { return strings.HasPrefix(c.cfg.AccessToken, bootstrapPrefix) }

// token returns the access token, obtaining one when there is none yet or the
// present one is about to end.
func (c *Client) token(ctx context.Context) (string, error) {
	if c.cfg.AccessToken != "" {
		return c.cfg.AccessToken, nil
	}
	if c.bearer != "" && c.cfg.Now().Before(c.expires.Add(-renewBefore)) {
		return c.bearer, nil
	}
	assertion, err := ReadToken(c.cfg.FederatedTokenFile)
	if err != nil {
		return "", err
	}
	c.bearer, c.expires, err = c.exchange(ctx, assertion)
	return c.bearer, err
}

// exchange is RFC 7523 §2.2: the platform's token authenticates the client,
// for the management resource, whose identifier is the server's origin.
func (c *Client) exchange(ctx context.Context, assertion string) (token string, expires time.Time, err error) {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {c.cfg.ClientID}, "scope": {c.cfg.Authority + "/.default"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
	}
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	sent := c.cfg.Now()
	raw, err := c.repeat(ctx, http.MethodPost, "/"+url.PathEscape(c.cfg.Tenant)+"/oauth2/v2.0/token", []byte(form.Encode()), h)
	if e, ok := err.(*Error); ok {
		// A refused client answers 400 or 401; both mean that nobody signed in.
		if e.Status == http.StatusBadRequest {
			e.Status = http.StatusUnauthorized
		}
		if strings.HasPrefix(e.Message, "AADSTS500011:") {
			// The management resource is called as the server calls itself.
			return "", expires, fmt.Errorf("signing in as client %s: the server at %s goes by another name, which `cambio doctor` finds out; use it as --authority: %w", c.cfg.ClientID, c.cfg.Authority, e)
		}
		return "", expires, fmt.Errorf("signing in as client %s: %w", c.cfg.ClientID, e)
	}
	if err != nil {
		return "", expires, err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := decode(raw, &answer); err != nil {
		return "", expires, err
	}
	if answer.AccessToken == "" {
		return "", expires, fmt.Errorf("the token endpoint of %s answered without an access token", c.cfg.Authority)
	}
	return answer.AccessToken, sent.Add(time.Duration(answer.ExpiresIn) * time.Second), nil
}

// Identity is what an access token says about its holder.
type Identity struct {
	TenantID string    `json:"tenantId"`
	ClientID string    `json:"clientId"`
	ObjectID string    `json:"objectId"`
	Roles    []string  `json:"roles"`
	Expires  time.Time `json:"expiresOn"`
}

// Identity tells whom the server takes the client for. The token is not
// verified: it is the client's own, and it decides nothing here.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	bearer, err := c.token(ctx)
	if err != nil {
		return Identity{}, err
	}
	claims, err := Claims(bearer)
	if err != nil {
		return Identity{}, fmt.Errorf("the access token cannot be read: %w", err)
	}
	text := func(name string) string {
		v, _, _ := claims.String(name) // absent is empty
		return v
	}
	id := Identity{TenantID: text("tid"), ClientID: text("azp"), ObjectID: text("oid")}
	if id.ClientID == "" { // v1.0
		id.ClientID = text("appid")
	}
	id.Roles, _, _ = claims.Strings("roles")
	if exp, ok, _ := claims.Number("exp"); ok {
		id.Expires = time.Unix(int64(exp), 0).UTC()
	}
	return id, nil
}

// Claims reads the claims of a token without verifying it, to show them.
func Claims(token string) (strictjson.Object, error) {
	jws, err := jose.ParseCompact(token)
	if err != nil {
		return strictjson.Object{}, err
	}
	return strictjson.ParseObject(jws.Payload, strictjson.Claims)
}
