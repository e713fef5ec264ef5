package jose_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"

	"cambio/internal/jose"
)

// p25519 is the prime of Curve25519.
var p25519 = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))

func odd(bits uint) *big.Int { return new(big.Int).SetBit(big.NewInt(0x10001), int(bits)-1, 1) }

// ignoredKey is an entry of a key set that must be skipped, and the beginning
// of the reason.
type ignoredKey struct {
	key    any
	reason string
}

// purposeCases is entries that are no keys or are keys for something else.
func purposeCases() map[string]ignoredKey {
	r, e := publicJWK(&keys().rsa.PublicKey, "k1", jose.RS256), publicJWK(&keys().p256.PublicKey, "k1", jose.ES256)
	zero := b64(make([]byte, 32))
	return map[string]ignoredKey{
		"null":                 {nil, "not a JSON object"},
		"number":               {1, "not a JSON object"},
		"string":               {"x", "not a JSON object"},
		"array":                {[]any{r}, "not a JSON object"},
		"empty object":         {jwk{}, "kty not supported"},
		"kty of another kind":  {r.with("kty", 1), "kty is not a string"},
		"kty in small letters": {r.with("kty", "rsa"), "kty not supported"},
		"post-quantum":         {jwk{"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA"}, "kty not supported"},
		"symmetric":            {jwk{"kty": "oct", "alg": "HS256", "k": zero}, "kty not supported"},
		"empty symmetric":      {jwk{"kty": "oct", "k": ""}, "kty not supported"},
		"kid is a number":      {r.with("kid", 1), "kid is not a string"},
		"kid is an object":     {r.with("kid", jwk{}), "kid is not a string"},
		"kid too long":         {r.with("kid", strings.Repeat("k", 257)), "kid longer than 256 characters"},
		"use enc":              {r.with("use", "enc"), "use is not sig"},
		"use unknown":          {r.with("use", "tls"), "use is not sig"},
		"use empty":            {r.with("use", ""), "use is not sig"},
		"use not a string":     {r.with("use", []string{"sig"}), "use is not sig"},
		"key_ops encrypt":      {r.with("key_ops", []string{"encrypt"}), "key_ops does not hold verify"},
		"key_ops sign":         {r.with("key_ops", []string{"sign"}), "key_ops does not hold verify"},
		"key_ops empty":        {r.with("key_ops", []string{}), "key_ops does not hold verify"},
		"key_ops string":       {r.with("key_ops", "verify"), "key_ops does not hold verify"},
		"private RSA key":      {r.with("d", "AQAB"), "private key published"},
		"private factor":       {r.with("p", "AQAB"), "private key published"},
		"private EC key":       {e.with("d", zero), "private key published"},
		"alg none":             {r.with("alg", "none"), "alg not supported"},
		"alg HS256":            {r.with("alg", "HS256"), "alg not supported"},
		"alg empty":            {r.with("alg", ""), "alg not supported"},
		"alg an array":         {r.with("alg", []any{}), "alg not supported"},
		"alg for encryption":   {r.with("alg", "RSA-OAEP"), "alg not supported"},
		"alg of another type":  {r.with("alg", "ES256"), "alg does not fit the key"},
		"alg of another curve": {e.with("alg", "ES384"), "alg does not fit the key"},
	}
}

// rsaCases is RSA keys with a fault.
func rsaCases() map[string]ignoredKey {
	r, n := publicJWK(&keys().rsa.PublicKey, "k1", jose.RS256), keys().rsa.N
	return map[string]ignoredKey{
		"RSA of 1024 bits":       {rsaJWK(keys().rsaSmall.N, 65537, "k1"), "RSA modulus shorter than 2048 bits"},
		"RSA of 2047 bits":       {rsaJWK(odd(2047), 65537, "k1"), "RSA modulus shorter than 2048 bits"},
		"RSA of 8 bits":          {rsaJWK(big.NewInt(251), 65537, "k1"), "RSA modulus shorter than 2048 bits"},
		"RSA of 8193 bits":       {rsaJWK(odd(8193), 65537, "k1"), "RSA modulus longer than 8192 bits"},
		"RSA of 16384 bits":      {rsaJWK(odd(16384), 65537, "k1"), "n too long"},
		"RSA of 262144 bits":     {rsaJWK(odd(262144), 65537, "k1"), "n too long"},
		"even modulus":           {rsaJWK(new(big.Int).Lsh(big.NewInt(1), 2047), 65537, "k1"), "RSA modulus is even"},
		"no modulus":             {r.with("n", nil), "n is not a string"},
		"modulus is a number":    {r.with("n", 1), "n is not a string"},
		"modulus empty":          {r.with("n", ""), "RSA modulus missing"},
		"modulus zero":           {r.with("n", "AA"), "RSA modulus missing"},
		"modulus padded":         {r.with("n", b64(n.Bytes())+"=="), "n is not base64url"},
		"modulus with line feed": {r.with("n", b64(n.Bytes())[:8]+"\n"+b64(n.Bytes())[8:]), "n is not base64url"},
		"no exponent":            {r.with("e", nil), "e is not a string"},
		"exponent is a number":   {r.with("e", 65537), "e is not a string"},
		"exponent is an array":   {r.with("e", []string{"AQAB"}), "e is not a string"},
		"exponent empty":         {r.with("e", ""), "RSA exponent"},
		"exponent 0":             {r.with("e", "AA"), "RSA exponent"},
		"exponent 1":             {r.with("e", "AQ"), "RSA exponent"},
		"exponent 2":             {r.with("e", "Ag"), "RSA exponent"},
		"exponent 3":             {r.with("e", "Aw"), "RSA exponent"},
		"exponent 256":           {r.with("e", "AQA"), "RSA exponent"},
		"exponent 65538":         {rsaJWK(n, 65538, "k1"), "RSA exponent"},
		"exponent 2^31+1":        {rsaJWK(n, 1<<31+1, "k1"), "RSA exponent longer than 31 bits"},
		"exponent of 9 bytes":    {r.with("e", b64(make([]byte, 9))), "e too long"},
		"flawed generator":       {rsaJWK(infineonModulus(), 65537, "k1"), "RSA key was made by a flawed generator"},
	}
}

