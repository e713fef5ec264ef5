package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cambio/internal/diagnosis"
	"cambio/internal/strictjson"
)

// What is tolerated without a word, and at all.
const (
	clockWarn       = 30 * time.Second
	clockFail       = 5 * time.Minute // the server's own tolerance
	certificateWarn = 14 * 24 * time.Hour
)

// Diagnose checks, one after the other, what a client of this machine needs,
// from the connection to the roles that it holds. It changes nothing, and does
// not use a bootstrap token up.
func (c *Client) Diagnose(ctx context.Context) []diagnosis.Check {
	checks := []diagnosis.Check{diagnosis.Passed("settings", fmt.Sprintf("%s, tenant %s, from %s", c.cfg.Authority, c.cfg.Tenant, c.cfg.From))}
	checks = append(checks, c.checkServer(ctx)...)
	reachable := checks[1].Result != diagnosis.Fail
	checks = append(checks, c.checkToken())
	return append(checks, c.checkAccess(ctx, reachable && checks[len(checks)-1].Result != diagnosis.Fail)...)
}

func (c *Client) checkServer(ctx context.Context) []diagnosis.Check {
	raw, resp, err := c.send(ctx, http.MethodGet, "/metadata/endpoints?api-version=2023-11-01", nil, http.Header{})
	if err != nil {
		return []diagnosis.Check{diagnosis.Failed("server", err.Error(), "check the authority, the network and HTTPS_PROXY from this machine; for a certificate of your own, --ca FILE")}
	}
	checks := []diagnosis.Check{c.checkCertificate(resp), c.checkClock(resp)}
	if resp.StatusCode != http.StatusOK || len(raw) == 0 {
		checks[0] = diagnosis.Failed("server", fmt.Sprintf("it answers with status %d where a cambio server describes itself", resp.StatusCode), "check the authority: it must be the origin of a cambio server")
	}
	return append(checks, c.checkDiscovery(ctx), c.checkInstance(ctx))
}

func (c *Client) checkCertificate(resp *http.Response) diagnosis.Check {
	k := diagnosis.Passed("server", "reachable")
	if resp.TLS == nil || len(resp.TLS.PeerCertificates) == 0 {
		return k
	}
	leaf := resp.TLS.PeerCertificates[0]
	left := leaf.NotAfter.Sub(c.cfg.Now())
	k.Found = fmt.Sprintf("reachable; its certificate is from %q and valid until %s", printable(leaf.Issuer.String()), leaf.NotAfter.UTC().Format(time.DateOnly))
	if left < certificateWarn {
		k.Result, k.Remedy = diagnosis.Warn, "the server's certificate ends soon: renew it there"
	}
	return k
}

func (c *Client) checkClock(resp *http.Response) diagnosis.Check {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return diagnosis.Doubtful("clock", "the server does not say what time it is", "compare the clocks by hand")
	}
	off := c.cfg.Now().Sub(date).Round(time.Second)
	k := diagnosis.Passed("clock", "agrees with the server's")
	if off.Abs() > 2*time.Second { // the header has whole seconds
		k.Found = fmt.Sprintf("%s apart from the server's", off.Abs())
	}
	if off.Abs() > clockWarn {
		k.Result, k.Remedy = diagnosis.Warn, "set this machine's clock; tokens are refused from five minutes on"
	}
	if off.Abs() > clockFail {
		k.Result = diagnosis.Fail
	}
	return k
}

// fetch reads a document of the login side, which needs no token.
func (c *Client) fetch(ctx context.Context, path string, v any) error {
	raw, err := c.repeat(ctx, http.MethodGet, path, nil, http.Header{})
	if err != nil {
		return err
	}
	return decode(raw, v)
}

func (c *Client) checkDiscovery(ctx context.Context) diagnosis.Check {
	var document struct {
		Issuer        string `json:"issuer"`
		TokenEndpoint string `json:"token_endpoint"`
	}
	k := diagnosis.Check{Name: "discovery", Result: diagnosis.Fail}
	err := c.fetch(ctx, "/"+url.PathEscape(c.cfg.Tenant)+"/v2.0/.well-known/openid-configuration", &document)
	switch {
	case err != nil:
		k.Found, k.Remedy = err.Error(), "check --tenant: an id, a domain, or nothing for the server's default tenant"
	case !strings.HasPrefix(document.TokenEndpoint, c.cfg.Authority+"/"):
		k.Found = "the server calls itself " + printable(document.Issuer)
		k.Remedy = "use the origin of that issuer as --authority; tokens are issued for that name alone"
	default:
		k.Result, k.Found = diagnosis.OK, "issuer "+printable(document.Issuer)
	}
	return k
}

