package lint

import (
	"slices"
	"strings"
)

func differentPrivilege(s *subject) []hit {
	for i := range s.in.Clients {
		other := &s.in.Clients[i]
		if other.Name == s.client.Name {
			continue
		}
		for j := range other.Credentials {
			c := &other.Credentials[j]
			if !sameTokens(s.credential, c) {
				continue
			}
			o := newSubject(s.in, other, c)
			if mine, theirs := s.privilege(), o.privilege(); mine >= theirs+2 {
				return one(s.where(), "The same tokens are good for %s, which has %s, and for this client, which has %s (%s).", other.Name, theirs, mine, s.strongest())
			}
		}
	}
	return nil
}

func sameTokens(a, b *Credential) bool {
	expression := func(c *Credential) string {
		if c.Expression == nil {
			return ""
		}
		return c.Expression.Value
	}
	return a.Issuer == b.Issuer && a.Subject == b.Subject && expression(a) == expression(b)
}

func contained(s *subject) []hit {
	for i := range s.client.Credentials {
		other := &s.client.Credentials[i]
		if other.Name == s.credential.Name || other.Issuer != s.credential.Issuer {
			continue
		}
		if contains(termsOf(&other.FederatedIdentityCredential), s.terms) && subset(s.credential.Audiences, other.Audiences) {
			return one(s.where(), "The credential %q of the same client takes every token that this one takes.", other.Name)
		}
	}
	return nil
}

// contains reports whether tokens that satisfy the narrow terms satisfy the
// broad ones, as far as that can be seen. Of two that are the same none is
// narrower.
func contains(broad, narrow []term) bool {
	if len(broad) == 0 || len(narrow) == 0 || same(broad, narrow) {
		return false
	}
	for i := range broad {
		b := &broad[i]
		if !slices.ContainsFunc(narrow, func(n term) bool { return n.claim == b.claim && implies(&n, b) }) {
			return false
		}
	}
	return true
}

func same(a, b []term) bool {
	return slices.EqualFunc(a, b, func(x, y term) bool { return x.claim == y.claim && x.operator == y.operator && x.text == y.text })
}

// implies reports whether every value that satisfies n satisfies b. Where both
// have wildcards n's pattern itself is tried as a value: * in it is then only
// satisfied by * in b, if b has no ?.
func implies(n, b *term) bool {
	if _, wild := n.head(); wild {
		if b.operator != wildcarded || strings.Contains(b.text, "?") {
			return n.operator == b.operator && n.text == b.text
		}
	}
	return b.satisfied(n.text)
}

func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(x string) bool { return !slices.Contains(b, x) })
}
