// Package floor is the least server that still does the whole exchange: read
// the form, verify the assertion, look the trust up in a map, sign an access
// token, answer. It has no audit trail, no log, no metrics, no routes, no
// tenants and no refusals worth the name.
//
// It is what the real server's cost is compared with, and no product: it is
// started by the benchmark on a loopback address, for tokens that the
// benchmark made.
package floor
