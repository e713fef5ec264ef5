package jose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"strings"
	"testing"

	"cambio/internal/jose"
	oracle "github.com/go-jose/go-jose/v4"
)

// allAlgorithms is what the oracle is told to accept.
var allAlgorithms = []oracle.SignatureAlgorithm{oracle.RS256, oracle.RS384, oracle.RS512, oracle.PS256, oracle.PS384, oracle.PS512,
	oracle.ES256, oracle.ES384, oracle.ES512, oracle.EdDSA}

// oracleAccepts verifies with go-jose.
func oracleAccepts(compact string, pub crypto.PublicKey) bool {
	parsed, err := oracle.ParseSignedCompact(compact, allAlgorithms)
	if err != nil {
		return false
	}
	_, err = parsed.Verify(pub)
	return err == nil
}

// Both implementations accept what either signs, under every algorithm; of
// damaged tokens ours accepts nothing.
func TestAgreesWithGoJOSE(t *testing.T) {
	for alg, signer := range signers() {
		header := `{"alg":"` + string(alg) + `","kid":"k1","typ":"JWT"}`
		ours := token(header, githubClaims, alg, signer)
		if !oracleAccepts(ours, signer.Public()) {
			t.Errorf("%s: go-jose refuses our token", alg)
		}
		other, err := oracle.NewSigner(oracle.SigningKey{Algorithm: oracle.SignatureAlgorithm(alg), Key: signer}, (&oracle.SignerOptions{}).WithType("JWT"))
		if err != nil {
			t.Fatal(err)
		}
		theirs := must(must(other.Sign([]byte(githubClaims))).CompactSerialize())
		bound, free := publicKey(t, signer.Public(), alg), publicKey(t, signer.Public(), "")
		for _, key := range []*jose.PublicKey{bound, free} {
			if err := verify(ours, key); err != nil {
				t.Errorf("%s: our token: %v", alg, err)
			}
			if err := verify(theirs, key); err != nil {
				t.Errorf("%s: their token: %v", alg, err)
			}
		}
		for i := 0; i < len(ours); i += 13 {
			for _, replacement := range []string{"A", "_", ".", "=", "", "AA", "\n"} {
				damaged := ours[:i] + replacement + ours[i+1:]
				if damaged != ours && verify(damaged, free) == nil {
					t.Errorf("%s: accepted with %q at %d; go-jose: %v", alg, replacement, i, oracleAccepts(damaged, signer.Public()))
				}
			}
		}
	}
}

// Every pair of key and algorithm that does not fit is refused, on both sides.
func TestKeyDecidesTheAlgorithm(t *testing.T) {
	for signedWith, signer := range signers() {
		for keyBoundTo, holder := range signers() {
			if signedWith == keyBoundTo {
				continue
			}
			compact := token(`{"alg":"`+string(signedWith)+`"}`, "{}", signedWith, signer)
			if verify(compact, publicKey(t, holder.Public(), keyBoundTo)) == nil {
				t.Errorf("%s token verified by a key for %s", signedWith, keyBoundTo)
			}
			relabelled := `{"alg":"` + string(keyBoundTo) + `"}`
			if verify(token(relabelled, "{}", signedWith, signer), publicKey(t, holder.Public(), keyBoundTo)) == nil {
				t.Errorf("%s signature verified as %s", signedWith, keyBoundTo)
			}
		}
	}
	for _, alg := range []jose.Algorithm{"", "none", "HS256", "ES256K", "RS1", "Ed448"} {
		for _, signer := range signers() {
			if _, err := jose.Sign(alg, signer, []byte("x"), nil); err == nil {
				t.Errorf("Sign under %q", alg)
			}
		}
	}
	if _, err := jose.Sign(jose.ES384, keys().p256, []byte("x"), nil); err == nil {
		t.Error("Sign under ES384 with P-256")
	}
}

// Values that are no signatures under any key.
func TestHostileSignatures(t *testing.T) {
	n, q := keys().rsa.N, elliptic.P256().Params().N
	header, input := `{"alg":"ES256"}`, b64([]byte(`{"alg":"ES256"}`))+"."+b64([]byte("{}"))
	digest := sha256.Sum256([]byte(input))
	der := must(ecdsa.SignASN1(rand.Reader, keys().p256, digest[:]))
	ecCases := map[string][]byte{
		"none": nil, "zeros": make([]byte, 64), "DER": der, "short": make([]byte, 63), "long": make([]byte, 65), "ES512 length": make([]byte, 132),
		"n and n": append(q.Bytes(), q.Bytes()...), "all ones": bytes.Repeat([]byte{0xff}, 64),
		"one and one": append(big.NewInt(1).FillBytes(make([]byte, 32)), big.NewInt(1).FillBytes(make([]byte, 32))...),
	}
	for name, signature := range ecCases {
		if verify(glued(header, "{}", signature), publicKey(t, &keys().p256.PublicKey, "")) != jose.ErrSignature {
			t.Errorf("ES256 %s accepted", name)
		}
	}
	header = `{"alg":"RS256"}`
	good := new(big.Int).SetBytes(must(jose.Sign(jose.RS256, keys().rsa, []byte(b64([]byte(header))+"."+b64([]byte("{}"))), nil)))
	for name, value := range map[string]*big.Int{"0": {}, "1": big.NewInt(1), "n-1": new(big.Int).Sub(n, big.NewInt(1)), "n": n, "good+n": new(big.Int).Add(good, n)} {
		raw := value.FillBytes(make([]byte, (max(2048, value.BitLen())+7)/8))
		if verify(glued(header, "{}", raw), publicKey(t, &keys().rsa.PublicKey, "")) != jose.ErrSignature {
			t.Errorf("RS256 %s accepted", name)
		}
	}
	// A zero byte in front does not change the number, but the length.
	for _, raw := range [][]byte{good.FillBytes(make([]byte, 257)), good.FillBytes(make([]byte, 256))[:255]} {
		if verify(glued(header, "{}", raw), publicKey(t, &keys().rsa.PublicKey, "")) != jose.ErrSignature {
			t.Errorf("RS256 of %d bytes accepted", len(raw))
		}
	}
}

