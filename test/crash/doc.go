// Package crash kills the server under load, again and again, and looks for
// acknowledged writes and for records of answered exchanges that are gone.
//
// It also fills the disk of a server's database, and makes room again.
//
// It runs the real binary; after each kill it opens the database that is left
// behind with the server's own store.
package crash
