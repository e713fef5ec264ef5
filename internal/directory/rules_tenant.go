package directory

import (
	"strings"
)

// ValidateTenant checks a tenant that is about to be stored. The error is an
// *Error of kind Invalid.
func ValidateTenant(t *Tenant) error {
	if !IsGUID(t.ID) || t.ID != strings.ToLower(t.ID) {
		return Errorf(Invalid, "id", "id must be a GUID in lower case.")
	}
	if err := checkText("displayName", t.DisplayName, 1, MaxDisplayName); err != nil {
		return err
	}
	if err := CheckCompat(t.Compat); err != nil {
		return err
	}
	if len(t.Domains) > MaxDomains {
		return Errorf(Invalid, "verifiedDomains", "verifiedDomains may hold at most %d names; this one holds %d.", MaxDomains, len(t.Domains))
	}
	if err := CheckFederationPolicy(&t.Policy); err != nil {
		return err
	}
	seen := make(map[string]bool, len(t.Domains))
	for _, d := range t.Domains {
		if err := checkDomain(d); err != nil {
			return err
		}
		if seen[d] {
			return Errorf(Invalid, "verifiedDomains", "verifiedDomains holds %q twice.", d)
		}
		seen[d] = true
	}
	return nil
}

// CheckCompat checks a compatibility level.
func CheckCompat(level Compat) error {
	if level != Relaxed && level != Strict {
		return Errorf(Invalid, "compat", "compat must be 'relaxed' or 'strict'.")
	}
	return nil
}

// checkDomain: a domain name stands in URL paths in place of the tenant's id,
// so it must have a dot, which keeps it apart from the reserved words common,
// organizations, consumers and adfs.
func checkDomain(domain string) error {
	const property = "verifiedDomains"
	if domain != strings.ToLower(domain) {
		return Errorf(Invalid, property, "the domain name %q must be in lower case.", domain)
	}
	labels := strings.Split(domain, ".")
	if len(domain) > 253 || len(labels) < 2 {
		return Errorf(Invalid, property, "%q is not a domain name: two labels or more and at most 253 characters are needed.", domain)
	}
	for _, l := range labels {
		if len(l) == 0 || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return Errorf(Invalid, property, "%q is not a domain name: each label has 1 to 63 characters and neither begins nor ends with '-'.", domain)
		}
		for i := 0; i < len(l); i++ {
			if !isAlphanumeric(l[i]) && l[i] != '-' {
				return Errorf(Invalid, property, "%q is not a domain name: labels hold ASCII letters, digits and '-' only.", domain)
			}
		}
	}
	return nil
}
