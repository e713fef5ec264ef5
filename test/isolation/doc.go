// Package isolation lets some flood a server and measures what the others
// notice: the time in which nearly all of their requests are answered. The
// server is a real process; everything is on loopback addresses.
package isolation
