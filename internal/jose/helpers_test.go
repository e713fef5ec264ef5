package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"os"
	"sync"
	"testing"

	"cambio/internal/jose"
)

// keyring is private keys of every supported type, made once per test run.
type keyring struct {
	rsa, rsa2, rsaSmall *rsa.PrivateKey
	p256, p384, p521    *ecdsa.PrivateKey
	ed                  ed25519.PrivateKey
}

var keys = sync.OnceValue(func() keyring {
	makeRSA := func(bits int) *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, bits)) }
	makeEC := func(c elliptic.Curve) *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(c, rand.Reader)) }
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return keyring{
		rsa: makeRSA(2048), rsa2: makeRSA(2048), rsaSmall: makeRSA(1024),
		p256: makeEC(elliptic.P256()), p384: makeEC(elliptic.P384()), p521: makeEC(elliptic.P521()), ed: ed,
	}
})

// signers pairs each algorithm with a key that fits.
func signers() map[jose.Algorithm]crypto.Signer {
	k := keys()
	return map[jose.Algorithm]crypto.Signer{
		jose.RS256: k.rsa, jose.RS384: k.rsa, jose.RS512: k.rsa, jose.PS256: k.rsa, jose.PS384: k.rsa, jose.PS512: k.rsa,
		jose.ES256: k.p256, jose.ES384: k.p384, jose.ES512: k.p521, jose.EdDSA: k.ed,
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// token signs header and payload exactly as given.
func token(header, payload string, alg jose.Algorithm, key crypto.Signer) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	return input + "." + b64(must(jose.Sign(alg, key, []byte(input), nil)))
}

// glued is a token with a signature from elsewhere.
func glued(header, payload string, signature []byte) string {
	return b64([]byte(header)) + "." + b64([]byte(payload)) + "." + b64(signature)
}

// verify parses a token and checks it with key.
func verify(compact string, key *jose.PublicKey) error {
	jws, err := jose.ParseCompact(compact)
	if err != nil {
		return err
	}
	return jws.Verify(key)
}

func publicKey(t testing.TB, pub crypto.PublicKey, alg jose.Algorithm) *jose.PublicKey {
	t.Helper()
	key, err := jose.NewPublicKey(pub, "k1", alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// jwk is a key as it stands in a key set, with values of any type.
type jwk map[string]any

// with returns a copy with one member changed; nil removes it.
func (j jwk) with(name string, value any) jwk {
	changed := jwk{}
	for n, v := range j {
		changed[n] = v
	}
	changed[name] = value
	if value == nil {
		delete(changed, name)
	}
	return changed
}

func rsaJWK(n *big.Int, e int64, kid string) jwk {
	return jwk{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": b64(n.Bytes()), "e": b64(big.NewInt(e).Bytes())}
}

// publicJWK is the published form of pub, to be changed by a test.
func publicJWK(pub crypto.PublicKey, kid string, alg jose.Algorithm) jwk {
	var j jwk
	if err := json.Unmarshal(must(jose.PublicJWK(pub, kid, alg)), &j); err != nil {
		panic(err)
	}
	return j
}

// keySetOf writes a key set document.
func keySetOf(entries ...any) []byte {
	if entries == nil {
		entries = []any{}
	}
	return must(json.Marshal(map[string]any{"keys": entries}))
}

// readVectors decodes a file of conformance/vectors into v.
func readVectors(t testing.TB, path string, v any) {
	t.Helper()
	doc, err := os.ReadFile("../../conformance/vectors/" + path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(doc, v); err != nil {
		t.Fatal(err)
	}
}
