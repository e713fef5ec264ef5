package profile

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"cambio/internal/directory"
)

// DefaultAudience is what tokens for the exchange are asked for with.
const DefaultAudience = "api://AzureADTokenExchange"

// Proposal is a credential that may be created, and what to know before.
type Proposal struct {
	Profile    *Profile
	Parameters map[string]string // by name; nil when the subject has no shape that the profile knows
	Credential directory.FederatedIdentityCredential
	Notes      []Note
}

// Propose makes a credential of the parameters that are given; those with a
// default may be left out. The error says which is missing, wrong or does not
// go with another, in the words of a command line.
func (p *Profile) Propose(given map[string]string) (Proposal, error) {
	v, err := p.check(given)
	if err != nil {
		return Proposal{}, err
	}
	issuer, ok := first(p.Issuers, v)
	subject, ok2 := first(p.Subjects, v)
	if !ok || !ok2 {
		return Proposal{}, fmt.Errorf("%s needs more to know the workload by: %s", p.Name, p.describe())
	}
	if err := p.unused(given, v); err != nil {
		return Proposal{}, err
	}
	audience, _ := first(p.Audiences, v)
	if audience == "" {
		audience = DefaultAudience
	}
	name, ok := first(p.Names, v)
	if !ok {
		name = p.Name + "-" + subject
	}
	out := Proposal{Profile: p, Parameters: v, Notes: p.notes(v, fromParameters)}
	out.Credential = directory.FederatedIdentityCredential{Name: fitName(name), Issuer: issuer, Subject: subject, Audiences: []string{audience},
		Description: p.Title}
	return out, Validate(&out.Credential)
}

// Validate applies the rules that hold on every server; which issuers may be
// contacted is each server's own affair.
func Validate(c *directory.FederatedIdentityCredential) error {
	return directory.ValidateCredential(c, directory.Relaxed, func(string) error { return nil })
}

// check returns the values with defaults filled in.
func (p *Profile) check(given map[string]string) (values, error) {
	v := values{}
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	sort.Strings(names)
	var errs []error
	for _, name := range names {
		param := p.Parameter(name)
		if param == nil {
			return nil, fmt.Errorf("%s has no parameter --%s", p.Name, name)
		}
		if err := param.check(given[name]); err != nil {
			errs = append(errs, err)
		}
		v[name] = given[name]
	}
	for _, param := range p.Parameters {
		if v[param.Name] == "" && given[param.Name] == "" && param.Default != "" {
			v[param.Name] = param.Default
		}
		if _, ok := given[param.Name]; !ok && param.Required && param.Default == "" {
			errs = append(errs, fmt.Errorf("--%s is required: %s", param.Name, param.said()))
		}
	}
	if len(errs) > 0 {
		return nil, oneLine(errs)
	}
	for i := range p.Rules {
		if err := p.Rules[i].check(given); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// oneLine joins errors for a line of text.
func oneLine(errs []error) error {
	text := make([]string, len(errs))
	for i, err := range errs {
		text[i] = err.Error()
	}
	return errors.New(strings.Join(text, "; "))
}

// said is the description with an example.
func (p *Parameter) said() string {
	if p.Example == "" {
		return p.Description
	}
	return p.Description + ", as in " + p.Example
}

func (r *Rule) check(given map[string]string) error {
	present := func(names []string) (out []string) {
		for _, n := range names {
			if _, ok := given[n]; ok {
				out = append(out, n)
			}
		}
		return out
	}
	if have := present(r.OneOf); len(r.OneOf) > 0 && len(have) != 1 {
		if len(have) > 1 {
			return fmt.Errorf("%s exclude each other: %s", flags(have), r.Why)
		}
		return fmt.Errorf("give one of --%s: %s", strings.Join(r.OneOf, ", --"), r.Why)
	}
	if have := present(r.Together); len(have) > 0 && len(have) < len(r.Together) {
		return fmt.Errorf("%s go together: %s", flags(r.Together), r.Why)
	}
	if have := present(r.NotBoth); len(r.NotBoth) > 0 && len(have) == len(r.NotBoth) {
		return fmt.Errorf("%s exclude each other: %s", flags(have), r.Why)
	}
	return nil
}

// unused fails on a parameter that would have no effect on the credential.
func (p *Profile) unused(given map[string]string, v values) error {
	chosen := []*Alternative{choose(p.Issuers, v), choose(p.Subjects, v), choose(p.Audiences, v)}
	for _, param := range p.Parameters {
		if _, ok := given[param.Name]; !ok {
			continue
		}
		if !slices.ContainsFunc(chosen, func(a *Alternative) bool { return a != nil && a.uses(param.Name) }) {
			return fmt.Errorf("--%s does not go with the other parameters; %s", param.Name, p.describe())
		}
	}
	return nil
}

// describe lists the subjects that the profile knows.
func (p *Profile) describe() string {
	shapes := make([]string, len(p.Subjects))
	for i := range p.Subjects {
		shapes[i] = p.Subjects[i].Template
	}
	return "its subjects are " + strings.Join(shapes, ", ")
}

// choose returns the first alternative that applies.
func choose(list []Alternative, v values) *Alternative {
	for i := range list {
		if list[i].applies(v) {
			return &list[i]
		}
	}
	return nil
}

// first fills the first alternative that applies.
func first(list []Alternative, v values) (string, bool) {
	a := choose(list, v)
	if a == nil {
		return "", false
	}
	return a.parsed.fill(v), true
}

// notes are those whose conditions hold.
func (p *Profile) notes(v values, source string) []Note {
	var out []Note
	for i := range p.Notes {
		if n := &p.Notes[i]; (n.Source == "" || n.Source == source) && n.holds(v) {
			out = append(out, Note{n.Level, n.text.fill(v)})
		}
	}
	return out
}

func (n *NoteRule) holds(v values) bool {
	given := func(name string) bool { return v[name] != "" }
	missing := func(name string) bool { return v[name] == "" }
	if slices.ContainsFunc(n.When, missing) || slices.ContainsFunc(n.Unless, given) {
		return false
	}
	for name, pattern := range n.patterns {
		if !pattern.MatchString(v[name]) {
			return false
		}
	}
	return true
}
