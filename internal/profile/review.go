package profile

import (
	"fmt"
	"slices"
	"strings"
)

// Review warns of what makes an issuer and a subject that a person typed match
// no token, as far as the profiles can tell. The subject is empty when an
// expression takes its place. Both are compared byte for byte.
func Review(issuer, subject string) []Note {
	var out []Note
	warn := func(format string, args ...any) { out = append(out, Note{Warning, fmt.Sprintf(format, args...)}) }
	if strings.TrimSpace(subject) != subject {
		warn("The subject %q begins or ends with white space, which is compared too.", subject)
	}
	if strings.ContainsAny(subject, "*?") {
		warn("The subject is compared byte for byte; * and ? in it are no wildcards. --claims-matching-expression takes a pattern.")
	}
	for _, p := range all() {
		bare := strings.TrimRight(issuer, "/")
		switch {
		case matchesAny(p.known, issuer):
			if subject != "" && !p.HasSubject(subject) {
				warn("%s gives subjects of other shapes by itself: %s. Unless it was told to make others, no token matches this one.", p.Title, strings.TrimPrefix(p.describe(), "its subjects are "))
			}
			return out
		case matchesAny(p.known, bare):
			warn("The issuer in tokens of %s is %s, without a slash at its end.", p.Title, bare)
			return out
		}
	}
	return out
}

// HasSubject reports whether a subject has one of the shapes that the platform
// gives it by itself.
func (p *Profile) HasSubject(subject string) bool {
	return slices.ContainsFunc(p.Subjects, func(a Alternative) bool { return a.parsed.read(subject, values{}) })
}

// OfIssuer returns the profile that an issuer belongs to, nil if none knows it.
func OfIssuer(issuer string) *Profile {
	if i := slices.IndexFunc(all(), func(p *Profile) bool { return matchesAny(p.known, issuer) }); i >= 0 {
		return all()[i]
	}
	return nil
}

// SharedAudience returns the title of the platform whose tokens for other
// services have an audience.
func SharedAudience(audience string) (title string, known bool) {
	if slices.Contains(commonAudiences, audience) {
		return "several platforms", true
	}
	for _, p := range all() {
		if matchesAny(p.shared, audience) {
			return p.Title, true
		}
	}
	return "", false
}

// IdentifyingClaims are the names of the claims that the profile of an issuer
// tells workloads apart by; nil if no profile knows the issuer. The list is not
// the caller's to change.
func IdentifyingClaims(issuer string) []string {
	for _, p := range all() {
		if !matchesAny(p.known, issuer) {
			continue
		}
		return p.identifying
	}
	return nil
}
