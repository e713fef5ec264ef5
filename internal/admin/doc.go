// Package admin is the client of the management APIs that the command line
// uses: it finds out which server is meant and as whom, obtains an access
// token as every workload does, and speaks to the Graph-shaped and the
// ARM-shaped API over HTTPS.
//
// Trust boundary: answers of the server are bounded and parsed strictly. A
// token goes to the origin that the person named and nowhere else: redirects
// are not followed, and of a link to a next page only path and query are used.
// Tokens are never part of an error or of anything that is printed.
package admin
