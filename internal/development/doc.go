// Package development is the server of `cambio dev` and of tests: the real
// server, with a certificate authority of its own, an identity provider that
// mints any token, and a seeded tenant.
//
// It trusts whoever can reach it: its provider mints tokens for anybody. It
// must never be exposed to a network that is not trusted.
package development
