package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cambio/internal/directory"
)

// Gate decides about a credential that is about to be written, for a tenant
// whose policy enforces the rules. roles yields the values of the app roles
// that its client holds; it is asked only when that matters. reasons are given
// for findings that are to pass, by rule; those that were needed are returned
// for the audit trail. The error is an *directory.Error of kind Invalid that
// names the rule, the remedy and the way past it.
func Gate(t *directory.Tenant, c *directory.FederatedIdentityCredential, roles func() ([]string, error), reasons map[string]string, now time.Time) (passed map[string]string, err error) {
	if !t.Policy.Lint.Enforced(t.Compat) {
		return nil, nil
	}
	// L18 has no say: whether the issuer may be contacted is decided by the
	// server's configuration, and its own tokens are refused when they come.
	in := &Input{Now: now, Issuers: []Issuer{{Name: c.Issuer, Private: true}}, Levels: LevelsOf(&t.Policy.Lint)}
	client := Client{Name: "the client", Roles: []Role{{"its resources", "unknown"}}}
	credential := Credential{FederatedIdentityCredential: *c}
	unbounded := credential
	unbounded.Ceilings = nil // they name roles that are not known yet
	if blocking(in, &client, &unbounded) == nil {
		return nil, nil
	}
	values, err := roles()
	if err != nil {
		return nil, err
	}
	client.Roles = nil
	for _, v := range values {
		client.Roles = append(client.Roles, Role{"its resources", v})
	}
	for _, f := range blocking(in, &client, &credential) {
		reason, given := reasons[f.Rule]
		if !given {
			return nil, directory.Errorf(directory.Invalid, f.Field, "%s: lint rule %s (%s): %s %s To have it all the same, say why with the header %s: %s=REASON (`cambio` has --override %[2]s=REASON).",
				f.Field, f.Rule, f.Title, f.Message, f.Remedy, OverrideHeader, f.Rule)
		}
		if passed == nil {
			passed = map[string]string{}
		}
		passed[f.Rule] = reason
	}
	return passed, nil
}

// LevelsOf are the grades of a tenant's policy.
func LevelsOf(p *directory.LintPolicy) Levels {
	levels := Levels{}
	for id, level := range p.Levels {
		levels[id] = Level(level)
	}
	return levels
}

func blocking(in *Input, client *Client, credential *Credential) []Finding {
	return slices.DeleteFunc(CheckOne(in, client, credential), func(f Finding) bool { return f.Level != Block })
}

// OverrideHeader is the request header that gives reasons, as in
// Cambio-Lint-Override: L2=all of acme is ours; L5=reviewed by security.
const OverrideHeader = "Cambio-Lint-Override"

// maxReason bounds a reason, in characters.
const maxReason = 200

// ParseOverrides reads reasons, RULE=REASON each, separated by semicolons.
func ParseOverrides(texts []string) (map[string]string, error) {
	reasons := map[string]string{}
	for _, text := range texts {
		for one := range strings.SplitSeq(text, ";") {
			rule, reason, _ := strings.Cut(strings.TrimSpace(one), "=")
			reason = strings.TrimSpace(reason)
			switch {
			case Find(rule) == nil:
				return nil, fmt.Errorf("%q names no lint rule; write RULE=REASON, as in L2=all of acme is ours", shorten(one))
			case reason == "" || len([]rune(reason)) > maxReason:
				return nil, fmt.Errorf("the reason for %s must have 1 to %d characters", rule, maxReason)
			}
			reasons[rule] = reason
		}
	}
	return reasons, nil
}

// OverrideDetails are the actions of audit rows for findings that were let
// pass, in the order of the rules' names.
func OverrideDetails(passed map[string]string) []string {
	var out []string
	for _, rule := range slices.Sorted(maps.Keys(passed)) {
		out = append(out, "lint.override "+rule+": "+passed[rule])
	}
	return out
}
