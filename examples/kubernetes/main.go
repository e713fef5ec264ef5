// Command kubernetes demonstrates the whole way of a workload's token, with a
// real Kubernetes API server on both ends of it: the cluster is the identity
// provider whose service account tokens are exchanged, and the protected
// resource that accepts what they are exchanged for.
//
//	test/realparts/install.sh      # once: etcd, kubectl and the API server
//	go run ./examples/kubernetes
//
// Everything runs on 127.0.0.1 in a temporary folder and is gone afterwards.
// Each step prints what a person would type and what came of it; a step that
// does not come out as it says ends the demonstration with an error.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := demonstrate(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "\nThe demonstration stopped:", err)
		os.Exit(1)
	}
}
