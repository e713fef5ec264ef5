package profile

import (
	"fmt"
	"regexp"
	"strings"
)

// template is text with {parameter} and {parameter.part} in it.
type template struct {
	pieces  []piece
	reverse *pattern // the whole text, a group for each parameter; nil in notes
}

type piece struct {
	literal string     // the text itself
	param   *Parameter // or a parameter
	part    string     // or one of its parts
}

var placeholder = regexp.MustCompile(`\{([a-z][a-z0-9-]*)(?:\.([a-z]+))?\}`)

// parseTemplate also builds the expression that reads it backwards.
func (p *Profile) parseTemplate(text string) (template, error) {
	var t template
	var reverse strings.Builder
	reverse.WriteString(`\A`)
	end := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		if m[0] > end {
			t.pieces = append(t.pieces, piece{literal: text[end:m[0]]})
			reverse.WriteString(regexp.QuoteMeta(text[end:m[0]]))
		}
		end = m[1]
		pc := piece{param: p.Parameter(text[m[2]:m[3]])}
		if m[4] >= 0 {
			pc.part = text[m[4]:m[5]]
		}
		pattern := pc.pattern()
		if pattern == "" {
			return t, fmt.Errorf("template %q: %s is no parameter with a value", text, text[m[0]:m[1]])
		}
		t.pieces = append(t.pieces, pc)
		reverse.WriteString("(" + pattern + ")")
	}
	if end < len(text) {
		t.pieces = append(t.pieces, piece{literal: text[end:]})
		reverse.WriteString(regexp.QuoteMeta(text[end:]))
	}
	reverse.WriteString(`\z`)
	var err error
	if t.reverse, err = newPattern(reverse.String()); err != nil {
		return t, err
	}
	if n := t.parameters(); t.reverse.groups != n {
		return t, fmt.Errorf("template %q: its patterns must not hold groups but (?:…)", text)
	}
	return t, nil
}

func (t *template) parameters() (n int) {
	for _, pc := range t.pieces {
		if pc.param != nil {
			n++
		}
	}
	return n
}

// pattern is what stands in a template's place; empty when nothing can.
func (pc *piece) pattern() string {
	if pc.param == nil || pc.param.Kind == kindFlag {
		return ""
	}
	if pc.part == "" {
		return pc.param.pattern()
	}
	for _, part := range pc.param.Parts {
		if part.Name == pc.part {
			return part.Pattern
		}
	}
	return ""
}

// applies reports whether all parameters of the template are given.
func (a *Alternative) applies(v values) bool {
	for _, pc := range a.parsed.pieces {
		if pc.param != nil && v[pc.param.Name] == "" {
			return false
		}
	}
	for _, name := range a.When {
		if v[name] == "" {
			return false
		}
	}
	return true
}

// uses reports whether the alternative depends on a parameter.
func (a *Alternative) uses(name string) bool {
	for _, pc := range a.parsed.pieces {
		if pc.param != nil && pc.param.Name == name {
			return true
		}
	}
	for _, n := range a.When {
		if n == name {
			return true
		}
	}
	return false
}

// values are those of the parameters, by name; "true" for a flag.
type values map[string]string

// fill writes the values into the template. All of them must be given.
func (t *template) fill(v values) string {
	var out strings.Builder
	for _, pc := range t.pieces {
		switch {
		case pc.param == nil:
			out.WriteString(pc.literal)
		case pc.part != "":
			out.WriteString(pc.param.part(v[pc.param.Name], pc.part))
		default:
			out.WriteString(v[pc.param.Name])
		}
	}
	return out.String()
}

// read is the reverse of fill: it adds what the text holds to v. It fails when
// the text has another shape or contradicts what v says already.
func (t *template) read(text string, v values) bool {
	m := t.reverse.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	parts := map[*Parameter]values{}
	group := 0
	for _, pc := range t.pieces {
		if pc.param == nil {
			continue
		}
		group++
		found := m[group]
		if pc.part != "" {
			if parts[pc.param] == nil {
				parts[pc.param] = values{}
			}
			parts[pc.param][pc.part] = found
			continue
		}
		if !v.add(pc.param.Name, found) {
			return false
		}
	}
	for param, found := range parts {
		if !v.add(param.Name, param.join(found)) {
			return false
		}
	}
	return true
}

// add fails when the parameter has another value already.
func (v values) add(name, value string) bool {
	if old := v[name]; old != "" && old != value {
		return false
	}
	v[name] = value
	return true
}

// join makes a value of its parts.
func (p *Parameter) join(parts values) string {
	pieces := make([]string, len(p.Parts))
	for i, part := range p.Parts {
		pieces[i] = parts[part.Name]
	}
	return strings.Join(pieces, "/")
}
