package resourceserver

import (
	"math"
	"slices"
	"time"

	"cambio/internal/strictjson"
)

// Claims is what a verified access token says of its bearer.
type Claims struct {
	Issuer   string // iss
	Audience string // aud
	TenantID string // tid
	ClientID string // azp (version 2.0) or appid (1.0): the application's client id
	ObjectID string // oid: the object id of the application's service principal
	Subject  string // sub: the same as ObjectID for an application
	TokenID  string // uti, which is in the issuer's audit trail too; may be empty
	Version  string // ver: "1.0" or "2.0"

	// Roles are the app roles of this API that the client holds. Nil when it
	// holds none.
	Roles []string

	IssuedAt, NotBefore, ExpiresAt time.Time
}

// HasRole says whether the client holds the app role, compared byte for byte.
func (c *Claims) HasRole(role string) bool { return slices.Contains(c.Roles, role) }

// parseClaims reads the claims with their exact types. All of those that an
// access token of the issuer always has are required here, so that no check
// can pass for want of a value.
func parseClaims(payload []byte) (*Claims, error) {
	object, err := strictjson.ParseObject(payload, strictjson.Claims)
	if err != nil {
		return nil, &InvalidTokenError{"its claims are not a JSON object"}
	}
	c := new(Claims)
	c.Version, _, _ = object.String("ver")
	client := "azp"
	if c.Version == "1.0" {
		client = "appid"
	}
	for _, text := range []struct {
		name     string
		value    *string
		required bool
	}{
		{"iss", &c.Issuer, true}, {"aud", &c.Audience, true}, {"tid", &c.TenantID, true}, {client, &c.ClientID, true},
		{"oid", &c.ObjectID, true}, {"sub", &c.Subject, true}, {"ver", &c.Version, true}, {"uti", &c.TokenID, false},
	} {
		value, present, err := object.String(text.name)
		if err != nil || text.required && (!present || value == "") {
			return nil, &InvalidTokenError{"its claim " + text.name + " is missing or not text"}
		}
		*text.value = value
	}
	for _, instant := range []struct {
		name  string
		value *time.Time
	}{{"iat", &c.IssuedAt}, {"nbf", &c.NotBefore}, {"exp", &c.ExpiresAt}} {
		seconds, present, err := object.Number(instant.name)
		if err != nil || !present || math.Abs(seconds) > 1<<40 {
			return nil, &InvalidTokenError{"its claim " + instant.name + " is missing or not a time"}
		}
		*instant.value = time.Unix(int64(seconds), 0)
	}
	if c.Roles, err = roles(object); err != nil {
		return nil, err
	}
	return c, nil
}

// roles reads the optional roles claim, an array of strings. A bare string,
// which the reader of aud tolerates, is not a list of roles.
func roles(object strictjson.Object) ([]string, error) {
	raw, present := object.Raw("roles")
	if !present {
		return nil, nil
	}
	list, _, err := object.Strings("roles")
	if err != nil || len(raw) == 0 || raw[0] != '[' {
		return nil, &InvalidTokenError{"its claim roles is not a list of texts"}
	}
	return list, nil
}
