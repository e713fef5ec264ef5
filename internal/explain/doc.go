// Package explain says why a token was accepted or refused, to the one who
// owns the rule: which client, how the issuer was resolved, key, signature,
// times, and each candidate credential field by field, with the class of near
// miss and what to change.
//
// It is pure: no I/O and no clock. It decides nothing. What is decided comes
// from package federation and is handed in with the data that the decision
// rested on; the same data gives the same explanation in the server, on the
// command line and in a rehearsal. Nothing here is for the caller of the token
// endpoint, who learns what Entra would tell.
//
// An audit record of a decision holds, as the member "explanation", what
// Accepted or Stored return: an Explanation in JSON without what the record
// says itself. Both have "claims", an object of strings: those claims of the
// token that keep chooses, a value of another type followed by its type in
// brackets, as in "12 (a number)", one of more than 200 bytes ending in "…",
// and one that the tenant wants hashed as "sha256:…"; and "times" with iat,
// nbf and exp. With issuer, subject and audiences of the record this is enough
// to make the decision again, as far as the claims were kept.
package explain
