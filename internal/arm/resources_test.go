package arm

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"cambio/internal/directory"
)

func TestResources(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.do("GET", group+"/resources"+version, "").want(404, CodeResourceGroupNotFound)
	f.do("PUT", group+version, `{"location":"local","tags":{"team":"shop"}}`).want(201, "")
	other := strings.Replace(group, "rg1", "rg2", 1)
	f.do("PUT", other+version, `{"location":"West Europe"}`).want(201, "")
	f.do("PUT", identities+"/id1"+version, `{"location":"West Europe","tags":{"Team":"shop"}}`).want(201, "")
	f.do("PUT", identities+"/it's"+version, `{"location":"local"}`).want(400, CodeBadRequest)
	f.do("PUT", strings.Replace(identities, "rg1", "rg2", 1)+"/id2"+version, `{"location":"local","tags":{"Team":"Shop"}}`).want(201, "")

	azurerm := f.do("GET", group+"/resources?api-version=2023-07-01&$expand=provisioningState&$top=10", "").want(200, "").values()
	if len(azurerm) != 1 || azurerm[0]["provisioningState"] != "Succeeded" || azurerm[0]["type"] != identityType || azurerm[0]["name"] != "id1" || azurerm[0]["createdTime"] != nil {
		t.Errorf("resources of the group: %v", azurerm)
	}
	if got := f.do("GET", subscription+"/resources"+version+"&$expand=createdTime,changedTime", "").want(200, "").values(); len(got) != 2 || got[0]["createdTime"] == nil {
		t.Errorf("all resources: %v", got)
	}
	for filter, want := range map[string]string{
		"": "id1 id2", "resourceType eq 'microsoft.managedidentity/USERASSIGNEDIDENTITIES'": "id1 id2", "resourceType eq 'Microsoft.KeyVault/vaults'": "",
		"resourceGroup eq 'RG2'": "id2", "name eq 'id1' and resourceGroup eq 'rg2'": "", "location eq 'westeurope'": "id1",
		"tagName eq 'team'": "id1 id2", "tagName eq 'team' AND tagValue eq 'shop'": "id1", "tagname eq 'x'": "", "name eq 'it''s'": "",
	} {
		var names []string
		for _, r := range f.do("GET", subscription+"/resources"+version+"&$filter="+url.QueryEscape(filter), "").want(200, "").values() {
			names = append(names, fmt.Sprint(r["name"]))
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	for _, filter := range []string{"name", "name eq", "name eq id1", "name eq 'id1", "name ne 'id1'", "name eq 'a' or name eq 'b'", "name eq 'a'and name eq 'b'",
		"substringof('a', name)", "plan eq 'x'", "tagValue eq 'x'", strings.Repeat("name eq 'a' and ", 10) + "name eq 'a'"} {
		f.do("GET", subscription+"/resources"+version+"&$filter="+url.QueryEscape(filter), "").want(400, CodeBadRequest)
	}
	if got := f.do("GET", subscription+"/resourcegroups"+version+"&$filter="+url.QueryEscape("tagName eq 'team' and tagValue eq 'shop'"), "").want(200, "").values(); len(got) != 1 || got[0]["name"] != "rg1" {
		t.Errorf("filtered groups: %v", got)
	}
	f.do("GET", subscription+"/resourcegroups"+version+"&$filter=x", "").want(400, CodeBadRequest)
}

// TestResourcePages: a filter does not end a list early.
func TestResourcePages(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	for i := range 5 {
		f.identity(fmt.Sprintf("id-%d", i))
	}
	seen, next := 0, subscription+"/resources"+version+"&$top=1&$filter="+url.QueryEscape("name eq 'id-3'")
	for next != "" {
		page := f.do("GET", next, "").want(200, "")
		seen += len(page.values())
		next = strings.TrimPrefix(page.string("nextLink"), testBase)
	}
	if seen != 1 {
		t.Errorf("the pages hold %d resources", seen)
	}
}

// FuzzFilter: what is accepted says the same when it is written out again.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"name eq 'a'", "tagName eq 'a' and tagValue eq 'it''s'", "name eq '", "a eq 'b' and", " x  EQ  '' AND y eq 'z' "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := parseFilter(text)
		if !ok {
			return
		}
		if len(got) == 0 || len(got) > maxConditions {
			t.Fatalf("%q has %d conditions", text, len(got))
		}
		var parts []string
		for _, c := range got {
			parts = append(parts, c.name+" eq '"+strings.ReplaceAll(c.value, "'", "''")+"'")
		}
		if again, ok := parseFilter(strings.Join(parts, " and ")); !ok || !slices.Equal(again, got) {
			t.Fatalf("%q is read as %q, and that as %q", text, got, again)
		}
	})
}
