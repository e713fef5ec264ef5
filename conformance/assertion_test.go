package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/rogpeppe/go-internal/testscript"
)

// rsaKeys are made once: k1 of every issuer is the first, other RSA keys are
// the second.
var rsaKeys = sync.OnceValue(func() [2]*rsa.PrivateKey {
	var keys [2]*rsa.PrivateKey
	for i := range keys {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = k
	}
	return keys
})

// newKeys reads key descriptions: KID:TYPE with TYPE one of RSA, P-256,
// P-384, P-521, Ed25519; or a number N for RSA keys k1 … kN.
func newKeys(specs []string) ([]issuerKey, error) {
	if len(specs) == 0 {
		specs = []string{"1"}
	}
	var keys []issuerKey
	for _, spec := range specs {
		if n, err := strconv.Atoi(spec); err == nil {
			for i := 1; i <= n; i++ {
				keys = append(keys, issuerKey{fmt.Sprintf("k%d", i), rsaKeys()[min(i-1, 1)]})
			}
			continue
		}
		kid, kind, _ := strings.Cut(spec, ":")
		private, err := newKey(kind, len(keys))
		if err != nil {
			return nil, err
		}
		keys = append(keys, issuerKey{kid, private})
	}
	return keys, nil
}

func newKey(kind string, n int) (crypto.Signer, error) {
	switch kind {
	case "RSA":
		return rsaKeys()[min(n, 1)], nil
	case "P-256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "P-384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "P-521":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "Ed25519":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("unknown type of key %q", kind)
}

// nowExpression is the one expression that claim values may hold.
var nowExpression = regexp.MustCompile(`^now([+-]\d+)?$`)

// moment evaluates now, now+SECONDS and now-SECONDS.
func moment(text string, now int64) (int64, bool) {
	m := nowExpression.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	offset, _ := strconv.ParseInt(m[1], 10, 64) // empty is 0
	return now + offset, true
}

// members are the claims and the header of an assertion.
type members struct{ claims, header map[string]any }

// parse applies arguments: name=string, name:=JSON (or now±SECONDS), -name;
// a name that starts with "header." is one of the header.
func (m members) parse(args []string) error {
	now := time.Now().Unix() // one for all, so that differences are exact
	for _, arg := range args {
		into := m.claims
		if arg[0] == '-' {
			name := arg[1:]
			if h, ok := strings.CutPrefix(name, "header."); ok {
				name, into = h, m.header
			}
			into[name] = nil
			continue
		}
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is none of name=string, name:=JSON, -name", arg)
		}
		var v any = value
		if raw, isJSON := strings.CutSuffix(name, ":"); isJSON {
			name = raw
			if t, ok := moment(value, now); ok {
				v = t
			} else {
				v = jsontext.Value(value)
			}
		}
		if h, ok := strings.CutPrefix(name, "header."); ok {
			name, into = h, m.header
		}
		into[name] = v
	}
	return nil
}

// dropNull removes what -name asked to leave out. The provider of `mint` does
// so itself, because it has defaults of its own.
func (m members) dropNull() {
	for _, members := range []map[string]any{m.claims, m.header} {
		for name, value := range members {
			if value == nil {
				delete(members, name)
			}
		}
	}
}

// goodClaims are what every minted or signed assertion starts from.
func goodClaims(ts *testscript.TestScript, issuer string) map[string]any {
	now := time.Now().Unix()
	return map[string]any{
		"iss": issuer, "sub": ts.Getenv("SUBJECT"), "aud": ts.Getenv("AUDIENCE"),
		"iat": now, "nbf": now, "exp": now + 3600,
	}
}

// cmdMint lets the identity provider of the server under test sign claims:
//
//	mint [member…]
//
// and puts the token into $assertion. A member that is to be left out is sent
// as null.
func (s *session) cmdMint(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	m := members{goodClaims(ts, ts.Getenv("ISSUER")), map[string]any{}}
	ts.Check(m.parse(args))
	body, err := json.Marshal(map[string]any{"claims": m.claims, "header": m.header})
	ts.Check(err)
	req, err := http.NewRequest(http.MethodPost, s.target.IDP.MintURL, strings.NewReader(string(body)))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.target.http.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	ts.Check(err)
	var minted struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(answer, &minted); err != nil || minted.Token == "" {
		ts.Fatalf("mint: %s %s", resp.Status, answer)
	}
	ts.Setenv("assertion", minted.Token)
}

