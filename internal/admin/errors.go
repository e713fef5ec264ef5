package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cambio/internal/strictjson"
)

// Error is a refusal of the server.
type Error struct {
	Status    int
	Code      string // Graph's or ARM's code, or the OAuth error
	Message   string
	RequestID string // what the server's log calls the request
	URI       string // documentation, when the answer names some
}

func (e *Error) Error() string {
	text := e.Code + ": " + e.Message
	if e.RequestID != "" {
		text += " (request-id " + e.RequestID + ")"
	}
	if e.URI != "" {
		text += "; see " + e.URI
	}
	return text
}

// Kind sorts errors by what the caller can do about them.
type Kind int

// The kinds of error that a caller tells apart.
const (
	Failed   Kind = iota
	NotFound      // what was addressed does not exist
	Denied        // not authenticated, or not permitted
	Conflict      // exists already, or is not what it was thought to be
)

// Kind is what a refusal means.
func (e *Error) Kind() Kind {
	switch {
	case e.Status == http.StatusNotFound:
		return NotFound
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return Denied
	case e.Status == http.StatusConflict, e.Status == http.StatusPreconditionFailed, e.isDuplicate():
		return Conflict
	}
	return Failed
}

// isDuplicate reports whether another credential has the same definition:
// Graph has one code for that and for values that are wrong.
func (e *Error) isDuplicate() bool {
	return e.Code == "InvalidFederatedIdentityCredentialValue" && strings.Contains(e.Message, " are held by the federated identity credential ")
}

// LookupError is a name that leads to no object, or to more than one, or to
// one that is not as it was wanted.
type LookupError struct {
	kind Kind
	text string
}

func (e *LookupError) Error() string { return e.text }

// Kind is NotFound or Conflict.
func (e *LookupError) Kind() Kind { return e.kind }

// NotFoundf makes an error of kind NotFound.
func NotFoundf(format string, args ...any) error {
	return &LookupError{NotFound, fmt.Sprintf(format, args...)}
}

// Conflictf makes an error of kind Conflict.
func Conflictf(format string, args ...any) error {
	return &LookupError{Conflict, fmt.Sprintf(format, args...)}
}

// KindOf is the kind of an error, whatever it is wrapped in.
func KindOf(err error) Kind {
	var kind interface{ Kind() Kind }
	if errors.As(err, &kind) {
		return kind.Kind()
	}
	return Failed
}

// IsNotFound reports whether an error says that something does not exist.
func IsNotFound(err error) bool { return KindOf(err) == NotFound }

func isConflict(err error) bool { return KindOf(err) == Conflict }

// errorOf reads an answer that is not a success: {"error": {"code", "message"}}
// of Graph and ARM, {"error", "error_description"} of OAuth, or neither.
func errorOf(resp *http.Response, body []byte) *Error {
	e := &Error{Status: resp.StatusCode, RequestID: requestID(resp.Header)}
	if e.read(body); e.Code == "" {
		e.Code, e.Message = http.StatusText(resp.StatusCode), fmt.Sprintf("the server answered with status %d and no error object; is this a cambio server?", resp.StatusCode)
	}
	e.Code, e.Message, e.RequestID, e.URI = printable(e.Code), printable(e.Message), printable(e.RequestID), printable(e.URI)
	return e
}

func (e *Error) read(body []byte) {
	o, err := strictjson.ParseObject(body, strictjson.Document)
	if err != nil {
		return
	}
	if code, ok, err := o.String("error"); ok && err == nil {
		e.Code = code
		e.Message, _, _ = o.String("error_description") // absent is empty
		e.URI, _, _ = o.String("error_uri")
		// The description ends with identifiers that say nothing to a person.
		if text, _, cut := strings.Cut(e.Message, " Trace ID: "); cut {
			e.Message = text
			e.RequestID, _, _ = o.String("trace_id")
		}
		return
	}
	raw, _ := o.Raw("error")
	if o, err = strictjson.ParseObject(raw, strictjson.Document); err == nil {
		e.Code, _, _ = o.String("code")
		e.Message, _, _ = o.String("message")
	}
}

// requestID is the id that Graph or ARM gave the request.
func requestID(h http.Header) string {
	if id := h.Get("request-id"); id != "" {
		return id
	}
	return h.Get("x-ms-request-id")
}

// printable keeps control characters of an answer from reaching a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}
