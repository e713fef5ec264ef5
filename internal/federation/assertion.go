package federation

import (
	"crypto/sha256"
	"math"
	"strings"
	"time"

	"cambio/internal/directory"
	"cambio/internal/jose"
	"cambio/internal/oauth"
	"cambio/internal/spiffe"
	"cambio/internal/strictjson"
)

// Assertion is a parsed client assertion, or the X.509-SVID that a client has
// in its place. Its claims are the issuer's only
// after Verifier.Prove returned nil.
type Assertion struct {
	Issuer    string
	Subject   string
	Audiences []string
	TokenID   string // jti; may be empty
	IssuedAt  time.Time
	NotBefore time.Time
	Expiry    time.Time
	Hash      [sha256.Size]byte // of the whole token

	claims                 strictjson.Object
	hasIssuedAt, hasExpiry bool
	impliedIssuer          bool             // it has no iss: Issuer is the trust domain of its SPIFFE ID
	jws                    *jose.JWS        // nil for an X.509-SVID
	svid                   *spiffe.X509SVID // nil for a token
}

// KeyID is the header's kid, which may be empty; of an X.509-SVID its serial
// number in hexadecimal.
func (a *Assertion) KeyID() string {
	if a.svid != nil {
		return a.svid.Leaf.SerialNumber.Text(16)
	}
	return a.jws.Header.KeyID
}

// Algorithm is the header's alg; "X.509" for an X.509-SVID.
func (a *Assertion) Algorithm() string {
	if a.svid != nil {
		return x509Algorithm
	}
	return string(a.jws.Header.Algorithm)
}

// Claims are all of its claims, for an explanation.
func (a *Assertion) Claims() strictjson.Object { return a.claims }

// claim returns a claim that is a string, for an expression. Other types are
// as good as absent: how a number is written must not decide who is trusted.
func (a *Assertion) claim(name string) (string, bool) {
	if name == "sub" {
		return a.Subject, true // most expressions ask for it
	}
	value, present, err := a.claims.String(name)
	return value, present && err == nil
}

// Parse reads a client assertion: a compact JWS (RFC 7515) whose payload is a
// strict JSON object (RFC 7519). It checks form only. Refusals: 50027 and,
// for absent claims, 90014.
//
// A JWT-SVID need not have an iss: its issuer then is the trust domain of the
// SPIFFE ID that is its subject, in all that follows.
func Parse(token string) (*Assertion, *oauth.Error) {
	return parse(token, sha256.Sum256([]byte(token)))
}

func parse(token string, hash [sha256.Size]byte) (*Assertion, *oauth.Error) {
	jws, err := jose.ParseCompact(token)
	if err != nil {
		return nil, oauth.Refuse(oauth.MalformedAssertion, "it is not a compact JWS ("+mangled(token, err)+")")
	}
	if !acceptedType(jws.Header.Type) {
		return nil, oauth.Refuse(oauth.MalformedAssertion, "its header says that it is of type '"+jws.Header.Type+"', which is no assertion")
	}
	claims, err := strictjson.ParseObject(jws.Payload, strictjson.Claims)
	if err != nil {
		return nil, oauth.Refuse(oauth.MalformedAssertion, "its payload is not a strict JSON object ("+err.Error()+")")
	}
	a := &Assertion{jws: jws, claims: claims, Hash: sha256.Sum256([]byte(token))}
	if refusal := a.readNames(claims); refusal != nil {
		return nil, refusal
	}
	return a, a.readTimes(claims)
}

// mangled names what scripts most often do to a token, or else the parser's
// complaint.
func mangled(token string, err error) string {
	switch {
	case len(token) > 7 && strings.EqualFold(token[:7], "Bearer "):
		return "it begins with Bearer; send the token alone"
	case strings.HasSuffix(token, "\n") || strings.HasSuffix(token, "\r"):
		return "it ends with a line break; send the token alone"
	case strings.HasPrefix(token, `"`):
		return "it begins with a quotation mark; send the token alone"
	}
	return err.Error()
}

// acceptedType holds the allow-list of RFC 8725 §3.11: platforms send JWT,
// Cognito sends JWS, Kubernetes sends none. Anything else names another kind
// of JWT.
func acceptedType(typ string) bool {
	return typ == "" || strings.EqualFold(typ, "JWT") || strings.EqualFold(typ, "JWS")
}

func (a *Assertion) readNames(claims strictjson.Object) *oauth.Error {
	var err error
	var hasIssuer, hasSubject, hasAudience bool
	if a.Issuer, hasIssuer, err = claims.String("iss"); err != nil {
		return wrongType("iss", "a string")
	}
	if a.Subject, hasSubject, err = claims.String("sub"); err != nil {
		return wrongType("sub", "a string")
	}
	if a.Audiences, hasAudience, err = claims.Strings("aud"); err != nil {
		return wrongType("aud", "a string or a list of strings")
	}
	if a.TokenID, _, err = claims.String("jti"); err != nil {
		return wrongType("jti", "a string")
	}
	if !hasIssuer {
		if a.Issuer, a.impliedIssuer = directory.TrustDomainOf(a.Subject); a.impliedIssuer {
			hasIssuer, a.claims = true, claims.With("iss", a.Issuer)
		}
	}
	switch {
	case !hasIssuer || a.Issuer == "":
		return oauth.Refuse(oauth.MissingClaim, "iss")
	case !hasSubject || a.Subject == "":
		return oauth.Refuse(oauth.MissingClaim, "sub")
	case !hasAudience || len(a.Audiences) == 0:
		return oauth.Refuse(oauth.MissingClaim, "aud")
	}
	for _, v := range append([]string{a.Issuer, a.Subject}, a.Audiences...) {
		if strings.ContainsRune(v, 0) {
			return oauth.Refuse(oauth.MalformedAssertion, "iss, sub or aud holds a NUL character")
		}
	}
	return nil
}

func (a *Assertion) readTimes(claims strictjson.Object) *oauth.Error {
	for _, t := range []struct {
		name    string
		at      *time.Time
		present *bool
	}{{"exp", &a.Expiry, &a.hasExpiry}, {"iat", &a.IssuedAt, &a.hasIssuedAt}, {"nbf", &a.NotBefore, nil}} {
		seconds, present, err := claims.Number(t.name)
		// Beyond the year 9999 a time is no time; the bound also keeps the
		// arithmetic on durations exact.
		if err != nil || math.Abs(seconds) > 253402300799 {
			return wrongType(t.name, "a number of seconds")
		}
		whole := math.Floor(seconds)
		*t.at = time.Unix(int64(whole), int64((seconds-whole)*1e9)).UTC()
		if t.present != nil {
			*t.present = present
		}
	}
	return nil
}

func wrongType(claim, want string) *oauth.Error {
	return oauth.Refuse(oauth.MalformedAssertion, "its claim "+claim+" is not "+want)
}
