package jose

// VerifyRaw checks a signature over a message that is no token, with the
// verifier of tokens.
func VerifyRaw(key *PublicKey, alg Algorithm, message, signature []byte) error {
	jws := &JWS{Header: Header{Algorithm: alg}, input: message, signature: signature}
	return jws.Verify(key)
}
