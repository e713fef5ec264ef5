package directory

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the nouns. Lengths count characters (Unicode code points).
const (
	MaxCredentialName      = 120
	MinCredentialName      = 3
	MaxIssuer              = 600
	MaxSubject             = 600
	MaxAudience            = 600
	MaxAudiences           = 16 // of one credential in relaxed tenants; strict tenants take exactly one
	MaxDescription         = 600
	MaxNotes               = 1024 // also descriptions of applications, service principals and app roles
	MaxStrictCredentials   = 20   // credentials of one parent in strict tenants
	MaxDisplayName         = 256
	MaxUniqueName          = 256
	MaxIdentifierURI       = 255
	MaxIdentifierURIs      = 256
	MaxAppRoles            = 1000
	MaxAppRoleValue        = 250
	MaxTags                = 100
	MaxRequiredResources   = 50
	MaxRequiredPermissions = 400
	MaxTag                 = 256
	MaxDomains             = 100
)

// ValidateCredential checks every value of a credential that is about to be
// stored. issuerAllowed decides whether the issuer may be contacted at all
// (scheme, private addresses); its error text is shown to the caller. A nil
// issuerAllowed refuses every issuer. The error is an *Error of kind Invalid.
//
// Nothing is asked of the issuer itself: like Entra, a credential may be
// registered before its issuer can be reached.
func ValidateCredential(c *FederatedIdentityCredential, level Compat, issuerAllowed func(issuer string) error) error {
	if err := checkCredentialName(c.Name); err != nil {
		return err
	}
	if err := checkIssuer(c.Issuer, issuerAllowed); err != nil {
		return err
	}
	if err := checkSubject(c, level); err != nil {
		return err
	}
	if err := checkTrustDomain(c, level); err != nil {
		return err
	}
	if err := checkAudiences(c.Audiences, level); err != nil {
		return err
	}
	if err := checkCeilings(c.Ceilings); err != nil {
		return err
	}
	return checkText("description", c.Description, 0, MaxDescription)
}

// checkCredentialName: the name is part of URLs and an alternate key.
func checkCredentialName(name string) error {
	if name == "" {
		return Errorf(Invalid, "name", "name is required: %d to %d letters, digits, '-' or '_', starting with a letter or digit.", MinCredentialName, MaxCredentialName)
	}
	if len(name) < MinCredentialName || len(name) > MaxCredentialName {
		return Errorf(Invalid, "name", "name must have %d to %d characters; this one has %d.", MinCredentialName, MaxCredentialName, utf8.RuneCountInString(name))
	}
	for i := 0; i < len(name); i++ {
		if !isAlphanumeric(name[i]) && (i == 0 || name[i] != '-' && name[i] != '_') {
			return Errorf(Invalid, "name", "name may hold ASCII letters, digits, '-' and '_' only and must start with a letter or digit; character %d breaks this.", i+1)
		}
	}
	return nil
}

// checkIssuer refuses surrounding white space, which Entra stores and then
// never matches.
func checkIssuer(issuer string, allowed func(string) error) error {
	if err := checkText("issuer", issuer, 1, MaxIssuer); err != nil {
		return err
	}
	if strings.TrimSpace(issuer) != issuer {
		return Errorf(Invalid, "issuer", "issuer begins or ends with white space; it is compared byte for byte with the token's iss claim and could never match. Remove the white space.")
	}
	if allowed == nil {
		return Errorf(Invalid, "issuer", "issuer: no issuer is allowed on this server.")
	}
	if err := allowed(issuer); err != nil {
		return Errorf(Invalid, "issuer", "issuer: %v", err)
	}
	return nil
}

func checkAudiences(audiences []string, level Compat) error {
	if len(audiences) == 0 {
		return Errorf(Invalid, "audiences", "audiences is required: name the value of the token's aud claim, usually api://AzureADTokenExchange.")
	}
	if level == Strict && len(audiences) != 1 {
		return Errorf(Invalid, "audiences", "audiences must hold exactly one value; this one holds %d.", len(audiences))
	}
	if len(audiences) > MaxAudiences {
		return Errorf(Invalid, "audiences", "audiences may hold at most %d values; this one holds %d.", MaxAudiences, len(audiences))
	}
	seen := make(map[string]bool, len(audiences))
	for _, a := range audiences {
		if err := checkText("audiences", a, 1, MaxAudience); err != nil {
			return err
		}
		if seen[a] {
			return Errorf(Invalid, "audiences", "audiences holds '%s' twice.", a)
		}
		seen[a] = true
	}
	return nil
}

// checkText is the common rule of text: valid UTF-8 of min to max characters
// without control characters and without U+FFFD, which is what a lossy
// conversion leaves behind and so would compare equal to other lost text.
func checkText(property, value string, min, max int) error {
	if value == "" {
		if min > 0 {
			return Errorf(Invalid, property, "%s is required and must not be empty.", property)
		}
		return nil
	}
	if !utf8.ValidString(value) {
		return Errorf(Invalid, property, "%s is not valid UTF-8.", property)
	}
	if n := utf8.RuneCountInString(value); n < min || n > max {
		return Errorf(Invalid, property, "%s may have at most %d characters; this one has %d.", property, max, n)
	}
	for _, r := range value {
		if unicode.IsControl(r) {
			return Errorf(Invalid, property, "%s holds the control character U+%04X; remove it.", property, r)
		}
		if r == utf8.RuneError {
			return Errorf(Invalid, property, "%s holds the replacement character U+FFFD, a sign of text that was converted wrongly; send the original text.", property)
		}
	}
	return nil
}

func isAlphanumeric(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}

// IsGUID reports whether s has the form of a GUID with hyphens and without
// braces, in any case.
func IsGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if b != '-' {
				return false
			}
		case b >= '0' && b <= '9', b >= 'a' && b <= 'f', b >= 'A' && b <= 'F':
		default:
			return false
		}
	}
	return true
}
