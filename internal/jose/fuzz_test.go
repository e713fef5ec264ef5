package jose_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"cambio/internal/jose"
	oraclejson "github.com/go-jose/go-jose/v4/json"
)

// FuzzParseCompact: what parses has one spelling only, and go-jose reads the
// same header and payload from it.
func FuzzParseCompact(f *testing.F) {
	for _, seed := range []string{rfc7515A1, rfc7515A2, rfc7515A3, rfc7515A4, rfc7515A5, "", "..", "a.b.c", strings.Repeat(".", 50),
		glued(`{"alg":"RS256","crit":["b64"],"b64":false}`, "x", nil), glued(`{"alg":"RS256","kid":"\ud83d\ude00"}`, "{}", []byte{1})} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		jws, err := jose.ParseCompact(compact)
		if err != nil {
			var refused *jose.ParseError
			if !errors.As(err, &refused) || jws != nil {
				t.Fatalf("%+v, %v", jws, err)
			}
			return
		}
		parts := strings.Split(compact, ".")
		if len(parts) != 3 || b64(jws.Payload) != parts[1] {
			t.Fatalf("payload %q of %q", jws.Payload, compact)
		}
		var header struct {
			Alg string `json:"alg"`
			Kid string `json:"kid"`
			Typ string `json:"typ"`
		}
		raw, err := base64.RawURLEncoding.DecodeString(parts[0])
		if err != nil || !json.Valid(raw) {
			t.Fatalf("header %q: %v", raw, err)
		}
		// The JSON parser of go-jose takes names exactly, as ours does.
		err = oraclejson.Unmarshal(raw, &header)
		if err != nil || header.Alg != string(jws.Header.Algorithm) || header.Kid != jws.Header.KeyID || header.Typ != jws.Header.Type {
			t.Fatalf("%+v, go-jose has %+v, %v", jws.Header, header, err)
		}
	})
}

// FuzzParseKeySet: every key that is taken can be published again and gives
// the same key, and the bounds hold.
func FuzzParseKeySet(f *testing.F) {
	for alg, signer := range signers() {
		f.Add(keySetOf(publicJWK(signer.Public(), "k1", alg)))
	}
	f.Add([]byte(`{"keys":[null,1,{"kty":"oct"},{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	f.Add([]byte(`{"keys":[],"keys":[]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		set, err := jose.ParseKeySet(doc, 3)
		if err != nil {
			var refused *jose.ParseError
			if !errors.As(err, &refused) || set != nil {
				t.Fatalf("%+v, %v", set, err)
			}
			return
		}
		if !json.Valid(doc) || len(set.Keys) > 3 || len(set.Ignored) > 100 {
			t.Fatalf("%d keys, %d ignored", len(set.Keys), len(set.Ignored))
		}
		for _, key := range set.Keys {
			supported := 0
			for alg := range signers() {
				if key.Supports(alg) {
					supported++
				}
			}
			if supported == 0 || key.Supports("HS256") || key.Supports("none") || key.Supports("") || len(key.Thumbprint()) != 43 {
				t.Fatalf("%+v supports %d algorithms", key, supported)
			}
		}
	})
}

// FuzzVerify: of the examples of the RFCs and everything near them, only the
// examples themselves verify.
func FuzzVerify(f *testing.F) {
	set, err := jose.ParseKeySet([]byte(rfc7515Keys), 100)
	if err != nil {
		f.Fatal(err)
	}
	good := map[string]bool{rfc7515A2: true, rfc7515A3: true, rfc7515A4: true, rfc8037A4: true}
	for compact := range good {
		f.Add(compact)
	}
	f.Add(rfc7515A1)
	f.Add(rfc7515A5)
	f.Fuzz(func(t *testing.T, compact string) {
		jws, err := jose.ParseCompact(compact)
		if err != nil {
			if good[compact] {
				t.Fatal(err)
			}
			return
		}
		candidates, known := set.Candidates(jws.Header)
		if len(candidates) > 0 && !known {
			t.Fatal("candidates for an unknown key")
		}
		verified := false
		for _, key := range set.Keys {
			valid := jws.Verify(key) == nil
			if valid && !key.Supports(jws.Header.Algorithm) {
				t.Fatalf("verified %q by a key that does not support it", compact)
			}
			verified = verified || valid
		}
		if verified != good[compact] {
			t.Fatalf("%q: verified %v", compact, verified)
		}
	})
}
