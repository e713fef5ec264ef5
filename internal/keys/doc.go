// Package keys keeps the server's own signing keys: generated here, sealed at
// rest by a key-encryption key, published before they sign, rolled over on
// schedule or by command, and kept published until the last token that they
// signed has expired.
//
// Private keys leave this package only as signatures. A key that cannot be
// unsealed is an error that stops the program; it is never replaced.
package keys
