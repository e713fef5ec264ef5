package lint

import (
	"strings"
	"testing"

	"cambio/internal/directory"
)

// TestGateKnowsTheRoles: pull requests are refused together with a role that
// the credential's ceilings let through, and taken with one that they do not.
func TestGateKnowsTheRoles(t *testing.T) {
	for name, c := range map[string]struct {
		roles    []string // of the client
		ceilings *directory.Ceilings
		refused  bool
	}{
		"writes":               {[]string{"Orders.Write"}, nil, true},
		"reads":                {[]string{"Orders.Read"}, nil, false},
		"holds none":           {nil, nil, false},
		"kept to writing":      {[]string{"Orders.Write", "Orders.Read"}, &directory.Ceilings{Roles: []string{"Orders.Write"}}, true},
		"kept to reading":      {[]string{"Orders.Write", "Orders.Read"}, &directory.Ceilings{Roles: []string{"Orders.Read"}}, false},
		"kept to what is none": {[]string{"Orders.Write"}, &directory.Ceilings{Roles: []string{"Other"}}, false},
	} {
		credential := sub(gh, "repo:acme/shop:pull_request")
		credential.Ceilings = c.ceilings
		_, err := Gate(&directory.Tenant{}, &credential, func() ([]string, error) { return c.roles, nil }, nil, now)
		if (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), "lint rule L5") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
