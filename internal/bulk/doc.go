// Package bulk registers very many clients at once: it reads them as lines of
// JSON, holds each to the rules of the management APIs, and writes them to the
// database in large transactions that can be continued after an interruption.
//
// It writes to the database directly and is reachable from the command line of
// the server's own host only. The lines are untrusted bytes.
package bulk
