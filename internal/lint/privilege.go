package lint

import (
	"slices"
	"strings"
	"unicode"
)

// Privilege is what a client may do at most, guessed from the names of its app
// roles.
type Privilege int

// From nothing to everything.
const (
	None Privilege = iota
	Read
	Write
	Admin
)

func (p Privilege) String() string {
	return [...]string{"no role", "read rights", "more than read rights", "administrative rights"}[p]
}

// Words of roles. A role of words that are in neither list may do anything an
// API thinks of, so that it counts as writing.
var (
	readWords  = []string{"read", "reader", "get", "list", "view", "viewer", "watch", "query", "search", "monitor"}
	adminWords = []string{"admin", "administrator", "owner", "root", "superuser", "full", "manage", "manager"}
	writeWords = []string{"write", "writer", "readwrite", "create", "update", "delete", "edit", "editor", "push", "deploy", "publish", "execute", "run", "send", "approve"}
)

// privilege guesses what a role allows.
func privilege(role string) Privilege {
	w := words(role)
	has := func(list []string) bool {
		return slices.ContainsFunc(w, func(word string) bool { return slices.Contains(list, word) })
	}
	switch {
	case has(adminWords):
		return Admin
	case has(writeWords):
		return Write
	case has(readWords):
		return Read
	}
	return Write
}

// words takes a role's value apart: Orders.ReadWrite.All is orders, read,
// write, all.
func words(role string) []string {
	var out []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			out = append(out, strings.ToLower(word.String()))
			word.Reset()
		}
	}
	previous := ' '
	for _, r := range role {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) || unicode.IsUpper(r) && unicode.IsLower(previous) {
			flush()
		}
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			word.WriteRune(r)
		}
		previous = r
	}
	flush()
	return out
}

// privilege is the highest of what the credential can be used for.
func (s *subject) privilege() Privilege { return highest(s.roles) }

func highest(roles []Role) Privilege {
	most := None
	for _, r := range roles {
		most = max(most, privilege(r.Value))
	}
	return most
}

// strongest names the role by which a client has its privilege.
func (s *subject) strongest() string {
	for _, r := range s.roles {
		if privilege(r.Value) == s.privilege() {
			if r.Value == "" {
				return "access to " + r.Resource
			}
			return r.Value + " on " + r.Resource
		}
	}
	return ""
}
