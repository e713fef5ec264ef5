// Package store keeps everything that must survive: tenants, applications,
// service principals, managed identities, federated identity credentials,
// assignments, signing-key rows, the change feed and the audit trail.
//
// The database is the truth. Every write is one transaction that holds its
// audit row and its change-feed rows; what was acknowledged survives kill -9
// and power loss. All writes, decision records included, go through one
// writer goroutine that commits what has queued up together. Records serves
// the token path from compiled, byte-bounded records that are dropped before
// the Write that changed them returns.
//
// Trust boundary: the database file is trusted and must be readable by its
// owner alone. Values are only ever bound as parameters, never put into SQL
// text. Rules about values (package directory) were checked by the caller;
// uniqueness, references and limits that need the stored state are decided
// here, inside the transaction.
package store
