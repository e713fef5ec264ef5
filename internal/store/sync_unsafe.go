//go:build unsafesync

package store

// synchronous lets commits return before the disk has them. This build exists
// for one test, of what a power failure does, which must notice it.
const synchronous = "OFF"
