package oauth

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Error is one refusal: a row of the catalogue filled in with the presented
// values. Status and OAuth hold the row's unless a tenant's compatibility
// level says otherwise.
type Error struct {
	Code        Code
	OAuth       string
	Status      int
	Description string // without the AADSTS prefix and the trailer
	URI         bool
	RetryAfter  time.Duration // 0: none beyond the rule for 400s
	Cause       error         // what it came from, for explanations; the caller is not told
}

// Refuse makes an Error. Values are made safe to show before they are filled
// into the row's text; each row takes as many as its text has places.
func Refuse(c Code, values ...string) *Error {
	row := Lookup(c)
	shown := make([]any, len(values))
	for i, v := range values {
		shown[i] = Show(v)
	}
	return &Error{Code: c, OAuth: row.Error, Status: row.Status, Description: fmt.Sprintf(row.Text, shown...), URI: row.URI}
}

func (e *Error) Error() string { return fmt.Sprintf("AADSTS%d: %s", e.Code, e.Description) }

// Answered returns a copy with another OAuth error and HTTP status.
func (e *Error) Answered(oauthError string, status int) *Error {
	d := *e
	d.OAuth, d.Status = oauthError, status
	return &d
}

// After returns a copy that asks the client to wait.
func (e *Error) After(d time.Duration) *Error {
	f := *e
	f.RetryAfter = d
	return &f
}

// Because returns a copy that knows what it came from.
func (e *Error) Because(cause error) *Error {
	f := *e
	f.Cause = cause
	return &f
}

// maxShown bounds a presented value in a text, in bytes.
const maxShown = 600

// Show makes a presented value safe to repeat: bounded, valid UTF-8, and with
// every character that could end a quotation, start markup, hide or reorder
// text replaced by "·".
func Show(v string) string {
	if len(v) > maxShown {
		cut := maxShown
		for cut > 0 && !utf8.RuneStart(v[cut]) {
			cut--
		}
		v = v[:cut] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) || strings.ContainsRune("<>'\"&\\`", r) {
			return '·'
		}
		return r
	}, v)
}

// Hidden stands for a presented value that is not repeated.
const Hidden = "(not shown)"

// ShowIssuer is Show for an issuer: only what looks like a plain URL is
// repeated, so that an answer cannot be made to name other hosts.
func ShowIssuer(v string) string { return onlyIf(v, "-._~:/%") }

// ShowKeyID is Show for a key identifier.
func ShowKeyID(v string) string { return onlyIf(v, "-._~=+") }

func onlyIf(v, punctuation string) string {
	if len(v) > maxShown {
		return Hidden
	}
	for _, r := range v {
		plain := r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(punctuation, r))
		if !plain {
			return Hidden
		}
	}
	return v
}
