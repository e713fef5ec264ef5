package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"math/big"
)

// Bounds of RSA keys. 8192 bits bound the cost of one verification; exponents
// below 65537 make forgeries possible where padding is checked carelessly.
const (
	minModulusBits = 2048
	maxModulusBits = 8192
	minExponent    = 65537
	maxExponent    = 1<<31 - 1
)

// PublicKey is a checked signature key. It is immutable.
type PublicKey struct {
	KeyID string // kid; empty if the key has none

	named     bool             // the key has a kid
	key       crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	algorithm Algorithm        // the only algorithm of the key; empty: all that fit its type
}

// Public is the key itself: *rsa.PublicKey, *ecdsa.PublicKey or
// ed25519.PublicKey, which must not be changed.
func (k *PublicKey) Public() crypto.PublicKey { return k.key }

// NewPublicKey checks pub, which must be an *rsa.PublicKey (2048 to 8192
// bits), an *ecdsa.PublicKey (P-256, P-384, P-521) or an ed25519.PublicKey. If
// alg is not empty the key is bound to it; otherwise it serves every algorithm
// of its type. An empty keyID means none.
func NewPublicKey(pub crypto.PublicKey, keyID string, alg Algorithm) (*PublicKey, error) {
	var err error
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		err = checkRSA(pub)
	case *ecdsa.PublicKey:
		err = checkECDSA(pub)
	case ed25519.PublicKey:
		err = checkEd25519(pub)
	default:
		err = errors.New("key type not supported")
	}
	if err != nil {
		return nil, err
	}
	if alg != "" && !fits(alg, pub) {
		return nil, errors.New("alg does not fit the key")
	}
	return &PublicKey{KeyID: keyID, named: keyID != "", key: pub, algorithm: alg}, nil
}

// Supports tells whether the key may verify signatures of a.
func (k *PublicKey) Supports(a Algorithm) bool {
	return (k.algorithm == "" || k.algorithm == a) && fits(a, k.key)
}

// fits tells whether keys of the type of pub make signatures of a.
func fits(a Algorithm, pub crypto.PublicKey) bool {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return a == RS256 || a == RS384 || a == RS512 || a.pss()
	case *ecdsa.PublicKey: // one curve for each algorithm, RFC 7518 §3.4
		return a == ES256 && pub.Curve == elliptic.P256() ||
			a == ES384 && pub.Curve == elliptic.P384() ||
			a == ES512 && pub.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return a == EdDSA
	}
	return false
}

func checkRSA(pub *rsa.PublicKey) error {
	switch {
	case pub.N == nil || pub.N.Sign() <= 0:
		return errors.New("RSA modulus missing")
	case pub.N.BitLen() < minModulusBits:
		return errors.New("RSA modulus shorter than 2048 bits")
	case pub.N.BitLen() > maxModulusBits:
		return errors.New("RSA modulus longer than 8192 bits")
	case pub.N.Bit(0) == 0:
		return errors.New("RSA modulus is even")
	case pub.E < minExponent || pub.E > maxExponent || pub.E%2 == 0:
		return errors.New("RSA exponent is not an odd number from 65537 to 2^31-1")
	case hasROCA(pub.N):
		return errors.New("RSA key was made by a flawed generator (CVE-2017-15361)")
	}
	return nil
}

// hasROCA recognises moduli of the flawed Infineon generator: modulo each
// small prime they are a power of 65537. A sound modulus passes all primes
// with a chance below 2^-27.
func hasROCA(n *big.Int) bool {
	primes := [...]int64{3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79,
		83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167}
	var divisor, remainder big.Int
	for _, prime := range primes {
		rest := remainder.Mod(n, divisor.SetInt64(prime)).Int64()
		power := int64(1)
		for power != rest {
			power = power * 65537 % prime
			if power == 1 { // all powers seen
				return false
			}
		}
	}
	return true
}

func checkECDSA(pub *ecdsa.PublicKey) error {
	if pub.Curve != elliptic.P256() && pub.Curve != elliptic.P384() && pub.Curve != elliptic.P521() {
		return errors.New("EC curve not supported")
	}
	if _, err := pub.Bytes(); err != nil { // also checks that the point is on the curve
		return errors.New("EC point not on the curve")
	}
	return nil
}

// coordinateSize is the length of a coordinate, and of r and s, in bytes. On
// the supported curves the field and the order have the same length.
func coordinateSize(curve elliptic.Curve) int { return (curve.Params().BitSize + 7) / 8 }

// checkEd25519 refuses points of small order, under which one signature is
// valid for every message (RFC 8032 §5.1.7 leaves the check to the user), and
// encodings of y that are not reduced.
func checkEd25519(pub ed25519.PublicKey) error {
	if len(pub) != ed25519.PublicKeySize {
		return errors.New("Ed25519 key is not 32 bytes long")
	}
	y := [ed25519.PublicKeySize]byte(pub)
	y[31] &= 0x7f // the sign of x
	reduced := y[0] < 0xed || y[31] != 0x7f
	for _, b := range y[1:31] {
		reduced = reduced || b != 0xff
	}
	if !reduced {
		return errors.New("Ed25519 key is not reduced")
	}
	switch hex.EncodeToString(y[:]) {
	case "0100000000000000000000000000000000000000000000000000000000000000", // order 1
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
		"0000000000000000000000000000000000000000000000000000000000000000", // order 4
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a":
		return errors.New("Ed25519 key has small order")
	}
	return nil
}
