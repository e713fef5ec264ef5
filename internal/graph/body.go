package graph

import (
	"net/http"
	"strconv"

	"cambio/internal/management"
	"cambio/internal/strictjson"
)

// body is the object of a POST or PATCH. Its set* methods copy a property into
// the noun that is being changed: an absent property leaves it alone, null
// resets it, anything else must have the property's type. So one description
// of an object serves creation, update and upsert. The first error is kept.
type body struct {
	strictjson.Object
	prefix string // names of nested properties in errors: "api."
	err    error
}

func readBody(w http.ResponseWriter, r *http.Request) (*body, error) {
	raw, err := management.ReadJSONBody(w, r)
	if err != nil {
		return nil, err
	}
	return parseBody(raw, "")
}

func parseBody(raw []byte, prefix string) (*body, error) {
	parsed, err := strictjson.ParseObject(raw, strictjson.Document)
	if err != nil {
		return nil, err
	}
	return &body{Object: parsed, prefix: prefix}, nil
}

// value returns a property's JSON; null is reported apart.
func (b *body) value(name string) (raw []byte, present, null bool) {
	raw, present = b.Raw(name)
	if b.err != nil {
		return nil, false, false
	}
	return raw, present, present && string(raw) == "null"
}

func (b *body) fail(name, want string) {
	if b.err == nil {
		b.err = badRequest("The property '" + b.prefix + name + "' must be " + want + ".")
	}
}

// given reports whether a property is there and not null.
func (b *body) given(name string) bool {
	_, present, null := b.value(name)
	return present && !null
}

// text returns a property that must be a string; null and absent are "".
func (b *body) text(name string) (value string) {
	b.setString(name, &value)
	return value
}

func (b *body) setString(name string, to *string) {
	_, present, null := b.value(name)
	switch {
	case null:
		*to = ""
	case present:
		value, _, err := b.String(name)
		if err != nil {
			b.fail(name, "a string")
			return
		}
		*to = value
	}
}

func (b *body) setStrings(name string, to *[]string) {
	raw, present, null := b.value(name)
	switch {
	case null:
		*to = nil
	case present:
		values, _, err := b.Strings(name)
		if err != nil || raw[0] != '[' {
			b.fail(name, "an array of strings")
			return
		}
		*to = values
	}
}

// setBool sets a boolean; null gives otherwise.
func (b *body) setBool(name string, to *bool, otherwise bool) {
	raw, present, null := b.value(name)
	switch {
	case null:
		*to = otherwise
	case present && string(raw) == "true":
		*to = true
	case present && string(raw) == "false":
		*to = false
	case present:
		b.fail(name, "true or false")
	}
}

// setInt sets a small whole number, written without fraction or exponent.
func (b *body) setInt(name string, to *int) {
	raw, present, null := b.value(name)
	switch {
	case null:
		*to = 0
	case present:
		n, err := strconv.ParseInt(string(raw), 10, 32)
		if err != nil {
			b.fail(name, "a whole number")
			return
		}
		*to = int(n)
	}
}

// nested returns a property that must be an object; nil when absent or null.
func (b *body) nested(name string) *body {
	raw, present, null := b.value(name)
	if !present || null {
		return nil
	}
	inner, err := parseBody(raw, b.prefix+name+".")
	if err != nil {
		b.fail(name, "an object")
		return nil
	}
	return inner
}

// adopt takes over the error of a nested body.
func (b *body) adopt(inner *body) {
	if b.err == nil {
		b.err = inner.err
	}
}

// unsupported refuses a property that holds something and that cannot be
// kept: ignoring it would look like success. Empty arrays, which clients send
// by habit, are nothing.
func (b *body) unsupported(name, why string) {
	raw, present, null := b.value(name)
	if !present || null || string(raw) == "[]" || string(raw) == "{}" {
		return
	}
	b.err = badRequest("The property '" + b.prefix + name + "' cannot be set: " + why)
}

// readOnly refuses a property whose value is not what the object has already.
func (b *body) readOnly(name, current string) {
	if value := b.text(name); b.given(name) && value != current && b.err == nil {
		b.err = badRequest("The property '" + b.prefix + name + "' is read-only; leave it out or send its current value.")
	}
}
