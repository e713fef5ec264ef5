// Package load is the closed-loop load generator of the benchmark and the
// reading of what a process cost.
//
// It runs in a process of its own, so that none of its work counts as the
// server's, and speaks to loopback addresses only.
package load
