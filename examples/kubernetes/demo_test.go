package main

import (
	"testing"

	"cambio/test/realparts"
)

// TestDemonstration runs the demonstration as a person would.
func TestDemonstration(t *testing.T) {
	realparts.Needs(t, realparts.Etcd, realparts.KubeAPIServer, realparts.Kubectl)
	if err := demonstrate(t.Context(), t.Output()); err != nil {
		t.Fatal(err)
	}
}
