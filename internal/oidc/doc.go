// Package oidc reads the discovery documents and key sets of external issuers.
// It holds the program's only outbound HTTP client and the cache in front of
// it.
//
// Trust boundary: everything that arrives here (names resolved, certificates,
// headers, bodies) is chosen by somebody else. It is bounded in time and size,
// taken only from permitted addresses, never redirected, and parsed strictly.
// What an issuer does can delay or refuse its own workloads, nobody else's.
// The caller must have matched a registered credential before it asks for the
// keys of an issuer: this package dials whatever issuer it is given, as far as
// the address rules permit.
package oidc
