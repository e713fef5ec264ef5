package trust

import (
	"slices"
	"strings"
)

// kind is the type of a node.
type kind int

const (
	null kind = iota + 1
	boolean
	number
	text
	list
	object
)

// String names a kind in messages.
func (k kind) String() string {
	return [...]string{"nothing", "nothing (null)", "true or false", "a number", "a text", "a list", "an object"}[k]
}

// node is one value of a document, whether it was written as YAML or as JSON,
// or is about to be.
type node struct {
	kind  kind
	text  string   // of a scalar, as written but for quotes and escapes
	names []string // of an object's members, in order
	keys  []Position
	items []node // of a list, or the values of an object
	at    Position
}

// Bounds of a document, before anything in it is interpreted.
const (
	MaxBytes = 16 << 20 // some hundred thousand lines; 10,000 credentials are about 3 MiB
	MaxDepth = 16
	MaxNodes = 1 << 20
)

func textNode(s string) node { return node{kind: text, text: s} }

func textsNode(values []string) node {
	n := node{kind: list}
	for _, v := range values {
		n.items = append(n.items, textNode(v))
	}
	return n
}

// put appends a member.
func (n *node) put(name string, value node) {
	n.names = append(n.names, name)
	n.items = append(n.items, value)
}

// value returns the value of a member.
func (n *node) value(name string) (*node, bool) {
	i := slices.Index(n.names, name)
	if i < 0 {
		return nil, false
	}
	return &n.items[i], true
}

// equal compares values; where they stand does not matter.
func (n *node) equal(o *node) bool {
	return n.kind == o.kind && n.text == o.text && slices.Equal(n.names, o.names) &&
		slices.EqualFunc(n.items, o.items, func(a, b node) bool { return a.equal(&b) })
}

// shorten keeps what a document holds from filling a message.
func shorten(s string) string {
	const most = 80
	if r := []rune(strings.ToValidUTF8(s, "·")); len(r) > most {
		return string(r[:most]) + "…"
	}
	return strings.ToValidUTF8(s, "·")
}

// plainJSON spells scalars as JSON does: YAML has True, too.
func (n *node) plainJSON() {
	if n.kind == boolean {
		n.text = strings.ToLower(n.text)
	}
	for i := range n.items {
		n.items[i].plainJSON()
	}
}
