// Package directory holds the nouns of cambio and their rules: tenants,
// applications, service principals, user-assigned managed identities,
// federated identity credentials, app roles and their assignments, and the
// compiled records that the token path reads.
//
// It is pure: it imports no other package of this module, does no I/O and
// keeps no state. Names and limits are those of Microsoft Graph v1.0 unless a
// comment says otherwise.
package directory
