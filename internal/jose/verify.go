package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha512"
	"errors"
)

// ErrSignature is the only error of Verify: the signature is not one of this
// key, whatever the reason.
var ErrSignature = errors.New("jose: signature not valid")

// Verify checks the signature with k, under the algorithm of the header if k
// supports it. It returns nil or ErrSignature.
func (j *JWS) Verify(k *PublicKey) error {
	alg := j.Header.Algorithm
	if k == nil || !k.Supports(alg) {
		return ErrSignature
	}
	var buf [sha512.Size]byte
	digest := alg.digest(j.input, &buf)
	valid := false
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		valid = verifyRSA(key, alg, digest, j.signature)
	case *ecdsa.PublicKey:
		valid = verifyECDSA(key, digest, j.signature)
	case ed25519.PublicKey:
		valid = ed25519.Verify(key, digest, j.signature)
	}
	if !valid {
		return ErrSignature
	}
	return nil
}

// verifyRSA checks RSASSA-PKCS1-v1_5 or RSASSA-PSS. The salt of PSS has the
// length of the hash (RFC 7518 §3.5).
func verifyRSA(key *rsa.PublicKey, alg Algorithm, digest, signature []byte) bool {
	if alg.pss() {
		options := rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
		return rsa.VerifyPSS(key, alg.hash(), digest, signature, &options) == nil
	}
	return rsa.VerifyPKCS1v15(key, alg.hash(), digest, signature) == nil
}

// verifyECDSA checks a signature that is r and s one after the other, each as
// long as the order of the curve (RFC 7518 §3.4). The standard library refuses
// r and s outside 1..n-1.
func verifyECDSA(key *ecdsa.PublicKey, digest, signature []byte) bool {
	size := coordinateSize(key.Curve)
	if len(signature) != 2*size {
		return false
	}
	// Large enough for two integers of P-521 with sign bytes.
	buf := make([]byte, 0, 144)
	body := appendInteger(appendInteger(buf, signature[:size]), signature[size:])
	der := make([]byte, 0, 144)
	der = append(der, 0x30) // SEQUENCE
	if len(body) >= 0x80 {
		der = append(der, 0x81)
	}
	der = append(append(der, byte(len(body))), body...)
	return ecdsa.VerifyASN1(key, digest, der)
}

// appendInteger appends a big-endian number of at most 66 bytes as a DER
// INTEGER.
func appendInteger(dst, number []byte) []byte {
	for len(number) > 1 && number[0] == 0 {
		number = number[1:]
	}
	length := len(number)
	dst = append(dst, 0x02)
	if number[0]&0x80 != 0 { // would read as negative
		return append(append(dst, byte(length+1), 0), number...)
	}
	return append(append(dst, byte(length)), number...)
}
