package directory

import "fmt"

// ErrorKind is what went wrong with a management operation, independent of
// the protocol that reports it.
type ErrorKind int

// The kinds of error.
const (
	Invalid           ErrorKind = iota + 1 // a value breaks a rule
	NotFound                               // the addressed object does not exist in this tenant
	NameTaken                              // a unique name or key is held by another object
	DuplicateTrust                         // issuer and subject or expression are held by another credential of the parent
	LimitReached                           // a limit of strict tenants, or of all
	ReferenceAbsent                        // the request refers to an object that does not exist
	DomainNotVerified                      // an identifier's host is not a verified domain of a strict tenant
)

// Error is a refused management operation. Message says what was wrong, where
// and what to do; it holds no internals and can be shown to the caller.
type Error struct {
	Kind    ErrorKind
	Target  string // the property at fault, as named in Graph; may be empty
	Message string
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(kind ErrorKind, target, format string, args ...any) *Error {
	return &Error{Kind: kind, Target: target, Message: fmt.Sprintf(format, args...)}
}
