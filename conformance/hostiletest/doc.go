// Package hostiletest runs the driver of conformance/hostile against a server
// that it starts, and fails on every case that did not pass.
//
// It trusts the driver's report and the kernel's account of the server's
// memory.
package hostiletest
