package jose_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"slices"
	"testing"

	"cambio/internal/jose"
)

// exception is valid vectors that are refused here on purpose. There is no
// table of the other kind: no invalid vector is accepted.
type exception struct {
	ids    []int
	reason string
}

// joseFiles names the wycheproof files about JOSE, how many vectors they hold,
// how many of them verify here, and which valid ones do not.
var joseFiles = []struct {
	file              string
	vectors, accepted int
	exceptions        []exception
}{
	{"json_web_signature_test.json", 401, 32, []exception{
		{[]int{1, 348, 352, 357, 358, 359, 372, 373, 376, 377}, "symmetric algorithm (HS256)"},
		{[]int{346, 350}, "the JWK is bound to PS256 by its alg, the token says PS384 (RFC 8725 §3.1)"},
		{[]int{347, 351}, "the alg of the JWK is ES521, which does not exist; a key with an unknown alg is not used"},
	}},
	{"json_web_key_test.json", 26, 1, []exception{
		{[]int{2, 13, 14, 15}, "symmetric algorithm (HS256, HS384, HS512)"},
	}},
	{"json_web_crypto_test.json", 83, 2, []exception{
		{[]int{1, 48}, "symmetric algorithm (HS256)"},
		{[]int{50, 67}, "encrypted (JWE)"},
	}},
}

// joseVectors is the common shape of these files.
type joseVectors struct {
	TestGroups []struct {
		Comment string          `json:"comment"`
		Private json.RawMessage `json:"private"`
		Public  json.RawMessage `json:"public"`
		Tests   []joseVector    `json:"tests"`
	} `json:"testGroups"`
}

type joseVector struct {
	TcID    int             `json:"tcId"`
	Comment string          `json:"comment"`
	JWS     json.RawMessage `json:"jws"`
	JWE     json.RawMessage `json:"jwe"`
	Result  string          `json:"result"`
}

// compact is the token of a vector: a string, or a JSON serialisation that is
// tried as it stands.
func (v joseVector) compact() string {
	raw := append(v.JWS, v.JWE...)
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return string(raw)
	}
	return text
}

func TestWycheproofJOSE(t *testing.T) {
	for _, f := range joseFiles {
		var vectors joseVectors
		readVectors(t, "wycheproof/"+f.file, &vectors)
		excepted := map[int]bool{}
		for _, e := range f.exceptions {
			for _, id := range e.ids {
				excepted[id] = true
			}
		}
		total, verified := 0, 0
		for _, group := range vectors.TestGroups {
			key := group.Public
			if key == nil {
				key = group.Private
			}
			set := wycheproofSet(t, key)
			for _, vector := range group.Tests {
				total++
				accepted := setAccepts(set, vector.compact())
				if want := vector.Result == "valid" && !excepted[vector.TcID]; accepted != want {
					t.Errorf("%s %d (%s, %s): accepted %v, vector says %s", f.file, vector.TcID, group.Comment, vector.Comment, accepted, vector.Result)
				}
				if accepted {
					verified++
				}
			}
		}
		t.Logf("%s: %d vectors, %d accepted, %d refused, %d of these valid but excepted", f.file, total, verified, total-verified, len(excepted))
		if total != f.vectors || verified != f.accepted {
			t.Errorf("%s: %d vectors, %d accepted; want %d, %d", f.file, total, verified, f.vectors, f.accepted)
		}
	}
}

// Nothing encrypted can be read, whether its vector is valid or not.
func TestWycheproofEncryption(t *testing.T) {
	var vectors joseVectors
	readVectors(t, "wycheproof/json_web_encryption_test.json", &vectors)
	total := 0
	for _, group := range vectors.TestGroups {
		for _, vector := range group.Tests {
			total++
			if jws, err := jose.ParseCompact(vector.compact()); err == nil {
				t.Errorf("%d (%s, %s) parsed as %+v", vector.TcID, group.Comment, vector.Comment, jws.Header)
			}
		}
	}
	t.Logf("json_web_encryption_test.json: %d vectors, none accepted", total)
	if total != 139 {
		t.Errorf("%d vectors", total)
	}
}

// The vectors on base64 are signed with HS256 and would be refused anyway; so
// the parser itself must refuse the spellings that are not strict base64url.
func TestWycheproofBase64(t *testing.T) {
	var vectors joseVectors
	readVectors(t, "wycheproof/json_web_signature_test.json", &vectors)
	wellFormed := map[int]bool{357: true, 358: true, 359: true, 376: true, 377: true,
		367: true, 370: true} // these two are the same token as 357 although marked as invalid
	total := 0
	for _, group := range vectors.TestGroups {
		if group.Comment != "base64" {
			continue
		}
		for _, vector := range group.Tests {
			total++
			if _, err := jose.ParseCompact(vector.compact()); (err == nil) != wellFormed[vector.TcID] {
				t.Errorf("%d (%s): %v", vector.TcID, vector.Comment, err)
			}
		}
	}
	if total != 21 {
		t.Errorf("%d vectors", total)
	}
}

