package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// parseYAML reads one YAML document. Anchors, aliases, merge keys and tags are
// refused: a document of trust says what it means where it stands, and cannot
// grow while it is read.
func parseYAML(file string, raw []byte) (node, error) {
	at := Position{File: file}
	if len(raw) > MaxBytes {
		return node{}, Problems{{at, "", "the document is larger than 16 MiB"}}
	}
	if !utf8.Valid(raw) {
		return node{}, Problems{{at, "", "the document is not UTF-8"}}
	}
	if i := bytes.IndexFunc(raw, otherBreak); i >= 0 {
		before := raw[:i]
		at.Line, at.Column = bytes.Count(before, []byte("\n"))+1, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])+1
		r, _ := utf8.DecodeRune(raw[i:])
		return node{}, Problems{{at, "", fmt.Sprintf("the character U+%04X ends a line for some readers and not for others; write it in double quotes as \\u%04X", r, r)}}
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	var first, second yaml.Node
	switch err := d.Decode(&first); {
	case errors.Is(err, io.EOF) || err == nil && len(first.Content) != 1:
		return node{}, Problems{{at, "", "the document is empty"}}
	case err != nil:
		return node{}, Problems{syntaxProblem(file, err)}
	}
	if err := d.Decode(&second); err == nil {
		return node{}, Problems{{Position{file, second.Line, second.Column}, "", "a second document begins here; a file holds exactly one"}}
	} else if !errors.Is(err, io.EOF) {
		return node{}, Problems{syntaxProblem(file, err)}
	}
	c := yamlReader{file: file}
	n := c.node(first.Content[0], 0)
	return n, c.problems.err()
}

// otherBreak reports a line break of YAML 1.1 that is none of YAML 1.2 (§5.4),
// nor of an editor: after one, a comment of the reviewer's would be content of
// the library's.
func otherBreak(r rune) bool { return r == '\u0085' || r == '\u2028' || r == '\u2029' }

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// syntaxProblem keeps the library's words, which name the line.
func syntaxProblem(file string, err error) Problem {
	words := err.Error()
	m := yamlLine.FindStringSubmatch(words)
	line, _ := strconv.Atoi(m[1]) // 0 when it is not told
	return Problem{Position{File: file, Line: line}, "", "not YAML: " + strings.TrimPrefix(words, m[0])}
}

// yamlReader turns the library's nodes into ours.
type yamlReader struct {
	file     string
	count    int
	problems Problems
}

func (c *yamlReader) fail(y *yaml.Node, format string, args ...any) node {
	c.problems.add(Position{c.file, y.Line, y.Column}, "", format, args...)
	return node{kind: null}
}

func (c *yamlReader) node(y *yaml.Node, depth int) node {
	c.count++
	switch {
	case c.count > MaxNodes:
		if c.count == MaxNodes+1 {
			c.fail(y, "the document holds more than %d values", MaxNodes)
		}
		return node{kind: null}
	case depth > MaxDepth:
		return c.fail(y, "nested deeper than %d levels", MaxDepth)
	case y.Kind == yaml.AliasNode || y.Anchor != "":
		return c.fail(y, "anchors and aliases are not taken; write the value out")
	case y.Style&yaml.TaggedStyle != 0:
		return c.fail(y, "the tag %s is not taken; write the value alone", shorten(y.Tag))
	}
	n := node{at: Position{c.file, y.Line, y.Column}}
	switch y.Kind {
	case yaml.MappingNode:
		c.mapping(y, &n, depth)
	case yaml.SequenceNode:
		n.kind = list
		for _, item := range y.Content {
			n.items = append(n.items, c.node(item, depth+1))
		}
	default:
		n.kind, n.text = scalarKind(y), y.Value
	}
	return n
}

func (c *yamlReader) mapping(y *yaml.Node, n *node, depth int) {
	n.kind = object
	seen := make(map[string]int, len(y.Content)/2)
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.ShortTag() == "!!merge" {
			c.fail(key, "a key must be a plain name; anchors, aliases and merge keys are not taken")
			continue
		}
		if line := seen[key.Value]; line > 0 {
			c.fail(key, "the key %q stands in line %d already", shorten(key.Value), line)
			continue
		}
		seen[key.Value] = key.Line
		n.keys = append(n.keys, Position{c.file, key.Line, key.Column})
		n.put(key.Value, c.node(value, depth+1))
	}
}

// scalarKind is the type that YAML 1.2's core schema gives a scalar; there,
// a date is a text.
func scalarKind(y *yaml.Node) kind {
	switch y.ShortTag() {
	case "!!null":
		return null
	case "!!bool":
		return boolean
	case "!!int", "!!float":
		return number
	}
	return text
}

// writeYAML writes a document in block style, each text quoted where YAML
// would read it as something else. Where an assignment or an owner is a text
// that remarks explains, a comment says so.
func writeYAML(n *node, remarks map[string]string) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	y := yamlOf(n)
	remark(y, remarks)
	if err := e.Encode(y); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

func remark(y *yaml.Node, remarks map[string]string) {
	for i, child := range y.Content {
		remark(child, remarks)
		if i%2 == 0 || y.Kind != yaml.MappingNode {
			continue
		}
		switch y.Content[i-1].Value {
		case "resource":
			child.LineComment = comment(remarks[child.Value])
		case "owners":
			for _, owner := range child.Content {
				owner.LineComment = comment(remarks[owner.Value])
			}
		}
	}
}

// comment makes sure that a text which anybody may have chosen stays in its
// line.
func comment(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, shorten(text))
}

func yamlOf(n *node) *yaml.Node {
	y := &yaml.Node{Kind: yaml.ScalarNode, Value: n.text}
	switch n.kind {
	case null:
		y.Tag, y.Value = "!!null", "null"
	case boolean:
		y.Tag = "!!bool"
	case number:
		y.Tag = "!!int"
	case text:
		y.SetString(n.text)
		if strings.ContainsFunc(n.text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			y.Style = yaml.DoubleQuotedStyle // whoever shows the text can write escapes
		}
	case list:
		y.Kind, y.Tag = yaml.SequenceNode, "!!seq"
	case object:
		y.Kind, y.Tag = yaml.MappingNode, "!!map"
	}
	if len(n.items) == 0 && y.Kind != yaml.ScalarNode {
		y.Style = yaml.FlowStyle
	}
	for i := range n.items {
		if n.kind == object {
			name := textNode(n.names[i])
			y.Content = append(y.Content, yamlOf(&name))
		}
		y.Content = append(y.Content, yamlOf(&n.items[i]))
	}
	return y
}
