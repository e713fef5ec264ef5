// Package trust is the declarative trust configuration: one document that
// says which applications, managed identities, federated identity credentials
// and app role assignments a tenant has. It reads and writes documents,
// compares one with what a tenant holds, and orders the changes that lead from
// the latter to the former.
//
// It is pure: no I/O, no state. Documents are untrusted bytes; what they say
// is accepted only by the rules of package directory.
package trust
