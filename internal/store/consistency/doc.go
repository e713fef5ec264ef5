// Package consistency is a model of how replicas decide: the steps of the
// token endpoint, the writer, the cache, the change feed and a management
// write, one by one, as docs/consistency.md describes them. Its test runs them
// in random orders, with crashes, lost connections and pauses at every step,
// and compares what was answered with what the database held.
//
// It is a model, for tests only: it shares no code with package store, and each
// of its steps stands for one that is atomic there. It reads no clock.
package consistency