// cmdSign signs claims with a key of the script's own:
//
//	sign ISSUER [member…] [header@FILE] [payload@FILE]
//
// ISSUER is the name of an `issuer` command, or "-" for a key that nobody
// publishes, with the built-in provider as iss. header.alg chooses the
// algorithm (none and HS256 too), header.kid the key; both have defaults, and
// -header.kid leaves the member out. The files hold the header and the payload
// literally. The token goes into $assertion.
func (s *session) cmdSign(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) == 0 {
		ts.Fatalf("usage: sign ISSUER [member…]")
	}
	iss, keys := ts.Getenv("ISSUER"), []issuerKey{{"k1", rsaKeys()[0]}}
	if args[0] != "-" {
		is := s.issuer(ts, args[0])
		iss, keys = is.url, is.keys
	}
	m := members{goodClaims(ts, iss), map[string]any{"typ": "JWT", "kid": keys[0].kid}}
	var header, payload []byte
	var rest []string
	for _, arg := range args[1:] {
		if file, ok := strings.CutPrefix(arg, "header@"); ok {
			header = []byte(literal(ts, file))
		} else if file, ok := strings.CutPrefix(arg, "payload@"); ok {
			payload = []byte(literal(ts, file))
		} else {
			rest = append(rest, arg)
		}
	}
	ts.Check(m.parse(rest))
	m.dropNull()
	key := keys[0]
	for _, k := range keys {
		if k.kid == m.header["kid"] {
			key = k
		}
	}
	if m.header["alg"] == nil {
		m.header["alg"] = naturalAlgorithm(key.private)
	}
	alg, _ := m.header["alg"].(string)
	if header == nil {
		header = mustJSON(ts, m.header)
	}
	if payload == nil {
		payload = mustJSON(ts, m.claims)
	}
	enc := base64.RawURLEncoding.EncodeToString
	input := enc(header) + "." + enc(payload)
	signature, err := signJWS(alg, key.private, []byte(input))
	ts.Check(err)
	ts.Setenv("assertion", input+"."+enc(signature))
}

// literal is a file's text with variables filled in and the end of the last
// line dropped.
func literal(ts *testscript.TestScript, file string) string {
	return strings.TrimSuffix(expand(ts, ts.ReadFile(file)), "\n")
}

func mustJSON(ts *testscript.TestScript, v any) []byte {
	text, err := json.Marshal(v)
	ts.Check(err)
	return text
}

func naturalAlgorithm(key crypto.Signer) string {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[k.Curve.Params().BitSize]
	case ed25519.PrivateKey:
		return "EdDSA"
	}
	return "RS256"
}

// signJWS makes the signature of a JWS. What is no algorithm gets RS256's
// signature, so that only the header is wrong.
func signJWS(alg string, key crypto.Signer, input []byte) ([]byte, error) {
	hash := crypto.SHA256
	switch {
	case strings.HasSuffix(alg, "384"):
		hash = crypto.SHA384
	case strings.HasSuffix(alg, "512"):
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write(input)
	digest := h.Sum(nil)
	switch {
	case strings.EqualFold(alg, "none"):
		return nil, nil
	case strings.HasPrefix(alg, "HS"):
		mac := hmac.New(sha256.New, []byte("shared secret"))
		mac.Write(input)
		return mac.Sum(nil), nil
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if strings.HasPrefix(alg, "PS") {
			return k.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash})
		}
		return k.Sign(rand.Reader, digest, hash)
	case ed25519.PrivateKey:
		return k.Sign(nil, input, crypto.Hash(0))
	case *ecdsa.PrivateKey:
		r, v, err := ecdsa.Sign(rand.Reader, k, digest)
		if err != nil {
			return nil, err
		}
		size := (k.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), v.FillBytes(make([]byte, size))...), nil
	}
	return nil, fmt.Errorf("no way to sign %s with %T", alg, key)
}

// cmdTamper changes one bit of the signature of $assertion:
//
//	tamper
func (s *session) cmdTamper(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 0, "tamper")
	parts := strings.Split(ts.Getenv("assertion"), ".")
	if len(parts) != 3 {
		ts.Fatalf("$assertion has %d parts", len(parts))
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	ts.Check(err)
	signature[len(signature)/2] ^= 1
	parts[2] = base64.RawURLEncoding.EncodeToString(signature)
	ts.Setenv("assertion", strings.Join(parts, "."))
}
