//go:build !unsafesync

package store

// synchronous makes every commit wait until the disk has it.
const synchronous = "FULL"
