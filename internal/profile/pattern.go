package profile

import (
	"regexp"
	"regexp/syntax"
	"sync"
)

// pattern is a regular expression that is compiled when it is first used: a
// server uses none, and all of them together take megabytes.
type pattern struct {
	groups   int
	compiled func() *regexp.Regexp
}

// newPattern fails on what cannot be compiled.
func newPattern(expression string) (*pattern, error) {
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return &pattern{groups: parsed.MaxCap(), compiled: sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })}, nil
}

// MatchString is that of regexp.Regexp.
func (p *pattern) MatchString(s string) bool { return p.compiled().MatchString(s) }

// FindStringSubmatch is that of regexp.Regexp.
func (p *pattern) FindStringSubmatch(s string) []string { return p.compiled().FindStringSubmatch(s) }
