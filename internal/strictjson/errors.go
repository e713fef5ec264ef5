package strictjson

import (
	"errors"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ErrorKind is why a document or a member was refused.
type ErrorKind int

// The kinds of error.
const (
	Syntax    ErrorKind = iota + 1 // not JSON by RFC 8259, not UTF-8, or bytes after the value
	Duplicate                      // an object holds the same member name twice
	Limit                          // larger, deeper or longer than the caller allows
	Type                           // a member is not of the type that the caller asked for
)

// maxErrorName bounds how much of a member name an error repeats, in bytes.
const maxErrorName = 64

// Error is a refused document or member. Its text repeats nothing of the
// document but a member name, quoted and shortened, and is safe to show.
type Error struct {
	Kind   ErrorKind
	Offset int    // byte at or before which the fault was found; 0 for Type errors of a member
	Name   string // the member at fault if known
	reason string // from the fixed texts of this package
}

// Error describes the fault.
func (e *Error) Error() string {
	text := e.reason
	if e.Name != "" {
		name := e.Name
		if len(name) > maxErrorName {
			name = name[:maxErrorName]
		}
		text += " " + strconv.QuoteToASCII(name)
	}
	if e.Offset > 0 {
		text += " at byte " + strconv.Itoa(e.Offset)
	}
	return text
}

func limitError(offset int, reason string) *Error {
	return &Error{Kind: Limit, Offset: offset, reason: reason}
}

func typeError(name, reason string) *Error {
	return &Error{Kind: Type, Name: name, reason: reason}
}

// refusal turns an error of the JSON library into one of ours. The library's
// text is dropped: it may repeat parts of the document.
func refusal(err error) *Error {
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		refused := &Error{Kind: Duplicate, reason: "duplicate JSON member name"}
		if errors.As(err, &syntactic) {
			refused.Offset = int(syntactic.ByteOffset)
			refused.Name = syntactic.JSONPointer.LastToken()
		}
		return refused
	case errors.As(err, &syntactic):
		return &Error{Kind: Syntax, Offset: int(syntactic.ByteOffset), reason: "invalid JSON"}
	case errors.As(err, &semantic):
		return &Error{Kind: Type, Offset: int(semantic.ByteOffset), Name: semantic.JSONPointer.LastToken(),
			reason: "JSON value of the wrong type"}
	default: // end of input
		return &Error{Kind: Syntax, reason: "invalid JSON"}
	}
}
