// Package federation decides whether an external token proves a client: it is
// the one verification core of every grant, for applications and managed
// identities alike.
//
// It trusts the client's compiled record and the issuer's keys, both handed
// in; nothing of the token is believed before its signature verified, and
// nothing is fetched for a token that no credential of the client names. The
// package neither stores nor dials.
package federation
