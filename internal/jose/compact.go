package jose

import (
	"bytes"
	"encoding/base64"
	"strings"

	"cambio/internal/strictjson"
)

// maxToken bounds a compact JWS, in bytes. The largest tokens of known
// workload identity providers have about 3 KiB.
const maxToken = 16 << 10

// base64URL is the unpadded base64url of RFC 7515 §2. Strict refuses unused
// bits that are not zero, so that one signature has one spelling.
var base64URL = base64.RawURLEncoding.Strict()

// Header is what a token claims about its signature. Nothing in it is
// verified; it only helps to find the key.
type Header struct {
	Algorithm Algorithm // as given; it may be unknown
	KeyID     string    // kid
	HasKeyID  bool      // an empty kid differs from none
	Type      string    // typ; empty if absent
}

// JWS is a parsed token. Its payload must not be used before Verify.
type JWS struct {
	Header    Header
	Payload   []byte
	input     []byte // header and payload as they were sent, with the dot between
	signature []byte
}

// ParseError tells why a token or key set could not be read. Its text is safe
// to show.
type ParseError struct {
	Part   string // token, header, payload, signature or key set
	Reason string
}

// Error describes the fault.
func (e *ParseError) Error() string { return "invalid " + e.Part + ": " + e.Reason }

// ParseCompact parses a JWS in compact serialisation (RFC 7515 §7.1) of at
// most 16 KiB. An unknown or missing signature is no parse error: Verify
// fails on it. The error is a *ParseError.
func ParseCompact(token string) (*JWS, error) {
	// The length and the dots come first: nothing is split or decoded before
	// its size is known.
	if len(token) > maxToken {
		return nil, &ParseError{"token", "too long"}
	}
	first := strings.IndexByte(token, '.')
	last := strings.LastIndexByte(token, '.')
	if first < 0 || first == last || strings.IndexByte(token[first+1:last], '.') >= 0 {
		return nil, &ParseError{"token", "not three parts separated by dots"}
	}
	// One buffer holds the token and, behind it, the decoded parts.
	buf := make([]byte, 2*len(token))
	encoded, free := buf[:copy(buf, token)], buf[len(token):]
	header, free, err := decodePart("header", encoded[:first], free)
	if err != nil {
		return nil, err
	}
	payload, free, err := decodePart("payload", encoded[first+1:last], free)
	if err != nil {
		return nil, err
	}
	signature, _, err := decodePart("signature", encoded[last+1:], free)
	if err != nil {
		return nil, err
	}
	jws := &JWS{Payload: payload, input: encoded[:last:last], signature: signature}
	if err := jws.Header.parse(header); err != nil {
		return nil, err
	}
	return jws, nil
}

// decodePart decodes one part into the front of free and returns it with what
// is left of free.
func decodePart(part string, encoded, free []byte) (decoded, rest []byte, err error) {
	n, err := decodeBase64(free, encoded)
	if err != nil {
		return nil, nil, &ParseError{part, "not base64url"}
	}
	return free[:n:n], free[n:], nil
}

// decodeBase64 decodes strict base64url. The standard decoder skips line
// breaks, which RFC 7515 §2 does not allow.
func decodeBase64(dst, encoded []byte) (int, error) {
	if i := bytes.IndexByte(encoded, '\n'); i >= 0 {
		return 0, base64.CorruptInputError(i)
	}
	if i := bytes.IndexByte(encoded, '\r'); i >= 0 {
		return 0, base64.CorruptInputError(i)
	}
	return base64URL.Decode(dst, encoded)
}

// parse reads the protected header. Parameters that would change what is
// signed or how it must be processed are refused; parameters that name a key
// (jwk, jku, x5c, x5u, x5t) are not looked at.
func (h *Header) parse(doc []byte) error {
	object, err := strictjson.ParseObject(doc, strictjson.JOSEHeader)
	if err != nil {
		return &ParseError{"header", err.Error()}
	}
	for _, name := range [...]string{"crit", "b64", "zip", "enc", "epk", "apu", "apv", "iv", "tag", "p2s", "p2c"} {
		if _, present := object.Raw(name); present {
			return &ParseError{"header", "parameter not supported: " + name}
		}
	}
	alg, present, err := object.String("alg")
	if err != nil || !present {
		return &ParseError{"header", "alg is not a string"}
	}
	h.Algorithm = Algorithm(alg)
	if h.KeyID, h.HasKeyID, err = object.String("kid"); err != nil {
		return &ParseError{"header", "kid is not a string"}
	}
	if h.Type, _, err = object.String("typ"); err != nil {
		return &ParseError{"header", "typ is not a string"}
	}
	return nil
}
