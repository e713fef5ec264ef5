package token

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"cambio/internal/directory"
	"cambio/internal/oauth"
	"cambio/internal/tracing"
)

// issued is a signed access token and what the answer and the audit say of it.
type issued struct {
	compact   []byte
	id        string // uti
	keyID     string
	algorithm string
	issuedAt  time.Time
	expiry    time.Time
	shared    bool // it was issued for an earlier request
}

// Signing algorithms that a resource may ask for.
const (
	rs256 = "RS256"
	es256 = "ES256"
)

// mint makes the access token: v1.0 or v2.0 as the resource asks, one
// signature.
func (e *Endpoint) mint(ctx context.Context, x *exchange) *oauth.Error {
	if e.shared.lasting == 0 {
		return e.sign(ctx, x)
	}
	key := x.sharedKey()
	if t, ok := e.shared.get(key, e.cfg.Signer.Active(signedWith(x.resource)), e.cfg.Clock()); ok {
		x.token = t
		return nil
	}
	refusal := e.sign(ctx, x)
	if refusal == nil {
		e.shared.put(key, x.token)
	}
	return refusal
}

// signedWith is the algorithm that a resource's access tokens are signed with.
func signedWith(resource *directory.ResourceRecord) string {
	if resource.API.AccessTokenSigningAlgorithm == es256 {
		return es256
	}
	return rs256
}

func (e *Endpoint) sign(ctx context.Context, x *exchange) *oauth.Error {
	now := e.cfg.Clock().Truncate(time.Second)
	lifetime := e.cfg.Lifetime()
	if c := x.credential.Ceilings; c != nil {
		lifetime = c.Lifetime(lifetime)
	}
	t := issued{id: tokenID(), algorithm: signedWith(x.resource), issuedAt: now, expiry: now.Add(lifetime.Truncate(time.Second))}
	typ := "JWT"
	if x.resource.API.AccessTokenProfile == "rfc9068" {
		typ = "at+jwt"
	}
	_, span := tracing.Start(ctx, "sign token")
	defer span.End()
	claims := e.appendClaims(make([]byte, 0, 1024), x, &t)
	var err error
	if t.compact, t.keyID, err = e.cfg.Signer.Sign(make([]byte, 0, 2048), t.algorithm, typ, claims); err != nil {
		return oauth.Refuse(oauth.TransientFailure).After(time.Second)
	}
	x.token = t
	return nil
}

// appendClaims writes the payload of an app-only access token; contract for
// the members: Entra's v1.0 and v2.0 access tokens, and RFC 9068 §2.2 where
// the resource asks for that profile. Nothing is copied from the assertion.
func (e *Endpoint) appendClaims(dst []byte, x *exchange, t *issued) []byte {
	c, res := x.client, x.resource
	oid := c.ServicePrincipal.ID
	v2 := res.API.RequestedAccessTokenVersion == 2
	issuer, audience := e.issuer(c.TenantID, v2), x.request.resource
	if v2 {
		audience = res.AppID
	}
	o := object{dst: append(dst, '{')}
	o.str("aud", audience)
	o.str("iss", issuer)
	o.num("iat", t.issuedAt.Unix())
	o.num("nbf", t.issuedAt.Unix())
	o.num("exp", t.expiry.Unix())
	// "2": a certificate-strength credential; what Entra says of federated
	// credentials is not public.
	if v2 {
		o.str("azp", c.ClientID)
		o.str("azpacr", "2")
	} else {
		o.str("appid", c.ClientID)
		o.str("appidacr", "2")
		o.str("idp", issuer)
	}
	if res.OptionalIdtyp {
		o.str("idtyp", "app")
	}
	o.str("oid", oid)
	if len(x.roles) > 0 {
		o.strs("roles", x.roles)
	}
	o.str("sub", oid)
	o.str("tid", c.TenantID)
	o.str("uti", t.id)
	if v2 {
		o.str("ver", "2.0")
	} else {
		o.str("ver", "1.0")
	}
	if res.API.AccessTokenProfile == "rfc9068" {
		o.str("client_id", c.ClientID)
		o.str("jti", t.id)
	}
	return append(o.dst, '}')
}

// issuer is the iss of a tenant's tokens.
func (e *Endpoint) issuer(tenantID string, v2 bool) string {
	return Issuer(e.cfg.BaseURL, tenantID, v2)
}

// Issuer is the iss of a tenant's v1.0 tokens, with its trailing slash, or of
// its v2.0 tokens.
func Issuer(baseURL, tenantID string, v2 bool) string {
	if v2 {
		return baseURL + "/" + tenantID + "/v2.0"
	}
	return baseURL + "/" + tenantID + "/"
}

// ManagementToken signs an access token of a client for a resource without an
// exchange. It exists for the development mode, which hands one to the person
// who started it.
func (e *Endpoint) ManagementToken(client *directory.ClientRecord, resource *directory.ResourceRecord, audience string, lifetime time.Duration) (string, error) {
	x := &exchange{client: client, resource: resource, request: request{resource: audience}}
	x.roles, _ = grantedRoles(client, resource)
	now := e.cfg.Clock().Truncate(time.Second)
	t := issued{id: tokenID(), issuedAt: now, expiry: now.Add(lifetime)}
	compact, _, err := e.cfg.Signer.Sign(nil, rs256, "JWT", e.appendClaims(nil, x, &t))
	return string(compact), err
}

// tokenID is 128 random bits in base64url.
func tokenID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// object appends the members of a JSON object.
type object struct{ dst []byte }

func (o *object) name(name string) {
	if o.dst[len(o.dst)-1] != '{' {
		o.dst = append(o.dst, ',')
	}
	o.dst = append(append(append(o.dst, '"'), name...), '"', ':')
}

func (o *object) str(name, value string) {
	o.name(name)
	o.dst = appendString(o.dst, value)
}

func (o *object) num(name string, value int64) {
	o.name(name)
	o.dst = strconv.AppendInt(o.dst, value, 10)
}

func (o *object) strs(name string, values []string) {
	o.name(name)
	o.dst = append(o.dst, '[')
	for i, v := range values {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = appendString(o.dst, v)
	}
	o.dst = append(o.dst, ']')
}

// appendString appends a JSON string. Invalid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
