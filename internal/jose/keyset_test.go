package jose_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"cambio/internal/jose"
)

func TestParseKeySetRefusesDocuments(t *testing.T) {
	good := string(keySetOf(publicJWK(&keys().rsa.PublicKey, "k1", jose.RS256)))
	inner := strings.TrimSuffix(good, "}")
	for name, doc := range map[string]string{
		"empty":              "",
		"no keys":            "{}",
		"null":               `{"keys":null}`,
		"object":             `{"keys":{}}`,
		"string":             `{"keys":"x"}`,
		"array at the top":   "[]",
		"other case":         `{"Keys":[]}`,
		"duplicate keys":     inner + `,"keys":[]}`,
		"duplicate in a key": strings.Replace(good, `"kty"`, `"kid":"k2","kty"`, 1),
		"cut off":            good[:len(good)-20],
		"text after it":      good + "x",
		"HTML":               "<html></html>",
		"byte order mark":    "\ufeff" + good,
		"too large":          good[:len(good)-1] + strings.Repeat(" ", 1<<20) + "}",
		"too many members":   `{"keys":[` + strings.Repeat("1,", 10000) + `1]}`,
		"too deep":           `{"keys":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + "}",
		"a signed set":       token(goodHeader, good, jose.ES256, keys().p256),
	} {
		set, err := jose.ParseKeySet([]byte(doc), 100)
		if _, isParseError := err.(*jose.ParseError); !isParseError || set != nil {
			t.Errorf("%s: %+v, %v", name, set, err)
		}
	}
	if set, err := jose.ParseKeySet([]byte(`{"keys":[]}`), 100); err != nil || len(set.Keys) != 0 {
		t.Errorf("empty set: %+v, %v", set, err)
	}
}

// The first 100 signature keys count; keys of another kind take no place.
func TestParseKeySetTakesTheFirstKeys(t *testing.T) {
	var entries []any
	for i := range 150 {
		entries = append(entries, publicJWK(&keys().p256.PublicKey, fmt.Sprint("f", i), jose.ES256))
	}
	set, err := jose.ParseKeySet(keySetOf(append([]any{jwk{"kty": "oct"}, "x"}, entries...)...), 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 100 || set.Keys[99].KeyID != "f99" {
		t.Errorf("%d keys, last %s", len(set.Keys), set.Keys[len(set.Keys)-1].KeyID)
	}
	last := set.Ignored[len(set.Ignored)-1]
	if len(set.Ignored) != 52 || last != (jose.IgnoredKey{Index: 151, KeyID: "f149", Reason: "beyond the largest number of keys"}) {
		t.Errorf("%d ignored, last %+v", len(set.Ignored), last)
	}
	if _, known := set.Candidates(jose.Header{Algorithm: jose.ES256, KeyID: "f100", HasKeyID: true}); known {
		t.Error("key 101 is known")
	}
	if set, err := jose.ParseKeySet(keySetOf(entries...), 0); err != nil || len(set.Keys) != 0 {
		t.Errorf("no key allowed: %+v, %v", set, err)
	}
	junk, err := jose.ParseKeySet([]byte(`{"keys":[`+strings.Repeat("1,", 9000)+`1]}`), 100)
	if err != nil || len(junk.Ignored) != 100 {
		t.Errorf("junk: %v", err)
	}
}

func TestCandidates(t *testing.T) {
	r := publicJWK(&keys().rsa.PublicKey, "r", jose.RS256)
	set, err := jose.ParseKeySet(keySetOf(
		r.with("alg", nil), publicJWK(&keys().p256.PublicKey, "e", jose.ES256), publicJWK(&keys().p384.PublicKey, "e", jose.ES384),
		r.with("kid", "many"), r.with("kid", "many"), r.with("kid", "many"), r.with("kid", "many"), r.with("kid", "many"),
		r.with("kid", nil), r.with("kid", ""), publicJWK(keys().ed.Public(), "d", jose.EdDSA)), 100)
	if err != nil || len(set.Ignored) != 0 {
		t.Fatal(set, err)
	}
	cases := []struct {
		header jose.Header
		count  int
		known  bool
	}{
		{jose.Header{Algorithm: jose.RS256, KeyID: "r", HasKeyID: true}, 1, true},
		{jose.Header{Algorithm: jose.PS512, KeyID: "r", HasKeyID: true}, 1, true},
		{jose.Header{Algorithm: jose.ES256, KeyID: "r", HasKeyID: true}, 0, true},
		{jose.Header{Algorithm: "HS256", KeyID: "r", HasKeyID: true}, 0, true},
		{jose.Header{Algorithm: "none", KeyID: "r", HasKeyID: true}, 0, true},
		{jose.Header{Algorithm: jose.RS256, KeyID: "R", HasKeyID: true}, 0, false},
		{jose.Header{Algorithm: jose.ES384, KeyID: "e", HasKeyID: true}, 1, true},
		{jose.Header{Algorithm: jose.RS256, KeyID: "many", HasKeyID: true}, 4, true},
		{jose.Header{Algorithm: jose.RS256, KeyID: "", HasKeyID: true}, 1, true}, // the empty kid, not the missing one
		{jose.Header{Algorithm: jose.RS256}, 4, true},
		{jose.Header{Algorithm: jose.PS256}, 1, true},
		{jose.Header{Algorithm: jose.EdDSA}, 1, true},
		{jose.Header{Algorithm: "HS256"}, 0, true},
	}
	for _, c := range cases {
		candidates, known := set.Candidates(c.header)
		if len(candidates) != c.count || known != c.known {
			t.Errorf("%+v: %d candidates, known %v; want %d, %v", c.header, len(candidates), known, c.count, c.known)
		}
		for _, key := range candidates {
			if !key.Supports(c.header.Algorithm) {
				t.Errorf("%+v: candidate %s does not support it", c.header, key.KeyID)
			}
		}
	}
	if len(set.Keys) != 11 {
		t.Errorf("Candidates changed the set: %d keys", len(set.Keys))
	}
	if candidates, known := new(jose.KeySet).Candidates(jose.Header{Algorithm: jose.RS256, HasKeyID: true}); len(candidates) != 0 || known {
		t.Error("the empty set knows a key")
	}
}

// Two keys with one kid are both tried.
func TestDuplicateKeyID(t *testing.T) {
	set, err := jose.ParseKeySet(keySetOf(publicJWK(&keys().rsa2.PublicKey, "k1", jose.RS256), publicJWK(&keys().rsa.PublicKey, "k1", jose.RS256)), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, signer := range []int{0, 1} {
		key := keys().rsa2
		if signer == 1 {
			key = keys().rsa
		}
		jws, err := jose.ParseCompact(token(`{"alg":"RS256","kid":"k1"}`, "{}", jose.RS256, key))
		if err != nil {
			t.Fatal(err)
		}
		candidates, _ := set.Candidates(jws.Header)
		if len(candidates) != 2 || jws.Verify(candidates[signer]) != nil || jws.Verify(candidates[1-signer]) == nil {
			t.Errorf("key %d: %d candidates", signer, len(candidates))
		}
	}
}

// A kid is data of the issuer: it reaches nobody but as bytes to compare.
func TestIgnoredKeysAreBounded(t *testing.T) {
	doc := keySetOf(jwk{"kty": "RSA", "kid": strings.Repeat("k", 100000)}, jwk{"kty": "RSA", "kid": "a\r\nX: 1"})
	set, err := jose.ParseKeySet(doc, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Ignored) != 2 || set.Ignored[0].KeyID != "" || set.Ignored[1].KeyID != "a\r\nX: 1" {
		t.Errorf("%+v", set.Ignored)
	}
	if bytes.Contains(fmt.Append(nil, set.Ignored), bytes.Repeat([]byte("k"), 300)) {
		t.Error("a long kid was kept")
	}
}