// PSS with another salt length than the hash is another scheme.
func TestPSSSaltLength(t *testing.T) {
	header := `{"alg":"PS256"}`
	digest := sha256.Sum256([]byte(b64([]byte(header)) + "." + b64([]byte("{}"))))
	for _, length := range []int{0, 20, 31, 33, 64, rsa.PSSSaltLengthAuto} {
		signature := must(rsa.SignPSS(rand.Reader, keys().rsa, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: length}))
		if verify(glued(header, "{}", signature), publicKey(t, &keys().rsa.PublicKey, "")) == nil {
			t.Errorf("salt of %d bytes accepted", length)
		}
	}
}

func TestVerifyWithoutKey(t *testing.T) {
	if verify(token(goodHeader, "{}", jose.ES256, keys().p256), nil) != jose.ErrSignature {
		t.Error("verified with no key")
	}
}

// The zero values of the types let nothing pass.
func TestZeroValues(t *testing.T) {
	jws := must(jose.ParseCompact(token(goodHeader, "{}", jose.ES256, keys().p256)))
	if jws.Verify(&jose.PublicKey{}) == nil || (&jose.JWS{}).Verify(publicKey(t, &keys().rsa.PublicKey, "")) == nil {
		t.Error("a zero value verifies")
	}
}

// brokenSigner claims to hold an EC key and returns what it likes.
type brokenSigner struct{ answer []byte }

func (brokenSigner) Public() crypto.PublicKey { return &keys().p256.PublicKey }
func (s brokenSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return s.answer, nil
}

func TestSignRefusesBrokenSigners(t *testing.T) {
	for _, answer := range []string{"", "0", "\x30\x00", "\x30\x06\x02\x01\x00\x02\x01\x01", "\x30\x06\x02\x01\xff\x02\x01\x01", "\x30\x06\x02\x01\x01\x02\x01\x01x",
		"\x30\x26\x02\x21\x01" + strings.Repeat("\x00", 32) + "\x02\x01\x01"} {
		if signature, err := jose.Sign(jose.ES256, brokenSigner{[]byte(answer)}, []byte("x"), nil); err == nil {
			t.Errorf("%x gives %x", answer, signature)
		}
	}
}

func TestSignAppends(t *testing.T) {
	for alg, signer := range signers() {
		signature := must(jose.Sign(alg, signer, []byte("x"), []byte("before")))
		if !bytes.HasPrefix(signature, []byte("before")) || len(signature) < 6+64 {
			t.Errorf("%s: %x", alg, signature)
		}
	}
}

// Published keys are read back by us and by go-jose, and hold nothing private.
func TestPublicJWK(t *testing.T) {
	for alg, signer := range signers() {
		doc := must(jose.PublicJWK(signer.Public(), `k"1`, alg))
		var members map[string]string
		if err := json.Unmarshal(doc, &members); err != nil {
			t.Fatal(err)
		}
		if members["kid"] != `k"1` || members["alg"] != string(alg) || members["use"] != "sig" || members["d"] != "" || len(members) > 8 {
			t.Errorf("%s", doc)
		}
		set, err := jose.ParseKeySet([]byte(`{"keys":[`+string(doc)+`]}`), 100)
		if err != nil || len(set.Keys) != 1 || !set.Keys[0].Supports(alg) {
			t.Fatalf("%s: %+v, %v", doc, set, err)
		}
		var other oracle.JSONWebKey
		if err := json.Unmarshal(doc, &other); err != nil || !other.Valid() || !other.IsPublic() {
			t.Errorf("%s: go-jose: %v", doc, err)
		}
		want := base64.RawURLEncoding.EncodeToString(must(other.Thumbprint(crypto.SHA256)))
		if got := set.Keys[0].Thumbprint(); got != want || must(jose.Thumbprint(signer.Public())) != want {
			t.Errorf("%s: thumbprint %s, want %s", alg, got, want)
		}
	}
	for _, alg := range []jose.Algorithm{"HS256", "none", jose.ES384} {
		if doc, err := jose.PublicJWK(&keys().p256.PublicKey, "k1", alg); err == nil {
			t.Errorf("%s: %s", alg, doc)
		}
	}
	if doc, err := jose.PublicJWK(&keys().rsaSmall.PublicKey, "k1", jose.RS256); err == nil {
		t.Errorf("1024 bits: %s", doc)
	}
	if _, err := jose.Thumbprint("x"); err == nil {
		t.Error("thumbprint of a string")
	}
	if doc, err := jose.PublicJWK(&keys().p256.PublicKey, "\xff", jose.ES256); err == nil {
		t.Errorf("kid that is not UTF-8: %s", doc)
	}
}
