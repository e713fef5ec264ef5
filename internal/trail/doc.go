// Package trail keeps the audit trail: it signs checkpoints, removes what is
// older than it must be kept, verifies, and exports. One process does that for
// all, as far as possible; none of it breaks when two do.
//
// It trusts the database to hold what was written, which is what a
// verification finds out about, and the key-encryption key to be secret. It
// dials the one address of a collector that an operator configured.
package trail
