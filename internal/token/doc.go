// Package token is the token endpoint: request, client, verification,
// authorization, mint, record, response, in this order for every grant.
//
// Everything that arrives here is hostile until federation proved it. The
// package neither stores nor dials: it reads compiled records through
// Directory, and no token leaves before its decision is recorded.
package token
