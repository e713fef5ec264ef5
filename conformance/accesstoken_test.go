package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"
)

// accessToken splits the last answer's access token.
func (s *session) accessToken(ts *testscript.TestScript) (header, claims map[string]any, input, signature []byte) {
	v, _ := at(s.parsed(ts), "access_token")
	token, ok := v.(string)
	parts := strings.Split(token, ".")
	if !ok || len(parts) != 3 {
		ts.Fatalf("no access token in the answer: %d %.600s", s.last.status, s.last.body)
	}
	decode := func(part string) []byte {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		ts.Check(err)
		return b
	}
	ts.Check(json.Unmarshal(decode(parts[0]), &header))
	ts.Check(json.Unmarshal(decode(parts[1]), &claims))
	return header, claims, []byte(parts[0] + "." + parts[1]), decode(parts[2])
}

// cmdIssued checks that the last answer is a token and verifies it.
func (s *session) cmdIssued(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, args, 0, "issued")
	s.cmdStatus(ts, neg, []string{"200"})
	s.cmdVerify(ts, neg, nil)
}

func (s *session) cmdClaims(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 2, "claims PATH VALUE")
	_, claims, _, _ := s.accessToken(ts)
	checkValue(ts, claims, args[0], args[1])
}

func (s *session) cmdNoClaims(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 1, "noclaims PATH")
	_, claims, _, _ := s.accessToken(ts)
	if got, ok := at(claims, args[0]); ok {
		ts.Fatalf("claim %s is %s, want it absent", args[0], text(got))
	}
}

// cmdAccessToken compares the whole access token with a JSON object of the
// members header and claims: accesstoken FILE.
func (s *session) cmdAccessToken(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 1, "accesstoken FILE")
	header, claims, _, _ := s.accessToken(ts)
	if wrong := diff(ts, expand(ts, ts.ReadFile(args[0])), map[string]any{"header": header, "claims": claims}); wrong != nil {
		ts.Fatalf("%s\nheader: %s\nclaims: %s", strings.Join(wrong, "\n"), text(header), text(claims))
	}
}

// cmdLifetime checks the token's times: lifetime MIN MAX, in seconds. nbf is
// iat, and expires_in is exp less now, with 3 s for a slow machine.
func (s *session) cmdLifetime(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 2, "lifetime MIN MAX")
	_, claims, _, _ := s.accessToken(ts)
	number := func(v any) float64 {
		switch n := v.(type) {
		case float64:
			return n
		case string:
			return parseNumber(ts, n)
		}
		ts.Fatalf("%v is no number", v)
		return 0
	}
	iat, nbf, exp := number(claims["iat"]), number(claims["nbf"]), number(claims["exp"])
	in, _ := at(s.parsed(ts), "expires_in")
	now := time.Now().Unix()
	if left := number(in); left < parseNumber(ts, args[0]) || left > parseNumber(ts, args[1]) {
		ts.Fatalf("expires_in %v is not within %s … %s", left, args[0], args[1])
	}
	if nbf != iat {
		ts.Fatalf("nbf %v differs from iat %v", nbf, iat)
	}
	if d := exp - float64(now) - number(in); d > 1 || d < -3 {
		ts.Fatalf("expires_in %v is not exp − now = %v", number(in), exp-float64(now))
	}
}

// cmdVerify verifies the access token by the published keys, found from the
// discovery document of the token's version alone.
func (s *session) cmdVerify(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	header, claims, input, signature := s.accessToken(ts)
	version := "v2.0/"
	if claims["ver"] == "1.0" {
		version = ""
	}
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	s.fetch(ts, s.target.BaseURL+"/"+ts.Getenv("TENANT")+"/"+version+".well-known/openid-configuration", &document)
	if claims["iss"] != document.Issuer {
		ts.Fatalf("iss %v is not the document's issuer %s", claims["iss"], document.Issuer)
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	s.fetch(ts, document.JWKSURI, &set)
	for _, key := range set.Keys {
		if key["kid"] == header["kid"] {
			ts.Check(verifyJWS(header["alg"], key, input, signature))
			return
		}
	}
	ts.Fatalf("no published key has kid %v", header["kid"])
}

// fetch reads a JSON document without touching the last answer.
func (s *session) fetch(ts *testscript.TestScript, address string, into any) {
	resp, err := s.target.http.Get(address)
	ts.Check(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("GET %s: %s", address, resp.Status)
	}
	ts.Check(json.UnmarshalRead(resp.Body, into))
}

func verifyJWS(alg any, jwk map[string]any, input, signature []byte) error {
	if a, ok := jwk["alg"]; ok && a != alg {
		return fmt.Errorf("the token's alg is %v, the key's %v", alg, a)
	}
	part := func(name string) *big.Int {
		s, _ := jwk[name].(string)
		b, _ := base64.RawURLEncoding.DecodeString(s)
		return new(big.Int).SetBytes(b)
	}
	digest := sha256.Sum256(input)
	switch alg {
	case "RS256":
		key := &rsa.PublicKey{N: part("n"), E: int(part("e").Int64())}
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature)
	case "ES256":
		x, y := part("x").FillBytes(make([]byte, 32)), part("y").FillBytes(make([]byte, 32))
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		if err != nil {
			return err
		}
		if len(signature) != 64 {
			return fmt.Errorf("an ES256 signature of %d bytes", len(signature))
		}
		if !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			return fmt.Errorf("the ES256 signature does not verify")
		}
		return nil
	}
	return fmt.Errorf("alg %s is neither RS256 nor ES256", strconv.Quote(fmt.Sprint(alg)))
}
