// Package audit says what a record of the audit trail is: one Decision for
// each answer of the token endpoint, one Change for each management write.
//
// It is pure data and its JSON form; it imports nothing of this module, does
// no I/O and keeps no state. Strings in a record may come from callers that
// nobody trusts (issuer, subject, key id): they are bounded and escaped here,
// so that a record is always one line holding one JSON object.
package audit
