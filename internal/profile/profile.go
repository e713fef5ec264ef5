package profile

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Profile is one platform. Its alternatives (issuers, subjects, audiences,
// names) are in order: the first whose parameters are all given is meant.
type Profile struct {
	Name       string
	Title      string   // the platform's own name
	Summary    string   // who the workload is, in one line
	Examples   []string // parameters as flags
	Parameters []Parameter

	Rules     []Rule
	Issuers   []Alternative
	Subjects  []Alternative
	Names     []Alternative // of the credential; made fit for a name afterwards
	Audiences []Alternative
	Notes     []NoteRule

	// KnownIssuers match the issuers that belong to this platform whatever the
	// subject is.
	KnownIssuers []string `yaml:"known_issuers"`
	// SharedIssuers are those that all customers of the platform share, so that
	// only the subject tells them apart.
	SharedIssuers []string `yaml:"shared_issuers"`
	// TenantClaims are the claims that tell customers of a shared issuer apart.
	TenantClaims []string `yaml:"tenant_claims"`
	// OwnerBoundaries match, by claim, beginnings that settle whose a token is:
	// up to the separator after the owner's name.
	OwnerBoundaries map[string]string `yaml:"owner_boundaries"`
	// ProjectBoundaries and ProjectClaims do so for one repository or project of
	// the owner.
	ProjectBoundaries map[string]string `yaml:"project_boundaries"`
	ProjectClaims     []string          `yaml:"project_claims"`
	// NameOnly matches the beginning of subjects that hold names, where
	// StableClaims hold immutable ids.
	NameOnly     string   `yaml:"name_only"`
	StableClaims []string `yaml:"stable_claims"`
	// SharedAudiences match audiences that tokens for other services have.
	SharedAudiences []string `yaml:"shared_audiences"`

	known, shared []*pattern // KnownIssuers, SharedAudiences
	identifying   []string   // IdentifyingClaims
}

// Parameter is what a person says to describe a workload, in the platform's
// own words.
type Parameter struct {
	Name        string // as a flag: lower case, with hyphens
	Description string
	Example     string
	Default     string
	Required    bool
	Kind        string    // "" is text; ref, host, url, or flag (present or not)
	Pattern     string    // of the whole value of a text
	Parts       []Part    // of a text that has parts with slashes in between
	Hint        string    // what a right value looks like
	Refuse      []Refusal // mistakes that deserve an explanation of their own
	Claim       string    // the claim that should say the same as the subject
	FromToken   bool      `yaml:"from_token"` // taken from the claim, since no template holds it

	whole *pattern
}

// Part is a piece of a parameter, written {parameter.part} in templates.
type Part struct{ Name, Pattern string }

// Refusal explains a mistake.
type Refusal struct {
	Pattern string // found anywhere in the value
	Why     string

	found *pattern
}

// Rule says which parameters go together. Exactly one of the first three is
// set.
type Rule struct {
	OneOf    []string `yaml:"one_of"`
	Together []string
	NotBoth  []string `yaml:"not_both"`
	Why      string
}

// Alternative is a template that applies when all of its parameters, and those
// of When, are given.
type Alternative struct {
	Template string
	When     []string

	parsed template
}

// NoteRule is a note with the conditions under which it is made.
type NoteRule struct {
	When, Unless []string          // parameters that are given, that are not
	Matches      map[string]string // parameter → pattern of the whole value
	Source       string            // what the proposal is made of: parameters or token; empty for either
	Level        Level
	Text         string

	text     template
	patterns map[string]*pattern
}

// What a proposal is made of.
const (
	fromParameters = "parameters"
	fromToken      = "token"
)

// Level is how much a note matters.
type Level string

// The levels.
const (
	Info    Level = "info"
	Warning Level = "warning"
	Block   Level = "block" // not to be created without saying so explicitly
)

// Note is something that whoever creates a credential should know.
type Note struct {
	Level Level
	Text  string
}

//go:embed data/*.yaml
var data embed.FS

// order is that of help texts; recognition tries them in this order too, and
// takes "other" last.
var order = []string{"github", "kubernetes", "gitlab", "google", "aws", "spiffe", "azure-pipelines", "terraform-cloud", "buildkite", "circleci", "other"}

// all panics on data that does not load, as regexp.MustCompile does: it is
// part of the program, and a test loads it.
var all = sync.OnceValue(func() []*Profile {
	profiles := make([]*Profile, 0, len(order))
	for _, name := range order {
		raw, err := data.ReadFile("data/" + name + ".yaml")
		if err != nil {
			panic(err)
		}
		p, err := load(raw)
		if err != nil {
			panic(fmt.Errorf("profile %s: %w", name, err))
		}
		profiles = append(profiles, p)
	}
	return profiles
})

// All returns the profiles, which must not be changed.
func All() []*Profile { return all() }

// Find returns the profile of this name, nil if there is none.
func Find(name string) *Profile {
	for _, p := range all() {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// load reads a profile strictly: what it does not understand is an error.
func load(raw []byte) (*Profile, error) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	p := new(Profile)
	if err := dec.Decode(p); err != nil {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	if p.Name == "" || p.Title == "" || p.Summary == "" || len(p.Issuers) == 0 || len(p.Subjects) == 0 || len(p.Names) == 0 || len(p.Audiences) == 0 {
		return nil, errors.New("name, title, summary, issuers, subjects, names and audiences are required")
	}
	return p, p.compile()
}

func (p *Profile) compile() error {
	for i := range p.Parameters {
		if err := p.Parameters[i].compile(); err != nil {
			return fmt.Errorf("parameter %s: %w", p.Parameters[i].Name, err)
		}
	}
	for _, list := range [][]Alternative{p.Issuers, p.Subjects, p.Names, p.Audiences} {
		for i := range list {
			a := &list[i]
			var err error
			if a.parsed, err = p.parseTemplate(a.Template); err != nil {
				return err
			}
			if err := p.declared(a.When...); err != nil {
				return err
			}
		}
	}
	for _, r := range p.Rules {
		if err := p.declared(slices.Concat(r.OneOf, r.Together, r.NotBoth)...); err != nil {
			return err
		}
	}
	for i := range p.Notes {
		if err := p.compileNote(&p.Notes[i]); err != nil {
			return err
		}
	}
	p.identifying = slices.Clone(p.TenantClaims)
	for i := range p.Parameters {
		if claim := p.Parameters[i].Claim; claim != "" && !slices.Contains(p.identifying, claim) {
			p.identifying = append(p.identifying, claim)
		}
	}
	var err, err2 error
	p.known, err = compileAll(p.KnownIssuers)
	p.shared, err2 = compileAll(p.SharedAudiences)
	_, err3 := compileAll(slices.Concat(slices.Collect(maps.Values(p.OwnerBoundaries)), slices.Collect(maps.Values(p.ProjectBoundaries)), []string{p.NameOnly}))
	return errors.Join(err, err2, err3)
}

func (p *Profile) compileNote(n *NoteRule) error {
	var err error
	if n.text, err = p.parseTemplate(n.Text); err != nil {
		return err
	}
	if n.Level != Info && n.Level != Warning {
		return fmt.Errorf("level %q of a note", n.Level)
	}
	if n.Source != "" && n.Source != fromParameters && n.Source != fromToken {
		return fmt.Errorf("source %q of a note", n.Source)
	}
	n.patterns = make(map[string]*pattern, len(n.Matches))
	for name, pattern := range n.Matches {
		if err := p.declared(name); err != nil {
			return err
		}
		if n.patterns[name], err = whole(pattern); err != nil {
			return err
		}
	}
	return p.declared(append(n.When, n.Unless...)...)
}

// declared fails on names that are no parameters.
func (p *Profile) declared(names ...string) error {
	for _, name := range names {
		if p.Parameter(name) == nil {
			return fmt.Errorf("there is no parameter %q", name)
		}
	}
	return nil
}

// Parameter returns the parameter of this name, nil if there is none.
func (p *Profile) Parameter(name string) *Parameter {
	for i := range p.Parameters {
		if p.Parameters[i].Name == name {
			return &p.Parameters[i]
		}
	}
	return nil
}

// whole compiles a pattern that must match a whole value.
func whole(expression string) (*pattern, error) {
	return newPattern(`\A(?:` + expression + `)\z`)
}

func compileAll(patterns []string) ([]*pattern, error) {
	var out []*pattern
	for _, pattern := range patterns {
		r, err := whole(pattern)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// matchesAny reports whether a whole text matches one of the patterns.
func matchesAny(patterns []*pattern, text string) bool {
	return slices.ContainsFunc(patterns, func(r *pattern) bool { return r.MatchString(text) })
}

// flags writes parameters as the flags of a command line.
func flags(names []string) string {
	if len(names) == 1 {
		return "--" + names[0]
	}
	last := len(names) - 1
	return "--" + strings.Join(names[:last], ", --") + " and --" + names[last]
}
