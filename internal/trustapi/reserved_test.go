package trustapi

import (
	"testing"

	"cambio/internal/trust"
)

// No identity gets the name by which documents call the management resource:
// an export could not tell assignments to the two apart.
func TestNoIdentityIsCalledManagementResource(t *testing.T) {
	f := newFixture(t)
	for _, step := range []func(string) *answer{f.plan, func(text string) *answer { return f.apply(text) }} {
		step("version: 1\nresourceGroups: [{name: rg1, location: l}]\nmanagedIdentities: [{resourceGroup: rg1, name: id1, location: l, clientId: "+
			trust.ManagementResource+"}]").refused(400, "managedIdentities[0].clientId: documents call the management resource")
	}
	// A mistake in the object itself has no property.
	f.plan("version: 1\napplications: [{displayName: x}]").refused(400, `"target":"applications[0]"`)
}