// curveCases is keys of elliptic curves with a fault.
func curveCases() map[string]ignoredKey {
	e, d := publicJWK(&keys().p256.PublicKey, "k1", jose.ES256), publicJWK(keys().ed.Public(), "k1", jose.EdDSA)
	zero, ones := b64(make([]byte, 32)), b64(bytes.Repeat([]byte{0xff}, 32))
	return map[string]ignoredKey{
		"unknown curve":            {e.with("crv", "secp256k1"), "crv not supported"},
		"crv is a number":          {e.with("crv", 256), "crv is not a string"},
		"wrong curve":              {e.with("crv", "P-384").with("alg", nil), "EC coordinate of the wrong length"},
		"point zero":               {e.with("x", zero).with("y", zero), "EC point not on the curve"},
		"coordinates out of range": {e.with("x", ones).with("y", ones), "EC point not on the curve"},
		"point off the curve":      {e.with("y", e["x"]), "EC point not on the curve"},
		"y missing":                {e.with("y", nil), "y is not a string"},
		"x empty":                  {e.with("x", ""), "EC coordinate of the wrong length"},
		"x short":                  {e.with("x", b64(make([]byte, 31))), "EC coordinate of the wrong length"},
		"x long":                   {e.with("x", b64(make([]byte, 33))), "EC coordinate of the wrong length"},
		"x huge":                   {e.with("x", b64(make([]byte, 100000))), "x too long"},
		"Ed448":                    {d.with("crv", "Ed448"), "crv not supported"},
		"X25519":                   {d.with("crv", "X25519"), "crv not supported"},
		"Ed25519 empty":            {d.with("x", ""), "Ed25519 key is not 32 bytes long"},
		"Ed25519 of 31 bytes":      {d.with("x", b64(make([]byte, 31))), "Ed25519 key is not 32 bytes long"},
		"Ed25519 of 33 bytes":      {d.with("x", b64(make([]byte, 33))), "x too long"},
		"Ed25519 of 64 bytes":      {d.with("x", b64(make([]byte, 64))), "x too long"},
	}
}

// A key that is refused is skipped with a reason; the good key beside it stays.
func TestKeysThatAreIgnored(t *testing.T) {
	good := publicJWK(&keys().p384.PublicKey, "good", jose.ES384)
	for _, cases := range []map[string]ignoredKey{purposeCases(), rsaCases(), curveCases()} {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				set, err := jose.ParseKeySet(keySetOf(c.key, good), 100)
				if err != nil {
					t.Fatal(err)
				}
				if len(set.Keys) != 1 || set.Keys[0].KeyID != "good" {
					t.Fatalf("%d keys", len(set.Keys))
				}
				if len(set.Ignored) != 1 || set.Ignored[0].Index != 0 || !strings.HasPrefix(set.Ignored[0].Reason, c.reason) {
					t.Errorf("ignored %+v, want %q", set.Ignored, c.reason)
				}
			})
		}
	}
}

// infineonModulus is of the form that CVE-2017-15361 makes: modulo every small
// prime a power of 65537. It is no product of two primes, which nothing checks.
func infineonModulus() *big.Int {
	primorial := big.NewInt(1)
	for prime := int64(2); prime <= 701; prime++ {
		if p := big.NewInt(prime); p.ProbablyPrime(0) {
			primorial.Mul(primorial, p)
		}
	}
	n := new(big.Int).Exp(big.NewInt(65537), big.NewInt(4711), primorial)
	k := new(big.Int).Div(odd(2048), primorial)
	n.Add(n, k.Add(k, big.NewInt(2)).Mul(k, primorial))
	if n.Bit(0) == 0 {
		n.Add(n, primorial)
	}
	return n
}

