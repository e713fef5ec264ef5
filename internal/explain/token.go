package explain

import (
	"encoding/base64"
	"math"
	"strings"
	"time"

	"cambio/internal/jose"
	"cambio/internal/strictjson"
)

// ReadToken reads what can be read of a token, however wrong it is; nil when
// nothing can.
func ReadToken(compact string) *Token {
	parts := strings.Split(strings.TrimSpace(compact), ".")
	if len(parts) != 3 || len(compact) > 64<<10 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	t := &Token{}
	if t.Claims, err = strictjson.ParseObject(payload, strictjson.Claims); err != nil {
		return nil
	}
	if jws, err := jose.ParseCompact(strings.TrimSpace(compact)); err == nil {
		t.Algorithm, t.KeyID = string(jws.Header.Algorithm), jws.Header.KeyID
	}
	return t
}

// Kinds of claim, as they are named in texts.
const (
	kindString = "a string"
	kindAbsent = "absent"
)

// claim returns a claim as it can be shown, and its kind.
func (t *Token) claim(name string) (value, kind string) {
	raw, present := t.Claims.Raw(name)
	if !present {
		return "", kindAbsent
	}
	switch raw[0] {
	case '"':
		value, _, _ = t.Claims.String(name)
		return value, kindString
	case 't', 'f':
		kind = "a boolean"
	case 'n':
		kind = "null"
	case '[':
		kind = "a list"
	case '{':
		kind = "an object"
	default:
		kind = "a number"
	}
	return string(raw), kind
}

// text is a claim that is a string, or "".
func (t *Token) text(name string) string {
	value, kind := t.claim(name)
	if kind != kindString {
		return ""
	}
	return value
}

func (t *Token) audiences() []string {
	list, _, err := t.Claims.Strings("aud")
	if err != nil {
		return nil
	}
	return list
}

// time is a claim in seconds since 1970; zero if it is none.
func (t *Token) time(name string) time.Time {
	seconds, present, err := t.Claims.Number(name)
	if err != nil || !present || math.Abs(seconds) > 253402300799 {
		return time.Time{}
	}
	return time.Unix(int64(math.Floor(seconds)), 0).UTC()
}

// mistyped is the first registered claim that has another type than it must
// have; "" if there is none.
func (t *Token) mistyped() (name, kind, want string) {
	for _, c := range []struct{ name, want string }{{"iss", kindString}, {"sub", kindString}, {"aud", "a string or a list of strings"}, {"jti", kindString},
		{"exp", "a number"}, {"iat", "a number"}, {"nbf", "a number"}} {
		_, kind := t.claim(c.name)
		switch {
		case kind == kindAbsent, kind == c.want:
			continue
		case c.name == "aud":
			if _, _, err := t.Claims.Strings("aud"); err == nil {
				continue
			}
		}
		return c.name, kind, c.want
	}
	return "", "", ""
}
