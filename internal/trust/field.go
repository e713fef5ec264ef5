package trust

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"cambio/internal/directory"
)

// field is one property of an object of the document: how it is read, written
// and described. Decoder, writer and JSON Schema are made of the same table,
// so they cannot disagree.
type field struct {
	name     string
	doc      string
	required bool
	read     func(d *decoder, n *node, path string)
	write    func() (n node, present bool)
	schema   func() node
}

// decoder reads nodes into what fields point to. Mistakes are collected.
type decoder struct{ problems Problems }

func (d *decoder) fail(n *node, path, format string, args ...any) {
	d.problems.add(n.at, path, format, args...)
}

// want checks the type of a value.
func (d *decoder) want(n *node, path string, k kind) bool {
	if n.kind == k {
		return true
	}
	hint := ""
	switch {
	case n.kind == null:
		hint = "; leave the key out, or write the value"
	case k == text && (n.kind == number || n.kind == boolean):
		hint = `; put it in quotes: "` + shorten(n.text) + `"`
	}
	d.fail(n, path, "must be %s, but is %s%s", k, n.kind, hint)
	return false
}

// object reads the members of an object.
func (d *decoder) object(n *node, path string, fields []field) {
	if !d.want(n, path, object) {
		return
	}
	for i, name := range n.names {
		at := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if at < 0 {
			known := make([]string, len(fields))
			for j := range fields {
				known[j] = fields[j].name
			}
			d.problems.add(n.keys[i], join(path, shorten(name)), "unknown key; known here: %s", strings.Join(known, ", "))
			continue
		}
		fields[at].read(d, &n.items[i], join(path, name))
	}
	for i := range fields {
		if _, there := n.value(fields[i].name); fields[i].required && !there {
			d.fail(n, path, "the key %s is required", fields[i].name)
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// writeObject writes what is present, in the order of the table.
func writeObject(fields []field) node {
	n := node{kind: object}
	for i := range fields {
		if value, present := fields[i].write(); present {
			n.put(fields[i].name, value)
		}
	}
	return n
}

// schemaObject describes an object.
func schemaObject(fields []field) node {
	properties, required := node{kind: object}, node{kind: list}
	for i := range fields {
		s := fields[i].schema()
		s.put("description", textNode(fields[i].doc))
		properties.put(fields[i].name, s)
		if fields[i].required {
			required.items = append(required.items, textNode(fields[i].name))
		}
	}
	n := schemaOf("object")
	n.put("additionalProperties", node{kind: boolean, text: "false"})
	n.put("properties", properties)
	if len(required.items) > 0 {
		n.put("required", required)
	}
	return n
}

func schemaOf(types ...string) node {
	n := node{kind: object}
	if len(types) == 1 {
		n.put("type", textNode(types[0]))
	} else {
		n.put("type", textsNode(types))
	}
	return n
}

func integer(i int) node { return node{kind: number, text: strconv.Itoa(i)} }

// rule bounds a text, in characters; values, when there are any, are all that
// it may be. A text that may be null is "" then.
type rule struct {
	min, max int
	values   []string
	guid     bool
	nullable bool
}

const guidPattern = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

func (r rule) schema() node {
	n := schemaOf("string")
	if r.nullable {
		n = schemaOf("string", "null")
	}
	if r.min > 0 {
		n.put("minLength", integer(r.min))
	}
	if r.max > 0 {
		n.put("maxLength", integer(r.max))
	}
	if len(r.values) > 0 {
		values := textsNode(r.values)
		if r.nullable {
			values.items = append(values.items, node{kind: null})
		}
		n.put("enum", values)
	}
	if r.guid {
		n.put("pattern", textNode(guidPattern))
	}
	return n
}

// read returns a text that keeps the rule.
func (r rule) read(d *decoder, n *node, path string) (string, bool) {
	if n.kind == null && r.nullable {
		return "", true
	}
	if !d.want(n, path, text) {
		return "", false
	}
	length := utf8.RuneCountInString(n.text)
	switch {
	case length < r.min:
		d.fail(n, path, "must have at least %d characters", r.min)
	case r.max > 0 && length > r.max:
		d.fail(n, path, "may have at most %d characters; this one has %d", r.max, length)
	case len(r.values) > 0 && !slices.Contains(r.values, n.text):
		d.fail(n, path, "must be one of %s, but is %q", strings.Join(r.values, ", "), shorten(n.text))
	case r.guid && !directory.IsGUID(n.text):
		d.fail(n, path, "must be a GUID, but is %q", shorten(n.text))
	default:
		return n.text, true
	}
	return "", false
}

// write is null for an unset text that may be null.
func (r rule) write(s string) node {
	if s == "" && r.nullable {
		return node{kind: null}
	}
	return textNode(s)
}

// plain is a text that is absent when empty.
func plain(name string, to *string, r rule, doc string) field {
	return field{name: name, doc: doc, schema: r.schema,
		read: func(d *decoder, n *node, path string) {
			if s, ok := r.read(d, n, path); ok {
				*to = s
				if r.guid {
					*to = strings.ToLower(s)
				}
			}
		},
		write: func() (node, bool) { return r.write(*to), *to != "" },
	}
}

// optional is a text that may be absent, which is not the same as empty.
func optional(name string, to **string, r rule, doc string) field {
	return field{name: name, doc: doc, schema: r.schema,
		read: func(d *decoder, n *node, path string) {
			if s, ok := r.read(d, n, path); ok {
				*to = &s
			}
		},
		write: func() (node, bool) {
			if *to == nil {
				return node{}, false
			}
			return r.write(**to), true
		},
	}
}

func (f field) must() field {
	f.required = true
	return f
}

// flag is a boolean that may be absent.
func flag(name string, to **bool, doc string) field {
	return field{name: name, doc: doc, schema: func() node { return schemaOf("boolean") },
		read: func(d *decoder, n *node, path string) {
			if d.want(n, path, boolean) {
				value := strings.EqualFold(n.text, "true")
				*to = &value
			}
		},
		write: func() (node, bool) {
			if *to == nil {
				return node{}, false
			}
			return node{kind: boolean, text: strconv.FormatBool(**to)}, true
		},
	}
}

// choice is a whole number out of a few, or null for 0.
func choice(name string, to **int, values []int, nullable bool, doc string) field {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = strconv.Itoa(v)
	}
	return field{name: name, doc: doc,
		schema: func() node {
			allowed := node{kind: list}
			for _, v := range values {
				allowed.items = append(allowed.items, integer(v))
			}
			if nullable {
				allowed.items = append(allowed.items, node{kind: null})
			}
			n := node{kind: object}
			n.put("enum", allowed)
			return n
		},
		read: func(d *decoder, n *node, path string) {
			value := 0
			if at := slices.Index(texts, n.text); n.kind == number && at >= 0 {
				value = values[at]
			} else if n.kind != null || !nullable {
				d.fail(n, path, "must be %s", strings.Join(texts, " or "))
				return
			}
			*to = &value
		},
		write: func() (node, bool) {
			switch {
			case *to == nil:
				return node{}, false
			case **to == 0 && nullable:
				return node{kind: null}, true
			}
			return integer(**to), true
		},
	}
}

// texts is a list of texts; nil is absent, which is not the same as empty.
func texts(name string, to *[]string, most int, r rule, doc string) field {
	return field{name: name, doc: doc,
		schema: func() node {
			n := schemaOf("array")
			n.put("items", r.schema())
			n.put("maxItems", integer(most))
			return n
		},
		read: func(d *decoder, n *node, path string) {
			if !d.want(n, path, list) || !d.fits(n, path, most) {
				return
			}
			*to = make([]string, 0, len(n.items))
			for i := range n.items {
				if s, ok := r.read(d, &n.items[i], element(path, i)); ok {
					*to = append(*to, s)
				}
			}
		},
		write: func() (node, bool) { return textsNode(*to), *to != nil },
	}
}

func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func (d *decoder) fits(n *node, path string, most int) bool {
	if most > 0 && len(n.items) > most {
		d.fail(n, path, "may hold at most %d entries; this one holds %d", most, len(n.items))
		return false
	}
	return true
}

// table is a map of texts; nil is absent.
func table(name string, to *map[string]string, most int, key, value rule, doc string) field {
	return field{name: name, doc: doc,
		schema: func() node {
			n := schemaOf("object")
			names := node{kind: object}
			names.put("minLength", integer(key.min))
			names.put("maxLength", integer(key.max))
			n.put("propertyNames", names)
			n.put("additionalProperties", value.schema())
			n.put("maxProperties", integer(most))
			return n
		},
		read: func(d *decoder, n *node, path string) {
			if !d.want(n, path, object) || !d.fits(n, path, most) {
				return
			}
			*to = make(map[string]string, len(n.items))
			for i, name := range n.names {
				k := node{kind: text, text: name, at: n.keys[i]}
				if _, ok := key.read(d, &k, path); !ok {
					continue
				}
				if s, ok := value.read(d, &n.items[i], join(path, shorten(name))); ok {
					(*to)[name] = s
				}
			}
		},
		write: func() (node, bool) {
			n := node{kind: object}
			names := make([]string, 0, len(*to))
			for k := range *to {
				names = append(names, k)
			}
			slices.Sort(names)
			for _, k := range names {
				n.put(k, textNode((*to)[k]))
			}
			return n, *to != nil
		},
	}
}

// one is an object that may be absent.
func one[T any](name string, to **T, fields func(*T) []field, doc string) field {
	return field{name: name, doc: doc,
		schema: func() node { return schemaObject(fields(new(T))) },
		read: func(d *decoder, n *node, path string) {
			*to = new(T)
			d.object(n, path, fields(*to))
		},
		write: func() (node, bool) {
			if *to == nil {
				return node{}, false
			}
			return writeObject(fields(*to)), true
		},
	}
}

// place is where an object stands in a document: its position, and its path
// for messages.
type place struct {
	at   Position
	path string
}

func (p *place) stand(at Position, path string) { p.at, p.path = at, path }

// Stands says where the object is written; the zero values if it was not read
// from a document.
func (p *place) Stands() (at Position, path string) { return p.at, p.path }

// many is a list of objects; nil is absent.
func many[T any](name string, to *[]T, most int, fields func(*T) []field, stands func(*T) *place, doc string) field {
	return field{name: name, doc: doc,
		schema: func() node {
			n := schemaOf("array")
			n.put("items", schemaObject(fields(new(T))))
			if most > 0 {
				n.put("maxItems", integer(most))
			}
			return n
		},
		read: func(d *decoder, n *node, path string) {
			if !d.want(n, path, list) || !d.fits(n, path, most) {
				return
			}
			*to = make([]T, len(n.items))
			for i := range n.items {
				item := &(*to)[i]
				stands(item).stand(n.items[i].at, element(path, i))
				d.object(&n.items[i], element(path, i), fields(item))
			}
		},
		write: func() (node, bool) {
			n := node{kind: list}
			for i := range *to {
				n.items = append(n.items, writeObject(fields(&(*to)[i])))
			}
			return n, *to != nil
		},
	}
}
