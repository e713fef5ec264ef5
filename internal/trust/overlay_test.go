package trust

import "testing"

// TestOverlay: what a document does not name or say stays; lists are whole.
func TestOverlay(t *testing.T) {
	read := func(text string) *Document {
		t.Helper()
		d, err := Parse("test", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const credential = `{name: old, issuer: "https://idp.example.net", subject: a, audiences: [api]}`
	current := read(`
version: 1
managedIdentities:
- {resourceGroup: RG, name: Identity, clientId: 11111111-1111-4111-8111-111111111111, federatedIdentityCredentials: [` + credential + `]}
applications:
- {uniqueName: shop, appId: 22222222-2222-4222-8222-222222222222, displayName: Shop, servicePrincipal: {accountEnabled: false}, federatedIdentityCredentials: [` + credential + `]}
- {appId: 33333333-3333-4333-8333-333333333333, displayName: Other, federatedIdentityCredentials: [` + credential + `]}
`)
	change := read(`
version: 1
managedIdentities:
- {resourceGroup: rg, name: identity, federatedIdentityCredentials: []}
applications:
- {uniqueName: shop, isDisabled: true}
- {uniqueName: new, displayName: New}
`)
	out := current.Overlay(change, false)
	if len(out.Applications) != 3 || len(out.ManagedIdentities) != 1 || len(out.ManagedIdentities[0].Credentials) != 0 || out.ManagedIdentities[0].ClientID == "" {
		t.Errorf("%+v", out)
	}
	shop := out.Applications[0]
	if len(shop.Credentials) != 1 || shop.Disabled == nil || !*shop.Disabled || shop.AppID == "" || *shop.ServicePrincipal.Enabled {
		t.Errorf("%+v", shop)
	}
	if current.Applications[0].Disabled != nil || len(current.ManagedIdentities[0].Credentials) != 1 {
		t.Error("the current document was changed")
	}
	if pruned := current.Overlay(change, true); len(pruned.Applications) != 2 || pruned.Applications[0].UniqueName != "shop" || pruned.Applications[1].UniqueName != "new" {
		t.Errorf("%+v", pruned.Applications)
	}
}
