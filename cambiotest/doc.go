// Package cambiotest holds the test doubles of workload identity federation:
// an identity provider that mints any token, and a whole cambio server in the
// process of a test.
//
// It is for tests and for `cambio dev`. Whoever can reach the provider's mint
// endpoint can obtain any token of it: never trust it where that matters.
package cambiotest