// wycheproofSet reads a key or key set as an issuer would publish it.
func wycheproofSet(t *testing.T, key json.RawMessage) *jose.KeySet {
	var probe struct {
		Keys json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(key, &probe); err != nil {
		t.Fatal(err)
	}
	if probe.Keys == nil {
		key = []byte(`{"keys":[` + string(key) + `]}`)
	}
	set, err := jose.ParseKeySet(key, 100)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func setAccepts(set *jose.KeySet, compact string) bool {
	jws, err := jose.ParseCompact(compact)
	if err != nil {
		return false
	}
	candidates, _ := set.Candidates(jws.Header)
	return slices.ContainsFunc(candidates, func(key *jose.PublicKey) bool { return jws.Verify(key) == nil })
}

// rawFiles names the files with signatures over plain messages, which go
// through the same verifier. A vector that is "acceptable" (RSA 8: the
// DigestInfo lacks its NULL) counts as invalid.
var rawFiles = []struct {
	file              string
	alg               jose.Algorithm
	vectors, accepted int
	refused           map[int]string // valid vectors that are refused on purpose
}{
	{"rsa_signature_2048_sha256_test.json", jose.RS256, 259, 7, map[int]string{
		258: "RSA exponent 3", 259: "RSA exponent 3",
	}},
	{"rsa_pss_2048_sha256_mgf1_32_test.json", jose.PS256, 108, 63, nil},
	{"ecdsa_secp256r1_sha256_p1363_test.json", jose.ES256, 262, 173, nil},
	{"ecdsa_secp384r1_sha384_p1363_test.json", jose.ES384, 280, 193, nil},
	{"ecdsa_secp521r1_sha512_p1363_test.json", jose.ES512, 318, 231, nil},
	{"ed25519_test.json", jose.EdDSA, 151, 88, nil},
}

// rawVectors is the common shape of these files.
type rawVectors struct {
	TestGroups []rawGroup `json:"testGroups"`
}

type rawGroup struct {
	KeyJWK       json.RawMessage `json:"keyJwk"`
	PublicKeyJWK json.RawMessage `json:"publicKeyJwk"`
	PublicKey    struct {
		Uncompressed string `json:"uncompressed"`
	} `json:"publicKey"`
	Tests []struct {
		TcID    int    `json:"tcId"`
		Comment string `json:"comment"`
		Msg     string `json:"msg"`
		Sig     string `json:"sig"`
		Result  string `json:"result"`
	} `json:"tests"`
}

func TestWycheproofSignatures(t *testing.T) {
	for _, f := range rawFiles {
		var vectors rawVectors
		readVectors(t, "wycheproof/"+f.file, &vectors)
		total, verified := 0, 0
		for _, group := range vectors.TestGroups {
			key := rawKey(t, group, f.alg)
			for _, vector := range group.Tests {
				total++
				accepted := key != nil && jose.VerifyRaw(key, f.alg, must(hex.DecodeString(vector.Msg)), must(hex.DecodeString(vector.Sig))) == nil
				if want := vector.Result == "valid" && f.refused[vector.TcID] == ""; accepted != want {
					t.Errorf("%s %d (%s): accepted %v, vector says %s", f.file, vector.TcID, vector.Comment, accepted, vector.Result)
				}
				if accepted {
					verified++
				}
			}
		}
		t.Logf("%s: %d vectors, %d accepted, %d refused, %d of these valid but excepted", f.file, total, verified, total-verified, len(f.refused))
		if total != f.vectors || verified != f.accepted {
			t.Errorf("%s: %d vectors, %d accepted; want %d, %d", f.file, total, verified, f.vectors, f.accepted)
		}
	}
}

// rawKey reads the key of a group, from its JWK if it has one; nil if the key
// is refused.
func rawKey(t *testing.T, group rawGroup, alg jose.Algorithm) *jose.PublicKey {
	doc := append(group.KeyJWK, group.PublicKeyJWK...)
	if len(doc) == 0 {
		curves := map[jose.Algorithm]elliptic.Curve{jose.ES256: elliptic.P256(), jose.ES384: elliptic.P384(), jose.ES512: elliptic.P521()}
		return publicKey(t, must(ecdsa.ParseUncompressedPublicKey(curves[alg], must(hex.DecodeString(group.PublicKey.Uncompressed)))), alg)
	}
	set := wycheproofSet(t, doc)
	if len(set.Keys) == 0 {
		return nil
	}
	return set.Keys[0]
}
