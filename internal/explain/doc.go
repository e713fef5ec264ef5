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
package explain
