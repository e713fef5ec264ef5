package lint

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cambio/internal/directory"
)

// Level is how much a finding matters.
type Level string

// The levels, and Off for a rule that a tenant does not want.
const (
	Block Level = "block" // not to be created unless somebody says why
	Warn  Level = "warn"
	Info  Level = "info"
	Off   Level = "off"
)

// Levels is how a tenant grades rules, by their id. A rule that is not in it
// has its own level.
type Levels map[string]Level

// CheckLevels fails on rules and levels that do not exist.
func CheckLevels(levels Levels) error {
	for _, id := range slices.Sorted(maps.Keys(levels)) {
		if Find(id) == nil {
			return fmt.Errorf("there is no rule %q; rules are L1 to L%d", id, len(rules))
		}
		if !slices.Contains([]Level{Block, Warn, Info, Off}, levels[id]) {
			return fmt.Errorf("the level of %s is %q; it must be block, warn, info or off", id, levels[id])
		}
	}
	return nil
}

// Place is where something is written. The zero value is nowhere.
type Place struct {
	File string
	Line int    // from 1; 0: not known
	Path string // as in applications[2].federatedIdentityCredentials[0]
}

// Input is what is looked at.
type Input struct {
	Clients []Client
	Issuers []Issuer // facts about issuers, where they are known
	Own     []string // origins of the server, with a slash at the end
	Usage   []Usage  // what was seen in use, by credential; empty: not known
	Now     time.Time
	Levels  Levels
}

// Client is an application or managed identity.
type Client struct {
	ID          string // client id, by which usage is told; empty: not known
	Name        string
	Credentials []Credential
	Roles       []Role
}

// Role is an app role that a client holds. An empty value is access without a
// role.
type Role struct{ Resource, Value string }

// Credential is a federated identity credential.
type Credential struct {
	directory.FederatedIdentityCredential
	Place     Place
	Overrides map[string]string // reasons of those who let a finding pass, by rule
}

// Issuer is what is known of an issuer beside its name.
type Issuer struct {
	Name        string
	Private     bool      // the tenant allows it to be on a private address
	Pinned      string    // JWK set that is pinned; empty: not known, or none
	PinnedAt    time.Time // when its keys were uploaded; zero: they are not pinned
	LiveDiffers bool      // it publishes other keys than those that are pinned
	KeyProblems []string  // weak keys, key ids that come twice, keys beyond the cap
}

// Finding is one rule that a credential breaks.
type Finding struct {
	Rule       string `json:"rule"`
	Level      Level  `json:"level"`
	Title      string `json:"title"`
	Client     string `json:"client"`
	Credential string `json:"credential"`
	Field      string `json:"field"`
	Message    string `json:"message"`
	Remedy     string `json:"remedy"`
	Override   string `json:"override,omitempty"` // the reason why it is let pass
	Place      Place  `json:"-"`
}

// Blocks reports whether the finding keeps a credential from being created.
func (f *Finding) Blocks() bool { return f.Level == Block && f.Override == "" }

// Check looks at everything and returns what it found: the most important
// first, then in the order of clients and credentials.
func Check(in *Input) []Finding {
	var out []Finding
	for i := range in.Clients {
		for j := range in.Clients[i].Credentials {
			out = append(out, CheckOne(in, &in.Clients[i], &in.Clients[i].Credentials[j])...)
		}
	}
	sortByLevel(out)
	return out
}

// CheckOne looks at one credential of a client alone, as at the time when it
// is written.
func CheckOne(in *Input, client *Client, credential *Credential) []Finding {
	var out []Finding
	s := newSubject(in, client, credential)
	for k := range rules {
		out = append(out, s.apply(&rules[k])...)
	}
	sortByLevel(out)
	return out
}

func sortByLevel(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int { return cmp.Compare(rank(a.Level), rank(b.Level)) })
}

func rank(l Level) int { return slices.Index([]Level{Block, Warn, Info}, l) }

// apply tries one rule.
func (s *subject) apply(r *Rule) []Finding {
	var out []Finding
	for _, h := range r.check(s) {
		level := r.Level
		if h.level != "" {
			level = h.level
		}
		if own, graded := s.in.Levels[r.ID]; graded {
			level = own
		}
		if level == Off {
			continue
		}
		remedy := r.Remedy
		if h.remedy != "" {
			remedy = h.remedy
		}
		out = append(out, Finding{Rule: r.ID, Level: level, Title: r.Title, Client: s.client.Name, Credential: s.credential.Name,
			Field: h.field, Message: h.message, Remedy: remedy, Override: s.credential.Overrides[r.ID], Place: s.credential.Place})
	}
	return out
}

// hit is what a rule found.
type hit struct {
	field, message string
	remedy         string // empty: that of the rule
	level          Level  // empty: that of the rule
}

// one is a single hit.
func one(field, format string, args ...any) []hit {
	return []hit{{field: field, message: fmt.Sprintf(format, args...)}}
}

// shorten keeps a value readable in a message.
func shorten(s string) string {
	const most = 120
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strings.ToValidUTF8(s, "�")
}
