package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// garbage is how much of it gathers before it is collected: an exchange leaves
// 30 KiB behind and next to nothing alive, and with Go's default, as much
// garbage as is alive, collecting costs up to a fifth of an ES256 exchange.
const garbage = 24 << 20 // bytes

// tuneMemory keeps the garbage between collections at about one size, however
// much is alive, until ctx ends: little on a server with few records costs too
// much time, and a multiple of a full record cache too much memory. Whoever
// sets GOGC or GOMEMLIMIT decides alone.
func tuneMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	percent := gcPercent(0)
	debug.SetGCPercent(percent)
	go func() {
		tick := time.NewTicker(2 * time.Second)
		defer tick.Stop()
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				metrics.Read(live)
				// It stops the world, so not for nothing.
				if next := gcPercent(live[0].Value.Uint64()); next != percent {
					percent = next
					debug.SetGCPercent(percent)
				}
			}
		}
	}()
}

// gcPercent is the garbage in percent of what is alive, in steps, so that it
// seldom changes.
func gcPercent(live uint64) int {
	const least, most, step = 50, 400, 25
	if live == 0 {
		return most
	}
	percent := int(garbage * 100 / live)
	return max(least, min(most, percent/step*step))
}
