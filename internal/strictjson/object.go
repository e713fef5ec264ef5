package strictjson

import (
	"bytes"
	"io"
	"iter"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxNumber bounds the text of a number that is converted, in bytes. A time in
// seconds needs 10 digits; thousands of digits only cost time.
const maxNumber = 32

// Object is a JSON object whose document passed every check of this package.
// It refers to the bytes of the document, which must not be changed
// afterwards. The zero value is an empty object.
type Object struct {
	members []member
}

// member is one member in document order: the decoded name and the value as
// it stands in the document.
type member struct {
	name  []byte
	value []byte
}

// decoder is a JSON decoder with the reader it reads from.
type decoder struct {
	input bytes.Buffer
	json  jsontext.Decoder
}

// decoders keeps decoders with their grown state. It holds no document: a
// decoder is emptied before it is put back.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

func newDecoder(doc []byte) *decoder {
	dec := decoders.Get().(*decoder)
	// A bytes.Buffer is read in place; the decoder never writes to it.
	dec.input = *bytes.NewBuffer(doc)
	dec.json.Reset(&dec.input)
	return dec
}

func (d *decoder) release() {
	d.input = bytes.Buffer{}
	d.json.Reset(&d.input)
	decoders.Put(d)
}

// end fails unless only white space is left.
func (d *decoder) end() error {
	_, err := d.json.ReadToken()
	if err == io.EOF {
		return nil
	}
	if err == nil {
		return &jsontext.SyntacticError{ByteOffset: d.json.InputOffset()}
	}
	return err
}

// With returns the object with a string member, in place of one of that name.
func (o Object) With(name, value string) Object {
	text, err := json.Marshal(value)
	if err != nil {
		return o // not UTF-8: no member of a document is
	}
	members := make([]member, 0, len(o.members)+1)
	for _, m := range o.members {
		if string(m.name) != name {
			members = append(members, m)
		}
	}
	return Object{members: append(members, member{[]byte(name), text})}
}

// Check tells whether doc is one acceptable JSON value within lim. The error
// is an *Error.
func Check(doc []byte, lim Limits) error {
	if _, err := lim.enforce(doc); err != nil {
		return err
	}
	dec := newDecoder(doc)
	defer dec.release()
	err := dec.json.SkipValue()
	if err == nil {
		err = dec.end()
	}
	if err != nil {
		return refusal(err)
	}
	return nil
}

// ParseObject reads a document whose value is an object. Another kind of
// value is a Type error. The error is an *Error.
func ParseObject(doc []byte, lim Limits) (Object, error) {
	top, limited := lim.enforce(doc)
	if limited != nil {
		return Object{}, limited
	}
	dec := newDecoder(doc)
	defer dec.release()
	members, err := dec.object(doc, top)
	if err != nil {
		return Object{}, err
	}
	return Object{members: members}, nil
}

// object reads the whole document as one object of about top members.
func (d *decoder) object(doc []byte, top int) ([]member, error) {
	if kind := d.json.PeekKind(); kind != '{' {
		if err := d.json.SkipValue(); err != nil {
			return nil, refusal(err)
		}
		return nil, typeError("", "JSON value is not an object")
	}
	if _, err := d.json.ReadToken(); err != nil {
		return nil, refusal(err)
	}
	members := make([]member, 0, top)
	for d.json.PeekKind() != '}' {
		name, err := d.raw(doc)
		if err != nil {
			return nil, refusal(err)
		}
		value, err := d.raw(doc)
		if err != nil {
			return nil, refusal(err)
		}
		members = append(members, member{name: unquote(name), value: value})
	}
	if _, err := d.json.ReadToken(); err != nil {
		return nil, refusal(err)
	}
	if err := d.end(); err != nil {
		return nil, refusal(err)
	}
	return members, nil
}

// raw reads the next value and returns its bytes in doc itself, which stay
// valid when the decoder is used again.
func (d *decoder) raw(doc []byte) ([]byte, error) {
	value, err := d.json.ReadValue()
	if err != nil {
		return nil, err
	}
	end := int(d.json.InputOffset())
	return doc[end-len(value) : end : end], nil
}

// unquote decodes a JSON string that was already checked. It copies only if
// there are escapes.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	plain, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return nil // unreachable: the document was accepted
	}
	return plain
}

