package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"math/big"
	"slices"
	"unicode/utf8"

	"cambio/internal/strictjson"
)

// Bounds of the members of a JWK, before anything is converted.
const (
	maxKeyID          = 256                     // characters
	maxModulusBytes   = maxModulusBits/8 + 8    // some issuers put zero bytes in front
	maxExponentBytes  = 8                       // likewise
	maxCoordinateSize = 66                      // P-521
	maxEncoded        = maxModulusBytes*4/3 + 4 // the longest of them in base64url
)

// parseJWK reads one public signature key (RFC 7517 §4). The kid is returned
// also for a key that is refused, as far as it could be read.
func parseJWK(doc []byte) (key *PublicKey, keyID string, err error) {
	jwk, err := strictjson.ParseObject(doc, strictjson.Document)
	if err != nil {
		return nil, "", errors.New("not a JSON object")
	}
	return readJWK(jwk, "sig")
}

// errOtherUse is an entry of a SPIFFE bundle that is not for JWT-SVIDs.
var errOtherUse = errors.New("not for JWT-SVIDs")

// parseBundleJWK reads one key for JWT-SVIDs of a SPIFFE bundle.
func parseBundleJWK(doc []byte) (key *PublicKey, keyID string, err error) {
	const svid = "jwt-svid"
	jwk, err := strictjson.ParseObject(doc, strictjson.Document)
	if err != nil {
		return nil, "", errors.New("not a JSON object")
	}
	use, present, err := jwk.String("use")
	switch {
	case err != nil || !present:
		return nil, "", errors.New("it has no use")
	case use != svid:
		return nil, "", errOtherUse
	}
	key, keyID, err = readJWK(jwk, svid)
	if err == nil && !key.named {
		err = errors.New("it has no kid")
	}
	return key, keyID, err
}

// readJWK reads a key whose use, if it names one, is the given one.
func readJWK(jwk strictjson.Object, use string) (key *PublicKey, keyID string, err error) {
	keyID, named, err := jwk.String("kid")
	if err != nil {
		return nil, "", errors.New("kid is not a string")
	}
	if utf8.RuneCountInString(keyID) > maxKeyID {
		return nil, "", errors.New("kid longer than 256 characters")
	}
	if err := checkPurpose(jwk, use); err != nil {
		return nil, keyID, err
	}
	pub, err := publicKey(jwk)
	if err != nil {
		return nil, keyID, err
	}
	alg, present, err := jwk.String("alg")
	if err != nil || present && !Algorithm(alg).Valid() {
		return nil, keyID, errors.New("alg not supported")
	}
	key, err = NewPublicKey(pub, keyID, Algorithm(alg))
	if err != nil {
		return nil, keyID, err
	}
	key.named = named
	return key, keyID, nil
}

// checkPurpose refuses keys that are not meant for signatures, and private
// keys: once published, anybody can sign with them.
func checkPurpose(jwk strictjson.Object, use string) error {
	named, present, err := jwk.String("use")
	if err != nil || present && named != use {
		return errors.New("use is not " + use)
	}
	if _, present := jwk.Raw("key_ops"); present {
		operations, _, err := jwk.Array("key_ops")
		verifies := slices.ContainsFunc(operations, func(op []byte) bool { return string(op) == `"verify"` })
		if err != nil || !verifies {
			return errors.New("key_ops does not hold verify")
		}
	}
	for _, name := range [...]string{"d", "p", "q", "dp", "dq", "qi", "oth"} {
		if _, present := jwk.Raw(name); present {
			return errors.New("private key published")
		}
	}
	return nil
}

// publicKey reads the key material (RFC 7518 §6, RFC 8037 §2).
func publicKey(jwk strictjson.Object) (crypto.PublicKey, error) {
	kty, _, err := jwk.String("kty")
	if err != nil {
		return nil, errors.New("kty is not a string")
	}
	switch kty {
	case "RSA":
		return rsaKey(jwk)
	case "EC":
		return ecKey(jwk)
	case "OKP":
		return okpKey(jwk)
	default:
		return nil, errors.New("kty not supported")
	}
}

func rsaKey(jwk strictjson.Object) (*rsa.PublicKey, error) {
	modulus, err := bytesMember(jwk, "n", maxModulusBytes)
	if err != nil {
		return nil, err
	}
	exponent, err := bytesMember(jwk, "e", maxExponentBytes)
	if err != nil {
		return nil, err
	}
	e := new(big.Int).SetBytes(exponent)
	if e.BitLen() > 31 {
		return nil, errors.New("RSA exponent longer than 31 bits")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(e.Int64())}, nil
}

func ecKey(jwk strictjson.Object) (*ecdsa.PublicKey, error) {
	name, _, err := jwk.String("crv")
	if err != nil {
		return nil, errors.New("crv is not a string")
	}
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	curve, known := curves[name]
	if !known {
		return nil, errors.New("crv not supported")
	}
	x, err := bytesMember(jwk, "x", maxCoordinateSize)
	if err != nil {
		return nil, err
	}
	y, err := bytesMember(jwk, "y", maxCoordinateSize)
	if err != nil {
		return nil, err
	}
	size := coordinateSize(curve)
	if len(x) != size || len(y) != size {
		return nil, errors.New("EC coordinate of the wrong length")
	}
	point := append(append([]byte{4}, x...), y...) // 4: uncompressed, SEC 1 §2.3.3
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, errors.New("EC point not on the curve")
	}
	return key, nil
}

func okpKey(jwk strictjson.Object) (ed25519.PublicKey, error) {
	name, _, err := jwk.String("crv")
	if err != nil || name != "Ed25519" {
		return nil, errors.New("crv not supported")
	}
	x, err := bytesMember(jwk, "x", ed25519.PublicKeySize)
	return ed25519.PublicKey(x), err
}

// bytesMember decodes a member in strict base64url of at most limit bytes.
func bytesMember(jwk strictjson.Object, name string, limit int) ([]byte, error) {
	encoded, present, err := jwk.String(name)
	if err != nil || !present {
		return nil, errors.New(name + " is not a string")
	}
	if len(encoded) > maxEncoded {
		return nil, errors.New(name + " too long")
	}
	decoded := make([]byte, base64URL.DecodedLen(len(encoded)))
	n, err := decodeBase64(decoded, []byte(encoded))
	if err != nil {
		return nil, errors.New(name + " is not base64url")
	}
	if n > limit {
		return nil, errors.New(name + " too long")
	}
	return decoded[:n], nil
}