// Small but allowed deviations do not cost a key.
func TestKeysThatAreTaken(t *testing.T) {
	r, e := publicJWK(&keys().rsa.PublicKey, "k1", jose.RS256), publicJWK(&keys().p256.PublicKey, "k1", jose.ES256)
	for name, key := range map[string]jwk{
		"as published":             r,
		"zero bytes in front of n": r.with("n", b64(append([]byte{0, 0}, keys().rsa.N.Bytes()...))),
		"zero bytes in front of e": r.with("e", "AAEAAQ"),
		"without use":              r.with("use", nil),
		"without alg":              r.with("alg", nil),
		"key_ops verify":           r.with("use", nil).with("key_ops", []string{"verify"}),
		"key_ops sign and verify":  r.with("key_ops", []string{"sign", "verify"}),
		"certificate fields":       r.with("x5u", "https://evil.example").with("x5c", 1).with("x5t", "x"),
		"unknown members":          r.with("issuer", "https://idp.example").with("exp", 1),
		"without kid":              r.with("kid", nil),
		"kid of 256 characters":    r.with("kid", strings.Repeat("é", 256)),
		"EC without alg":           e.with("alg", nil),
		"largest exponent":         rsaJWK(keys().rsa.N, 1<<31-1, "k1"),
		"8192 bits":                rsaJWK(odd(8192), 65537, "k1"),
	} {
		set, err := jose.ParseKeySet(keySetOf(key), 100)
		if err != nil || len(set.Keys) != 1 {
			t.Errorf("%s: %+v, %v", name, set, err)
		}
	}
}

// The point of small order is the identity after three doublings, whatever
// the sign of x. Every such key must be refused (one signature under it would
// be valid for every message), and nothing else.
func TestEd25519SmallOrder(t *testing.T) {
	d := new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), p25519))
	d.Mod(d, p25519)
	refusedPoints := 0
	for _, y := range smallOrderY(t, d) {
		for _, sign := range []byte{0, 0x80} {
			for _, shift := range []int64{0, 1} { // y and, where 32 bytes allow, y+p
				raw := littleEndian(new(big.Int).Add(y, new(big.Int).Mul(p25519, big.NewInt(shift))))
				if raw == nil {
					continue
				}
				raw[31] |= sign
				if _, err := jose.NewPublicKey(ed25519.PublicKey(raw), "k1", jose.EdDSA); err == nil {
					t.Errorf("%x accepted", raw)
				}
				refusedPoints++
			}
		}
	}
	if refusedPoints != 14 {
		t.Errorf("%d encodings tried, want 14", refusedPoints)
	}
	for range 100 {
		pub, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jose.NewPublicKey(pub, "k1", jose.EdDSA); err != nil {
			t.Errorf("%x: %v", pub, err)
		}
	}
}

// smallOrderY returns the y coordinates of all points of order 1, 2, 4 and 8
// on -x²+y² = 1+dx²y²: 1, -1, 0 and, from doubling (x,y) to y=0, the roots of
// dy⁴ + 2y² - 1 = 0.
func smallOrderY(t *testing.T, d *big.Int) []*big.Int {
	one := big.NewInt(1)
	ys := []*big.Int{big.NewInt(1), new(big.Int).Sub(p25519, one), big.NewInt(0)}
	// y² = (-1 ± sqrt(1+d)) / d
	root := new(big.Int).ModSqrt(new(big.Int).Mod(new(big.Int).Add(one, d), p25519), p25519)
	if root == nil {
		t.Fatal("1+d has no square root")
	}
	inverse := new(big.Int).ModInverse(d, p25519)
	for _, r := range []*big.Int{root, new(big.Int).Neg(root)} {
		square := new(big.Int).Sub(r, one)
		square.Mul(square, inverse).Mod(square, p25519)
		if y := new(big.Int).ModSqrt(square, p25519); y != nil {
			ys = append(ys, y, new(big.Int).Sub(p25519, y))
		}
	}
	return ys
}

// littleEndian encodes 0 <= n < 2^255 in 32 bytes, nil if it does not fit.
func littleEndian(n *big.Int) []byte {
	if n.BitLen() > 255 {
		return nil
	}
	raw := n.FillBytes(make([]byte, 32))
	for i := range 16 {
		raw[i], raw[31-i] = raw[31-i], raw[i]
	}
	return raw
}

func TestNewPublicKeyRefusesOtherTypes(t *testing.T) {
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for name, pub := range map[string]any{
		"bytes": []byte("secret"), "private RSA": keys().rsa, "RSA value": keys().rsa.PublicKey,
		"P-224": &p224.PublicKey, "nil": nil, "empty RSA": &rsa.PublicKey{}, "empty EC": &ecdsa.PublicKey{}, "empty Ed25519": ed25519.PublicKey(nil),
	} {
		if key, err := jose.NewPublicKey(pub, "k1", ""); err == nil {
			t.Errorf("%s: %+v", name, key)
		}
	}
}
