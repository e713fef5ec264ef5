package lint

import (
	"regexp"
	"slices"
	"strings"
)

// identifiesOwner reports whether some term says whose token it must be.
func (s *subject) identifiesOwner() bool {
	return slices.ContainsFunc(s.terms, func(t term) bool {
		return fixes(&t, s.profile.OwnerBoundaries, s.profile.TenantClaims) || s.ofKnownShape(&t)
	})
}

// ofKnownShape reports whether a term is a whole subject as the platform makes
// them by itself.
func (s *subject) ofKnownShape(t *term) bool {
	_, wild := t.head()
	return t.claim == claimSub && !wild && s.profile.HasSubject(t.text)
}

// crossing is a term whose wildcard begins before the owner's name ends.
func (s *subject) crossing() *term {
	for i := range s.terms {
		t := &s.terms[i]
		_, wild := t.head()
		_, bounded := s.profile.OwnerBoundaries[t.claim]
		if wild && strings.Trim(t.text, "*?") != "" && (bounded || slices.Contains(s.profile.TenantClaims, t.claim)) {
			return t
		}
	}
	return nil
}

func sharedIssuer(s *subject) []hit {
	if !s.shared() || s.identifiesOwner() || s.crossing() != nil {
		return nil
	}
	found := one(s.where(), "All customers of %s share the issuer %s, and nothing here says whose token it must be: none of %s is compared. Anybody can have a token that satisfies it.",
		s.profile.Title, s.credential.Issuer, strings.Join(s.profile.TenantClaims, ", "))
	if slices.ContainsFunc(s.terms, func(t term) bool {
		_, wild := t.head()
		return t.claim == claimSub && !wild && !customised(t.text)
	}) { // most likely nobody's token has it at all
		found[0].level = Warn
		found[0].message = s.profile.Title + " gives no token such a subject by itself, and all its customers share the issuer: make sure that only yours can have it."
	}
	if slices.ContainsFunc(s.terms, func(t term) bool { return t.claim == workflowClaim || strings.HasPrefix(t.text, workflowClaim+":") }) {
		found[0].level = Warn
		found[0].message = "Only the reusable workflow is compared. Whoever may call it satisfies it: if its repository is public, everybody on GitHub, and what the caller passes to it is the caller's choice."
	}
	return found
}

// workflowClaim names the reusable workflow that a job runs in, not the
// repository that called it.
const workflowClaim = "job_workflow_ref"

// customised tells a subject of claims and values that its owner put together, as
// in environment:prod. One that begins with repo: and is not of GitHub's own
// shape is a mistake.
func customised(subject string) bool {
	return !strings.HasPrefix(subject, "repo:") && claimKey.MatchString(subject)
}

var claimKey = regexp.MustCompile(`\A[a-z_]+:`)

func crossesOwner(s *subject) []hit {
	if !s.shared() || s.identifiesOwner() {
		return nil
	}
	t := s.crossing()
	if t == nil {
		return nil
	}
	return one(t.field, "The wildcard in %q on %s begins before the name of the owner ends, so that it takes tokens of others, whose names begin alike.", shorten(t.text), t.claim)
}

func wholeOwner(s *subject) []hit {
	if s.profile == nil || len(s.profile.ProjectBoundaries) == 0 || s.shared() && !s.identifiesOwner() {
		return nil
	}
	if slices.ContainsFunc(s.terms, func(t term) bool {
		return fixes(&t, s.profile.ProjectBoundaries, s.profile.ProjectClaims) || s.ofKnownShape(&t)
	}) {
		return nil
	}
	return one(s.where(), "Nothing here says which repository or project of the owner it must be: every one satisfies it, those that do not exist yet included.")
}

func nameOnly(s *subject) []hit {
	if s.profile == nil || s.profile.NameOnly == "" || s.constrains(s.profile.StableClaims...) || !s.shared() {
		return nil
	}
	for t := range s.on(claimSub) {
		head, _ := t.head()
		if boundary(s.profile.NameOnly).MatchString(head) {
			return one(t.field, "%q holds names only. Whoever gets these names after they were renamed or deleted satisfies it.", shorten(t.text))
		}
	}
	return nil
}

// mutableClaims hold what their owner can change, or choose.
var mutableClaims = []string{"actor", "workflow", "email", "user_email", "name", "display_name", "preferred_username", "user_login", "upn", "nickname", "given_name", "family_name", "head_ref", "base_ref"}

func mutableOnly(s *subject) []hit {
	var seen []string
	for _, t := range s.terms {
		if t.claim == "iss" || t.claim == "aud" || strings.Trim(t.text, "*?") == "" && t.operator == wildcarded {
			continue
		}
		if !slices.Contains(mutableClaims, t.claim) {
			return nil
		}
		seen = append(seen, t.claim)
	}
	if len(seen) == 0 {
		return nil
	}
	return one(fieldExpr, "Only %s is compared, which people choose and change by themselves.", strings.Join(seen, ", "))
}

// where is the field that says who is trusted.
func (s *subject) where() string {
	if s.credential.Expression != nil {
		return fieldExpr
	}
	return fieldSub
}

// serviceAccount takes the subject of a Kubernetes service account apart.
var serviceAccount = regexp.MustCompile(`\Asystem:serviceaccount:([^:]*):(.*)\z`)

func defaultServiceAccount(s *subject) []hit {
	for t := range s.on(claimSub) {
		if m := serviceAccount.FindStringSubmatch(t.text); m != nil && m[2] == "default" {
			return one(t.field, "Every pod of the namespace %s that names no service account runs as %q.", m[1], "default")
		}
	}
	return nil
}

func wildcardNamespace(s *subject) []hit {
	for t := range s.on(claimSub) {
		head, wild := t.head()
		if wild && strings.HasPrefix(t.text, "system:serviceaccount:") && strings.Count(head, ":") < 3 {
			return one(t.field, "%q takes service accounts of more than one namespace: whoever can make a namespace, or a service account in one, satisfies it.", shorten(t.text))
		}
	}
	return nil
}
