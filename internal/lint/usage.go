package lint

import (
	"fmt"
	"strings"
	"time"
)

// Usage is what was seen of a credential in use.
type Usage struct {
	Client     string     `json:"clientId"`
	Credential string     `json:"credential"`
	Since      time.Time  `json:"since,omitzero"` // from when on it is known: the oldest record; zero: there is none
	Last       time.Time  `json:"last,omitzero"`  // of the last token that it matched; zero: none
	Count      int        `json:"count"`
	Claims     []ClaimUse `json:"claims"` // of the tokens, those that are compared and others
}

// ClaimUse is what a claim was in the tokens that a credential matched.
type ClaimUse struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`        // different ones, oldest first
	More   bool     `json:"more,omitzero"` // there were others that are not listed
	Count  int      `json:"count"`         // of tokens that had it
}

func (u *Usage) claim(name string) *ClaimUse {
	for i := range u.Claims {
		if u.Claims[i].Name == name {
			return &u.Claims[i]
		}
	}
	return nil
}

const (
	unusedAfter = 90 * 24 * time.Hour
	neverAfter  = 14 * 24 * time.Hour
	enough      = 20 // tokens, for what is concluded from what was seen
)

func unused(s *subject) []hit {
	if s.usage == nil || s.usage.Since.IsZero() {
		return nil
	}
	if s.usage.Last.IsZero() {
		if age := s.in.Now.Sub(s.usage.Since); age > neverAfter {
			return []hit{{field: "name", level: Info, message: fmt.Sprintf("No token has matched it in the %d days that are recorded.", int(age.Hours()/24))}}
		}
		return nil
	}
	if age := s.in.Now.Sub(s.usage.Last); age > unusedAfter {
		return one("name", "The last token that matched it came %d days ago.", int(age.Hours()/24))
	}
	return nil
}

// identities are pairs of claims of which one names what the other numbers.
var identities = [][2]string{{"repository", "repository_id"}, {"repository_owner", "repository_owner_id"}, {"project_path", "project_id"}, {"namespace_path", "namespace_id"},
	{"organization_slug", "organization_id"}, {"pipeline_slug", "pipeline_id"}, {"terraform_organization_name", "terraform_organization_id"}, {"terraform_workspace_name", "terraform_workspace_id"}}

func changedIdentity(s *subject) []hit {
	if s.usage == nil {
		return nil
	}
	for _, pair := range identities {
		name, id := s.usage.claim(pair[0]), s.usage.claim(pair[1])
		if name != nil && id != nil && len(name.Values) == 1 && !name.More && len(id.Values) > 1 {
			return one(s.where(), "%s stayed %q, and %s changed from %q to %q: the name belongs to another now.", pair[0], shorten(name.Values[0]), pair[1], shorten(id.Values[0]), shorten(id.Values[len(id.Values)-1]))
		}
	}
	return nil
}

func neverPresent(s *subject) []hit {
	if s.usage == nil || s.usage.Count < enough {
		return nil
	}
	for i := range s.terms {
		t := &s.terms[i]
		if t.claim != claimSub && s.usage.claim(t.claim) == nil {
			return one(t.field, "None of %d tokens had the claim %q.", s.usage.Count, t.claim)
		}
	}
	return nil
}

// narrowing are claims by which a rule could trust less.
var narrowing = []string{"environment", "ref_protected", "runner_environment", "job_workflow_ref", "environment_protected"}

func ignoredClaim(s *subject) []hit {
	if s.usage == nil || s.usage.Count < enough {
		return nil
	}
	for _, name := range narrowing {
		c := s.usage.claim(name)
		if c == nil || c.Count < s.usage.Count || len(c.Values) != 1 || c.More || c.Values[0] == "" || s.constrains(name) || s.mentions(name) {
			continue
		}
		return one(s.where(), "All %d tokens had %s %q, which is not compared.", s.usage.Count, name, shorten(c.Values[0]))
	}
	return nil
}

// mentions reports whether the subject holds a claim's value by its name.
func (s *subject) mentions(name string) bool {
	for t := range s.on(claimSub) {
		if strings.Contains(t.text, ":"+name+":") {
			return true
		}
	}
	return false
}

func broaderThanSeen(s *subject) []hit {
	if s.usage == nil || s.usage.Count < enough || s.credential.Expression == nil {
		return nil
	}
	var narrower []string
	found := false
	for i := range s.terms {
		t := &s.terms[i]
		seen := s.usage.claim(t.claim)
		operator, text, narrow := narrowed(t, seen)
		found = found || narrow
		narrower = append(narrower, fmt.Sprintf("claims['%s'] %s '%s'", quote(t.claim), operator, quote(text)))
	}
	if !found {
		return nil
	}
	return []hit{{field: fieldExpr, message: fmt.Sprintf("All %d tokens that it took satisfy a narrower expression.", s.usage.Count), remedy: "Use " + strings.Join(narrower, " and ") + "."}}
}

// narrowed is a term that all values which were seen satisfy, and fewer others:
// the only value, or what all have in common up to a separator.
func narrowed(t *term, seen *ClaimUse) (operator, text string, narrow bool) {
	head, wild := t.head()
	if !wild || seen == nil || seen.More || len(seen.Values) == 0 {
		return t.operator, t.text, false
	}
	if len(seen.Values) == 1 {
		return equals, seen.Values[0], true
	}
	common := seen.Values[0]
	for _, v := range seen.Values[1:] {
		for !strings.HasPrefix(v, common) {
			common = common[:len(common)-1]
		}
	}
	common = common[:strings.LastIndexAny(common, ":/")+1]
	if strings.ContainsAny(common, "*?") || len(common) <= len(head) {
		return t.operator, t.text, false
	}
	return wildcarded, common + "*", true
}

// quote writes a text between quotation marks of the language.
func quote(s string) string { return strings.ReplaceAll(s, "'", "''") }
