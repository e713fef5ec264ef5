// Package agent stands beside a workload for as long as it runs: it keeps files
// with its tokens fresh, and answers as the metadata endpoints of Azure do, so
// that programs which know those need nothing else.
package agent
