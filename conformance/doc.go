// Package conformance holds the wire behaviour of a workload identity
// federation service as text scripts, and the engine that plays them against
// any base URL: a server that the test starts itself, or another one.
//
// It trusts the server under test for nothing but the answers it checks. See
// README.md for the flags and the list of what is covered.
package conformance
