// Package profile knows the platforms whose tokens are exchanged: what issuer,
// subject and audience their tokens have, which parts of it a person knows by
// name, and what is easily got wrong. A profile is data, one YAML file each in
// data (docs/profiles.md describes the schema); the engine here fills its
// templates in to propose a credential, and reads them backwards to recognise
// a token.
//
// It is pure: no I/O and no clock. What it proposes for a token has the token's
// own issuer and subject, byte for byte, so that it never trusts more than the
// token shows. Nothing of a token is verified here: who may be trusted is
// decided by whoever creates the credential, not by the token.
package profile
