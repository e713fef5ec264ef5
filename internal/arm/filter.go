package arm

import (
	"slices"
	"strings"
)

// condition is one comparison of a filter: a property equals a text.
type condition struct {
	name  string // in lower case
	value string
}

// filter is a $filter of ARM's lists: all its conditions hold.
type filter []condition

// maxConditions bounds what one request makes the server compare.
const maxConditions = 10

// filter reads $filter, which may compare the named properties, and tagName
// with or without tagValue.
func (q *request) filter(names ...string) (filter, error) {
	text := q.query.Get("$filter")
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	names = append(names, "tagName", "tagValue")
	f, ok := parseFilter(text)
	for _, c := range f {
		ok = ok && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, c.name) })
	}
	if _, named := f.value("tagname"); !ok || !named && f.has("tagvalue") {
		return nil, badRequest("The $filter is not supported here. Compare one or more of " + strings.Join(names, ", ") +
			", as in: " + names[0] + " eq 'text' and tagName eq 'text'.")
	}
	return f, nil
}

// parseFilter reads comparisons of the form NAME eq 'TEXT' joined by and. A
// quote in the text is doubled (OData 4.01 URL conventions §5.1.1.14.1).
func parseFilter(text string) (f filter, ok bool) {
	for len(f) < maxConditions {
		var c condition
		if c, text, ok = parseCondition(text); !ok {
			return nil, false
		}
		f = append(f, c)
		if strings.TrimSpace(text) == "" {
			return f, true
		}
		if text, ok = cutWord(text, "and"); !ok {
			return nil, false
		}
	}
	return nil, false
}

func parseCondition(text string) (c condition, rest string, ok bool) {
	name, rest, _ := strings.Cut(strings.TrimLeft(text, " "), " ")
	if rest, ok = cutWord(" "+rest, "eq"); !ok {
		return c, "", false
	}
	if rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " "), "'"); !ok {
		return c, "", false
	}
	var value strings.Builder
	for {
		part, after, closed := strings.Cut(rest, "'")
		if !closed {
			return c, "", false
		}
		value.WriteString(part)
		doubled := strings.HasPrefix(after, "'")
		if !doubled {
			return condition{strings.ToLower(name), value.String()}, after, true
		}
		value.WriteByte('\'')
		rest = after[1:]
	}
}

// cutWord takes a word that stands between blanks, in any case, off the front.
func cutWord(text, word string) (rest string, ok bool) {
	trimmed := strings.TrimLeft(text, " ")
	if len(trimmed) == len(text) || len(trimmed) <= len(word) || !strings.EqualFold(trimmed[:len(word)], word) || trimmed[len(word)] != ' ' {
		return "", false
	}
	return trimmed[len(word):], true
}

func (f filter) value(name string) (string, bool) {
	i := slices.IndexFunc(f, func(c condition) bool { return c.name == name })
	if i < 0 {
		return "", false
	}
	return f[i].value, true
}

func (f filter) has(name string) bool {
	_, ok := f.value(name)
	return ok
}

// matches tells whether an object with these properties, by lower-case name,
// and tags passes. Texts are compared without regard to case, as ARM does;
// the values of tags are compared exactly.
func (f filter) matches(values, tags map[string]string) bool {
	tag, _ := f.value("tagname")
	for _, c := range f {
		var ok bool
		switch c.name {
		case "tagname":
			ok = containsName(tags, func(n string) bool { return strings.EqualFold(n, c.value) })
		case "tagvalue":
			ok = containsName(tags, func(n string) bool { return strings.EqualFold(n, tag) && tags[n] == c.value })
		case "location":
			ok = sameLocation(values["location"], c.value)
		default:
			ok = strings.EqualFold(values[c.name], c.value)
		}
		if !ok {
			return false
		}
	}
	return true
}

func containsName(tags map[string]string, wanted func(name string) bool) bool {
	for name := range tags {
		if wanted(name) {
			return true
		}
	}
	return false
}
