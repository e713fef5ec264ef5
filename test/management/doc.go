// Package management holds tests of the management APIs of a real server
// under load: parallel writes, credentials that work the instant their
// creation returned, and applications with ten thousand credentials.
package management
