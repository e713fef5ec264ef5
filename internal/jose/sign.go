package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/asn1"
	"errors"
	"math/big"
)

// Sign appends the JWS signature of signingInput (RFC 7515 §5.1) under alg to
// dst, as raw bytes before base64url. The type of the key must fit alg.
func Sign(alg Algorithm, key crypto.Signer, signingInput, dst []byte) ([]byte, error) {
	public := key.Public()
	if !fits(alg, public) {
		return nil, errors.New("jose: alg does not fit the key")
	}
	var options crypto.SignerOpts = alg.hash()
	if alg.pss() {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: alg.hash()}
	}
	var buf [sha512.Size]byte
	signature, err := key.Sign(rand.Reader, alg.digest(signingInput, &buf), options)
	if err != nil {
		return nil, err
	}
	if public, isEC := public.(*ecdsa.PublicKey); isEC {
		return appendRawECDSA(dst, signature, coordinateSize(public.Curve))
	}
	return append(dst, signature...), nil
}

// appendRawECDSA turns the ASN.1 signature of a crypto.Signer into r and s one
// after the other, each size bytes long (RFC 7518 §3.4).
func appendRawECDSA(dst, signature []byte, size int) ([]byte, error) {
	var pair struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(signature, &pair)
	if err != nil || len(rest) > 0 || !fitsIn(pair.R, size) || !fitsIn(pair.S, size) {
		return nil, errors.New("jose: signer returned no ECDSA signature")
	}
	raw := make([]byte, 2*size)
	pair.R.FillBytes(raw[:size])
	pair.S.FillBytes(raw[size:])
	return append(dst, raw...), nil
}

func fitsIn(n *big.Int, size int) bool { return n.Sign() > 0 && n.BitLen() <= 8*size }
