package graph

import (
	"net/http"
	"strings"
	"unicode/utf8"
)

// maxFilter bounds the text of a $filter in bytes. The longest useful one
// compares a subject of 600 characters.
const maxFilter = 4096

// Operators of the filters that are understood.
const (
	opEqual      = "eq"
	opStartsWith = "startswith"
	opAny        = "any"
)

// filter is a parsed $filter: one comparison of one property with one text.
type filter struct {
	Property string
	Op       string // opEqual: the property is Value; opStartsWith; opAny: one element is Value
	Value    string
}

// forms lists, per collection, the filters that are supported.
type forms []struct{ property, op string }

// String names the forms as a caller would write them.
func (f forms) String() string {
	if len(f) == 0 {
		return "no filter"
	}
	texts := make([]string, len(f))
	for i, form := range f {
		switch form.op {
		case opStartsWith:
			texts[i] = "startswith(" + form.property + ",'…')"
		case opAny:
			texts[i] = form.property + "/any(x:x eq '…')"
		default:
			texts[i] = form.property + " eq '…'"
		}
	}
	return strings.Join(texts, ", ")
}

// parseFilter reads a $filter of one of the supported forms:
//
//	property eq 'text'
//	startswith(property,'text')
//	property/any(x:x eq 'text')
//
// A quotation mark in a text is doubled (OData 4.01 URL conventions §5.1.1.14.1).
// Everything else is refused with a text that names what is supported: a
// filter that is only half understood would return the wrong objects.
func parseFilter(text string, supported forms) (filter, error) {
	f, ok := scanFilter(text)
	if ok {
		for _, form := range supported {
			if form.property == f.Property && form.op == f.Op {
				return f, nil
			}
		}
	}
	return filter{}, &Problem{http.StatusBadRequest, CodeUnsupportedQuery,
		"The $filter is not supported. Supported here: " + supported.String() + "."}
}

func scanFilter(text string) (filter, bool) {
	if len(text) > maxFilter || !utf8.ValidString(text) {
		return filter{}, false
	}
	s := &scanner{rest: strings.Trim(text, " ")}
	name := s.name()
	switch {
	case strings.EqualFold(name, opStartsWith) && s.take("("):
		f := filter{Op: opStartsWith}
		s.blanks()
		f.Property = s.name()
		s.blanks()
		ok := s.take(",")
		s.blanks()
		f.Value = s.literal()
		s.blanks()
		return f, ok && s.take(")") && s.done()
	case s.take("/any("):
		f := filter{Property: name, Op: opAny}
		variable := s.name()
		ok := variable != "" && s.take(":")
		s.blanks()
		ok = ok && s.name() == variable
		f.Value = s.equals()
		return f, ok && s.take(")") && s.done()
	}
	f := filter{Property: name, Op: opEqual}
	f.Value = s.equals()
	return f, s.done()
}

// scanner reads a filter from left to right. Once a step fails, the scanner
// stays failed and reads nothing more.
type scanner struct {
	rest   string
	failed bool
}

func (s *scanner) done() bool { return !s.failed && s.rest == "" }

func (s *scanner) take(token string) bool {
	if s.failed || !strings.HasPrefix(s.rest, token) {
		return false
	}
	s.rest = s.rest[len(token):]
	return true
}

func (s *scanner) blanks() (any bool) {
	trimmed := strings.TrimLeft(s.rest, " ")
	any = len(trimmed) < len(s.rest)
	s.rest = trimmed
	return any
}

// name reads ASCII letters and digits.
func (s *scanner) name() string {
	n := 0
	for n < len(s.rest) && (s.rest[n]|0x20 >= 'a' && s.rest[n]|0x20 <= 'z' || n > 0 && s.rest[n] >= '0' && s.rest[n] <= '9') {
		n++
	}
	name := s.rest[:n]
	s.rest = s.rest[n:]
	s.failed = s.failed || name == ""
	return name
}

// equals reads: blanks "eq" blanks literal.
func (s *scanner) equals() string {
	if !s.blanks() || !s.take(opEqual) || !s.blanks() {
		s.failed = true
		return ""
	}
	value := s.literal()
	return value
}

// literal reads a quoted text and undoubles the quotation marks in it.
func (s *scanner) literal() string {
	if !s.take("'") {
		s.failed = true
		return ""
	}
	var value strings.Builder
	for {
		i := strings.IndexByte(s.rest, '\'')
		if i < 0 {
			s.failed = true
			return ""
		}
		value.WriteString(s.rest[:i])
		s.rest = s.rest[i+1:]
		if !s.take("'") {
			return value.String()
		}
		value.WriteByte('\'')
	}
}
