package main

import (
	"os"
	"runtime/debug"
)

// tuneMemory lets garbage grow to four times of what is alive before it is
// collected, where Go's default is once: an exchange leaves 30 KiB behind and
// next to nothing alive, and collecting costs up to a fifth of an ES256
// exchange. The limit keeps a full record cache from being multiplied too.
// Whoever sets GOGC or GOMEMLIMIT decides alone.
func tuneMemory(recordBytes int64) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	const base = 96 << 20 // bytes; what a busy server with few records stays under
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(base + 2*recordBytes)
}
