package directory

import "strings"

// Limits of what Azure Resource Manager names.
const (
	MaxIdentityName      = 128
	MinIdentityName      = 3
	MaxResourceGroupName = 90
	MaxLocation          = 64
	MaxResourceTags      = 50
	MaxResourceTagName   = 512
	MaxResourceTagValue  = 256
)

// ValidateManagedIdentity checks a user-assigned managed identity that is
// about to be stored. The error is an *Error of kind Invalid.
func ValidateManagedIdentity(m *ManagedIdentity) error {
	if err := checkIdentityName(m.Name); err != nil {
		return err
	}
	if err := checkText("location", m.Location, 1, MaxLocation); err != nil {
		return err
	}
	switch m.IsolationScope {
	case "", "None", "Regional":
	default:
		return Errorf(Invalid, "properties.isolationScope", "properties.isolationScope must be 'None' or 'Regional'.")
	}
	return checkResourceTags(m.Tags)
}

func checkIdentityName(name string) error {
	if len(name) < MinIdentityName || len(name) > MaxIdentityName {
		return Errorf(Invalid, "resourceName", "The identity's name must have %d to %d characters; this one has %d.", MinIdentityName, MaxIdentityName, len(name))
	}
	for i := 0; i < len(name); i++ {
		if !isAlphanumeric(name[i]) && (i == 0 || name[i] != '-' && name[i] != '_') {
			return Errorf(Invalid, "resourceName", "The identity's name may hold ASCII letters, digits, '-' and '_' only and must start with a letter or digit.")
		}
	}
	return nil
}

// ValidateResourceGroup checks a resource group that is about to be stored.
// The error is an *Error of kind Invalid.
func ValidateResourceGroup(g *ResourceGroup) error {
	if g.Name == "" || len(g.Name) > MaxResourceGroupName || strings.HasSuffix(g.Name, ".") {
		return Errorf(Invalid, "resourceGroupName", "The resource group's name must have 1 to %d characters and must not end with '.'.", MaxResourceGroupName)
	}
	for i := 0; i < len(g.Name); i++ {
		if !isAlphanumeric(g.Name[i]) && strings.IndexByte("-_.()", g.Name[i]) < 0 {
			return Errorf(Invalid, "resourceGroupName", "The resource group's name may hold ASCII letters, digits, '-', '_', '.' and parentheses only.")
		}
	}
	if err := checkText("location", g.Location, 1, MaxLocation); err != nil {
		return err
	}
	return checkResourceTags(g.Tags)
}

func checkResourceTags(tags map[string]string) error {
	if len(tags) > MaxResourceTags {
		return Errorf(Invalid, "tags", "tags may hold at most %d values; this one holds %d.", MaxResourceTags, len(tags))
	}
	for k, v := range tags {
		if err := checkText("tags", k, 1, MaxResourceTagName); err != nil {
			return err
		}
		if err := checkText("tags", v, 0, MaxResourceTagValue); err != nil {
			return err
		}
	}
	return nil
}