// checkInstance asks what Microsoft's libraries ask before they sign in.
func (c *Client) checkInstance(ctx context.Context) diagnosis.Check {
	var document struct {
		Metadata []struct {
			Network string `json:"preferred_network"`
		} `json:"metadata"`
	}
	k := diagnosis.Check{Name: "instance", Result: diagnosis.Fail}
	query := url.Values{"api-version": {"1.1"}, "authorization_endpoint": {c.cfg.Authority + "/" + c.cfg.Tenant + "/oauth2/v2.0/authorize"}}
	err := c.fetch(ctx, "/"+url.PathEscape(c.cfg.Tenant)+"/discovery/instance?"+query.Encode(), &document)
	switch {
	case err != nil:
		k.Found, k.Remedy = err.Error(), "libraries of Microsoft that ask this will not sign in here; check the authority and the tenant"
	case len(document.Metadata) != 1 || "https://"+document.Metadata[0].Network != c.cfg.Authority:
		k.Found, k.Remedy = "the server prefers another host than this authority", "use the server's own name as --authority"
	default:
		k.Result, k.Found = diagnosis.OK, "instance discovery names this host"
	}
	return k
}

// checkToken looks at what the client will sign in with.
func (c *Client) checkToken() diagnosis.Check {
	if c.SingleUse() {
		return diagnosis.Passed("token", "a bootstrap token, good for one request; it is not tried, since that would use it up")
	}
	token, name := c.cfg.AccessToken, "access token"
	if token == "" {
		name = "federated token"
		var err error
		if token, err = ReadToken(c.cfg.FederatedTokenFile); err != nil {
			return diagnosis.Failed("token", err.Error(), "check --federated-token-file, and that the platform mounts or writes the file")
		}
	}
	claims, err := Claims(token)
	if err != nil {
		return diagnosis.Failed("token", "the "+name+" is no JWT: "+err.Error(), "the file must hold a JSON Web Token and nothing else")
	}
	return c.checkClaims(name, claims)
}

func (c *Client) checkClaims(name string, claims strictjson.Object) diagnosis.Check {
	text := func(claim string) string {
		v, _, _ := claims.String(claim) // what is absent is shown so
		return printable(v)
	}
	audiences, _, _ := claims.Strings("aud")
	k := diagnosis.Passed("token", fmt.Sprintf("%s with issuer %q, subject %q, audience %q", name, text("iss"), text("sub"), printable(strings.Join(audiences, " "))))
	now := c.cfg.Now()
	if exp, ok, err := claims.Number("exp"); !ok || err != nil {
		k.Result, k.Remedy = diagnosis.Fail, "the token has no expiry (exp); the server refuses such tokens"
	} else if end := time.Unix(int64(exp), 0).UTC(); !now.Before(end) {
		k.Result, k.Remedy = diagnosis.Fail, "the token expired at "+end.Format(time.RFC3339)+": let the platform renew it"
	} else {
		k.Found += ", until " + end.Format(time.RFC3339)
	}
	if nbf, ok, err := claims.Number("nbf"); k.Result == diagnosis.OK && ok && err == nil && now.Before(time.Unix(int64(nbf), 0).Add(-clockFail)) {
		k.Result, k.Remedy = diagnosis.Fail, "the token is not valid yet: compare this machine's clock with the platform's"
	}
	return k
}

// checkAccess signs in and asks the server what it makes of the token.
func (c *Client) checkAccess(ctx context.Context, possible bool) []diagnosis.Check {
	if !possible || c.SingleUse() {
		return []diagnosis.Check{diagnosis.Skipped("sign-in", "not tried"), diagnosis.Skipped("roles", "not known")}
	}
	id, err := c.Identity(ctx)
	if err == nil {
		_, err = c.Tenant(ctx)
	}
	if err != nil {
		return []diagnosis.Check{diagnosis.Failed("sign-in", err.Error(), "the message names what was presented; compare it with the client's credentials (`cambio credential list`), or sign in with a new access token"),
			diagnosis.Skipped("roles", "not known")}
	}
	k := diagnosis.Passed("roles", strings.Join(id.Roles, ", "))
	if len(id.Roles) == 0 {
		k = diagnosis.Failed("roles", "none of the management resource", "let an administrator assign some: `cambio role assign --resource 'cambio management' --role Application.ReadWrite.All --to "+id.ClientID+"`")
	}
	return []diagnosis.Check{diagnosis.Passed("sign-in", fmt.Sprintf("client %s, object id %s, tenant %s", id.ClientID, id.ObjectID, id.TenantID)), k}
}
