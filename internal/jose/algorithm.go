package jose

import (
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
)

// Algorithm is the alg of a JWS header (RFC 7518 §3.1, RFC 8037 §3.1).
type Algorithm string

// The supported algorithms: asymmetric signatures only.
const (
	RS256 Algorithm = "RS256"
	RS384 Algorithm = "RS384"
	RS512 Algorithm = "RS512"
	PS256 Algorithm = "PS256"
	PS384 Algorithm = "PS384"
	PS512 Algorithm = "PS512"
	ES256 Algorithm = "ES256"
	ES384 Algorithm = "ES384"
	ES512 Algorithm = "ES512"
	EdDSA Algorithm = "EdDSA" // Ed25519 only
)

// Valid tells whether a is a supported algorithm. Names are case-sensitive.
func (a Algorithm) Valid() bool {
	switch a {
	case RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA:
		return true
	}
	return false
}

// pss tells RSASSA-PSS from the other schemes.
func (a Algorithm) pss() bool { return a == PS256 || a == PS384 || a == PS512 }

// hash is the hash function of a; 0 for EdDSA, which signs the message itself.
func (a Algorithm) hash() crypto.Hash {
	switch a {
	case RS256, PS256, ES256:
		return crypto.SHA256
	case RS384, PS384, ES384:
		return crypto.SHA384
	case RS512, PS512, ES512:
		return crypto.SHA512
	}
	return 0
}

// digest hashes input for a into buf. For EdDSA it returns input.
func (a Algorithm) digest(input []byte, buf *[sha512.Size]byte) []byte {
	switch a.hash() {
	case crypto.SHA256:
		sum := sha256.Sum256(input)
		return buf[:copy(buf[:], sum[:])]
	case crypto.SHA384:
		sum := sha512.Sum384(input)
		return buf[:copy(buf[:], sum[:])]
	case crypto.SHA512:
		sum := sha512.Sum512(input)
		return buf[:copy(buf[:], sum[:])]
	}
	return input
}
