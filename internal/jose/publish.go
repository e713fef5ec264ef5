package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"math/big"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonMember is a member of a JSON object whose value is a string.
type jsonMember struct{ name, value string }

// PublicJWK returns pub as a JWK (RFC 7517 §4) for signatures under alg, with
// the kid given. It has kty, use, kid, alg and the public key itself. pub must
// pass the checks of NewPublicKey.
func PublicJWK(pub crypto.PublicKey, kid string, alg Algorithm) ([]byte, error) {
	if _, err := NewPublicKey(pub, kid, alg); err != nil {
		return nil, err
	}
	members, err := required(pub)
	if err != nil {
		return nil, err
	}
	return object(append(members, jsonMember{"use", "sig"}, jsonMember{"kid", kid}, jsonMember{"alg", string(alg)}))
}

// Thumbprint returns the JWK thumbprint of pub (RFC 7638) with SHA-256, in
// base64url.
func Thumbprint(pub crypto.PublicKey) (string, error) {
	members, err := required(pub)
	if err != nil {
		return "", err
	}
	doc, err := object(members)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(doc)
	return base64URL.EncodeToString(sum[:]), nil
}

// Thumbprint returns the JWK thumbprint of the key (RFC 7638) with SHA-256, in
// base64url.
func (k *PublicKey) Thumbprint() string {
	thumbprint, err := Thumbprint(k.key)
	if err != nil {
		return "" // unreachable: NewPublicKey let the key pass
	}
	return thumbprint
}

// required returns the members that make up the key, in the order of RFC 7638
// §3.2: sorted by name.
func required(pub crypto.PublicKey) ([]jsonMember, error) {
	encode := base64URL.EncodeToString
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		return []jsonMember{{"e", encode(big.NewInt(int64(pub.E)).Bytes())}, {"kty", "RSA"}, {"n", encode(pub.N.Bytes())}}, nil
	case *ecdsa.PublicKey:
		point, err := pub.Bytes() // 4, x, y
		if err != nil {
			return nil, errors.New("EC point not on the curve")
		}
		size := coordinateSize(pub.Curve)
		return []jsonMember{{"crv", pub.Curve.Params().Name}, {"kty", "EC"},
			{"x", encode(point[1 : 1+size])}, {"y", encode(point[1+size:])}}, nil
	case ed25519.PublicKey:
		return []jsonMember{{"crv", "Ed25519"}, {"kty", "OKP"}, {"x", encode(pub)}}, nil
	default:
		return nil, errors.New("key type not supported")
	}
}

// object writes members as a JSON object without white space.
func object(members []jsonMember) ([]byte, error) {
	doc := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			doc = append(doc, ',')
		}
		var err error
		if doc, err = jsontext.AppendQuote(doc, m.name); err != nil {
			return nil, err
		}
		doc = append(doc, ':')
		if doc, err = jsontext.AppendQuote(doc, m.value); err != nil {
			return nil, err
		}
	}
	return append(doc, '}'), nil
}

// Kind names the type and strength of the key, such as "RSA 2048", "P-256" or
// "Ed25519".
func (k *PublicKey) Kind() string {
	switch pub := k.key.(type) {
	case *rsa.PublicKey:
		return "RSA " + strconv.Itoa(pub.N.BitLen())
	case *ecdsa.PublicKey:
		return pub.Curve.Params().Name
	}
	return "Ed25519"
}

// Algorithm is the only algorithm of the key; empty: all that fit its type.
func (k *PublicKey) Algorithm() Algorithm { return k.algorithm }

// Serves names what the key is for: its algorithm if it has just one, else its
// kind.
func (k *PublicKey) Serves() string {
	if k.algorithm != "" {
		return string(k.algorithm)
	}
	return k.Kind()
}
