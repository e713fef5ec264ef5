package trust

import (
	"bytes"
	"io"
	"strings"

	"cambio/internal/strictjson"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonLimits are those of YAML documents.
var jsonLimits = strictjson.Limits{Bytes: MaxBytes, Depth: MaxDepth, Members: MaxNodes}

// parseJSON reads one strict JSON document (RFC 8259, no duplicate names).
func parseJSON(file string, raw []byte) (node, error) {
	if err := strictjson.Check(raw, jsonLimits); err != nil {
		at := Position{File: file}
		var refused *strictjson.Error
		if asStrict(err, &refused) && refused.Offset > 0 {
			at = (&jsonReader{file: file, raw: raw, line: 1}).position(refused.Offset)
		}
		return node{}, Problems{{at, "", err.Error()}}
	}
	r := &jsonReader{file: file, raw: raw, line: 1, dec: jsontext.NewDecoder(bytes.NewReader(raw))}
	n, err := r.node()
	if err != nil {
		return node{}, Problems{{Position{File: file}, "", "invalid JSON"}}
	}
	return n, nil
}

func asStrict(err error, to **strictjson.Error) (ok bool) {
	*to, ok = err.(*strictjson.Error)
	return ok
}

// jsonReader turns a document that was checked into nodes.
type jsonReader struct {
	file string
	raw  []byte
	dec  *jsontext.Decoder

	// How far lines were counted: positions are asked for in order.
	counted, line, lineStart int
}

// position is that of a byte.
func (r *jsonReader) position(offset int) Position {
	offset = min(offset, len(r.raw))
	for ; r.counted < offset; r.counted++ {
		if r.raw[r.counted] == '\n' {
			r.line, r.lineStart = r.line+1, r.counted+1
		}
	}
	return Position{r.file, r.line, offset - r.lineStart + 1}
}

// scalar reads a name, or a value that is neither object nor list.
func (r *jsonReader) scalar() (node, error) {
	raw, err := r.dec.ReadValue()
	if err != nil {
		return node{}, err
	}
	n := node{text: string(raw), at: r.position(int(r.dec.InputOffset()) - len(raw))}
	switch raw.Kind() {
	case 'n':
		n.kind = null
	case 't', 'f':
		n.kind = boolean
	case '0':
		n.kind = number
	default:
		n.kind = text
		plain, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return node{}, err
		}
		n.text = string(plain)
	}
	return n, nil
}

func (r *jsonReader) node() (node, error) {
	opening := r.dec.PeekKind()
	if opening != '{' && opening != '[' {
		return r.scalar()
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return node{}, err
	}
	n := node{kind: list, at: r.position(int(r.dec.InputOffset()) - 1)}
	if opening == '{' {
		n.kind = object
	}
	for k := r.dec.PeekKind(); k != '}' && k != ']'; k = r.dec.PeekKind() {
		if k == 0 {
			return node{}, io.ErrUnexpectedEOF
		}
		if n.kind == object {
			name, err := r.scalar()
			if err != nil {
				return node{}, err
			}
			n.names, n.keys = append(n.names, name.text), append(n.keys, name.at)
		}
		item, err := r.node()
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, item)
	}
	_, err := r.dec.ReadToken()
	return n, err
}

// appendJSON writes a value without white space. Text that is not UTF-8 cannot
// come from a document or pass the directory's rules.
func (n *node) appendJSON(dst []byte) []byte {
	switch n.kind {
	case null:
		return append(dst, "null"...)
	case boolean, number:
		return append(dst, n.text...)
	case text:
		return appendText(dst, n.text)
	}
	brackets := "[]"
	if n.kind == object {
		brackets = "{}"
	}
	dst = append(dst, brackets[0])
	for i := range n.items {
		if i > 0 {
			dst = append(dst, ',')
		}
		if n.kind == object {
			dst = append(appendText(dst, n.names[i]), ':')
		}
		dst = n.items[i].appendJSON(dst)
	}
	return append(dst, brackets[1])
}

func appendText(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, strings.ToValidUTF8(s, "\uFFFD")) // valid now: it cannot fail
	return dst
}

// indented is a JSON document for people.
func indented(compact []byte) []byte {
	v := jsontext.Value(compact)
	if err := v.Indent(jsontext.WithIndent("  ")); err != nil {
		return append(compact, '\n') // of our own making: it is JSON
	}
	return append(v, '\n')
}
