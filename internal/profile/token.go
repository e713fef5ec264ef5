package profile

import (
	"errors"
	"fmt"
	"strings"

	"cambio/internal/jose"
	"cambio/internal/strictjson"
)

// Claims are what a token says. Nothing of it was verified.
type Claims struct {
	Algorithm string            // alg of the header
	Object    strictjson.Object // the claim set, in the token's order

	Issuer, Subject string
	Audiences       []string
}

// ParseToken reads the claims of a token without verifying it. White space
// around the token is ignored. Errors say what the text is instead, where that
// can be seen, and never hold any of it.
func ParseToken(text string) (Claims, error) {
	text = strings.TrimSpace(text)
	if why := noToken(text); why != "" {
		return Claims{}, errors.New(why)
	}
	jws, err := jose.ParseCompact(text)
	if err != nil {
		return Claims{}, fmt.Errorf("this is no signed JWT: %w", err)
	}
	c := Claims{Algorithm: string(jws.Header.Algorithm)}
	if c.Object, err = strictjson.ParseObject(jws.Payload, strictjson.Claims); err != nil {
		return Claims{}, fmt.Errorf("the token's claims cannot be read: %w", err)
	}
	if c.Issuer, err = c.text("iss", "its platform must be told to issue OpenID tokens (SPIRE: jwt_issuer)"); err != nil {
		return Claims{}, err
	}
	if c.Subject, err = c.text("sub", "a federated identity credential names the subject"); err != nil {
		return Claims{}, err
	}
	c.Audiences, _, err = c.Object.Strings("aud")
	if err != nil {
		return Claims{}, errors.New("the token's aud claim is neither a string nor a list of strings; no server accepts such a token")
	}
	if len(c.Audiences) == 0 {
		return Claims{}, errors.New("the token has no aud claim; it was not made for anybody, and no server accepts it. Request a token with the audience " + DefaultAudience)
	}
	return c, nil
}

// noToken recognises what is often mistaken for a token.
func noToken(text string) string {
	const ask = "; pass the platform's OpenID token, three parts separated by dots that begin with eyJ"
	switch {
	case text == "":
		return "there is no token: the input is empty"
	case strings.HasPrefix(text, "{") || strings.HasPrefix(text, "["):
		return "this is JSON and no token; the token is a member of it (GitHub: .value, Azure Pipelines: .oidcToken, Kubernetes: .status.token, AWS: .WebIdentityToken or .Token), which `jq -r` takes out"
	case strings.HasPrefix(text, "ghs_") || strings.HasPrefix(text, "ghp_") || strings.HasPrefix(text, "gho_") || strings.HasPrefix(text, "github_pat_"):
		return "this is an access token of GitHub and no OpenID token; a job with `permissions: id-token: write` requests one at $ACTIONS_ID_TOKEN_REQUEST_URL"
	case strings.HasPrefix(text, "glpat-") || strings.HasPrefix(text, "glcbt-"):
		return "this is an access token of GitLab and no OpenID token; id_tokens in .gitlab-ci.yml requests one"
	case strings.HasPrefix(text, "ya29."):
		return "this is an access token of Google and no OpenID token; ask the metadata server's identity endpoint for one"
	case strings.HasPrefix(text, "-----BEGIN"):
		return "this is a key or certificate and no token" + ask
	case len(text) > 7 && strings.EqualFold(text[:7], "bearer "):
		return "leave out the word Bearer before the token"
	case strings.ContainsAny(text, " \t\r\n"):
		return "there is white space within the token; pass one token and nothing else"
	case strings.Count(text, ".") == 4:
		return "this token is encrypted (five parts), so that its claims cannot be read" + ask
	case strings.Count(text, ".") != 2:
		return fmt.Sprintf("this is no JWT: it has %d parts separated by dots and not three%s", strings.Count(text, ".")+1, ask[:strings.LastIndex(ask, ",")])
	}
	return ""
}

// text returns a claim that must be there.
func (c *Claims) text(name, why string) (string, error) {
	value, present, err := c.Object.String(name)
	if err != nil {
		return "", fmt.Errorf("the token's %s claim is no string; no server accepts such a token", name)
	}
	if !present || value == "" {
		return "", fmt.Errorf("the token has no %s claim: %s", name, why)
	}
	return value, nil
}

// scalar returns a claim as text: a string, or a number as it stands in the
// token, since some platforms write ids as numbers.
func (c *Claims) scalar(name string) (string, bool) {
	if value, present, err := c.Object.String(name); present && err == nil {
		return value, value != ""
	}
	raw, present := c.Object.Raw(name)
	if !present || raw[0] < '0' || raw[0] > '9' {
		return "", false
	}
	return string(raw), true
}
