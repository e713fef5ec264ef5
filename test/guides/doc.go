// Package guides runs the commands of every page in docs/guides against a
// real server, and holds what the pages show to what the commands print.
package guides
