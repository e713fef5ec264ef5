// Package server wires the parts into a running server: routes in, answers
// out. routes.go holds the complete route table.
//
// It is the trust boundary of the management APIs: no handler of theirs runs
// before the bearer token was verified and the route's permission was found
// among the caller's current roles.
package server
