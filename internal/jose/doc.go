// Package jose parses and verifies compact JSON Web Signatures (RFC 7515) and
// reads public keys from JSON Web Key sets (RFC 7517). It also makes the
// signatures and public key documents of our own tokens.
//
// Trust boundary: tokens and key sets come from outside and are hostile. A
// token says which key and algorithm it claims; only the key decides which
// algorithms are possible (RFC 8725 §3.1). Keys, URLs and certificates named
// inside a token are never used. There is no encryption (JWE), no symmetric
// algorithm, no JSON serialisation and no critical extension in this package,
// so none of them can be reached by a token.
//
// What a token means is not decided here: claims, typ and times belong to the
// caller, after Verify.
package jose