// Len is the number of members.
func (o Object) Len() int { return len(o.members) }

// All goes through the members in document order: name, and value as it
// stands in the document. The values must not be changed.
func (o Object) All() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, m := range o.members {
			if !yield(string(m.name), m.value) {
				return
			}
		}
	}
}

// Raw returns the value of a member as it stands in the document. Names are
// compared byte by byte after escapes are decoded.
func (o Object) Raw(name string) (value []byte, present bool) {
	for i := range o.members {
		if string(o.members[i].name) == name {
			return o.members[i].value, true
		}
	}
	return nil, false
}

// String returns a member that must be a string. Any other type, null
// included, is a Type error.
func (o Object) String(name string) (value string, present bool, err error) {
	raw, present := o.Raw(name)
	if !present {
		return "", false, nil
	}
	if raw[0] != '"' {
		return "", true, typeError(name, "JSON member is not a string:")
	}
	return string(unquote(raw)), true, nil
}

// Strings returns a member that must be a string or an array of strings, as
// the aud claim (RFC 7519 §4.1.3). An empty array is an empty list; any other
// type, also inside the array, is a Type error.
func (o Object) Strings(name string) (values []string, present bool, err error) {
	raw, present := o.Raw(name)
	if !present {
		return nil, false, nil
	}
	if raw[0] == '"' {
		return []string{string(unquote(raw))}, true, nil
	}
	list, _, err := o.Array(name)
	if err != nil {
		return nil, true, typeError(name, "JSON member is neither a string nor an array:")
	}
	values = make([]string, len(list))
	for i, element := range list {
		if element[0] != '"' {
			return nil, true, typeError(name, "JSON array holds more than strings:")
		}
		values[i] = string(unquote(element))
	}
	return values, true, nil
}

// Array returns the elements of a member that must be an array, each as it
// stands in the document. Any other type, null included, is a Type error.
func (o Object) Array(name string) (elements [][]byte, present bool, err error) {
	raw, present := o.Raw(name)
	if !present {
		return nil, false, nil
	}
	if raw[0] != '[' {
		return nil, true, typeError(name, "JSON member is not an array:")
	}
	dec := newDecoder(raw)
	defer dec.release()
	if _, err := dec.json.ReadToken(); err != nil {
		return nil, true, refusal(err)
	}
	for dec.json.PeekKind() != ']' {
		element, err := dec.raw(raw)
		if err != nil {
			return nil, true, refusal(err)
		}
		elements = append(elements, element)
	}
	return elements, true, nil
}

// Number returns a member that must be a finite number of at most 32
// characters. A string of digits is not a number.
func (o Object) Number(name string) (value float64, present bool, err error) {
	raw, present := o.Raw(name)
	if !present {
		return 0, false, nil
	}
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0, true, typeError(name, "JSON member is not a number:")
	}
	if len(raw) > maxNumber {
		return 0, true, &Error{Kind: Limit, Name: name, reason: "JSON number too long:"}
	}
	value, err = strconv.ParseFloat(string(raw), 64)
	if err != nil { // the syntax was checked: only the range can be wrong
		return 0, true, &Error{Kind: Limit, Name: name, reason: "JSON number out of range:"}
	}
	return value, true, nil
}

// Unmarshal decodes doc into v, a pointer to a struct, after the checks of
// this package. Member names must match exactly; unknown members are ignored;
// a value of another type than the field's is a Type error, except that null
// gives the zero value. The error is an *Error.
func Unmarshal(doc []byte, v any, lim Limits) error {
	if _, err := lim.enforce(doc); err != nil {
		return err
	}
	if err := json.Unmarshal(doc, v); err != nil {
		return refusal(err)
	}
	return nil
}
