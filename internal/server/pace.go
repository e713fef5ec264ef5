package server

import (
	"context"
	"runtime"
	"time"
)

// pacer keeps reads of the management APIs from taking all cores: half of them
// read at a time, and one that took long leaves its place only after a pause
// of three times as long. Its caller has its answer by then.
type pacer struct{ places chan struct{} }

const (
	// quick reads make no pause.
	quick = 2 * time.Millisecond
	// longestPause bounds the pause after a very long read.
	longestPause = 2 * time.Second
)

func newPacer() *pacer {
	return &pacer{places: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

// enter waits for a place; leave gives it back. The error is that of ctx.
func (p *pacer) enter(ctx context.Context) (leave func(), err error) {
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	began := time.Now()
	return func() {
		took := time.Since(began)
		if took < quick {
			<-p.places
			return
		}
		time.AfterFunc(min(3*took, longestPause), func() { <-p.places })
	}, nil
}
