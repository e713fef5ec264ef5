package directory

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of claims matching expressions. Lengths count characters (Unicode
// code points) unless a comment says otherwise.
const (
	MaxExpression          = 2000
	MaxExpressionTerms     = 16
	MaxClaimName           = 120
	MaxComparand           = 600
	MaxMatchedClaim        = 2048 // bytes; a longer claim satisfies no "matches"
	MaxFlexibleCredentials = 100  // of one parent, in any tenant: they are tried one after the other
)

// ExpressionLanguageVersion is the only version of the language.
const ExpressionLanguageVersion = 1

// ClaimsMatchingExpression is what a flexible credential has in place of a
// subject, as it was sent.
type ClaimsMatchingExpression struct {
	Value           string
	LanguageVersion int
}

// Expression is a parsed claims matching expression: terms that must all be
// satisfied. It is immutable.
type Expression struct {
	text  string
	terms []term
}

type term struct {
	claim     string
	comparand string
	wildcards *wildcards // of matches; nil: eq
}

// Operators of the language.
const (
	opEqual   = "eq"
	opMatches = "matches"
)

// ParseExpression reads Entra's language for flexible credentials:
//
//	expression := term *( " and " term )
//	term       := "claims['" name "']" " " ( "eq" / "matches" ) " '" comparand "'"
//
// Case counts, and so does every blank. A quotation mark inside a name or a
// comparand is written twice. The error is an *Error of kind Invalid that
// names the character, counted from 1, and what was expected there.
func ParseExpression(text string) (*Expression, error) {
	if err := checkText(expressionTarget, text, 1, MaxExpression); err != nil {
		return nil, err
	}
	p := expressionParser{text: text}
	e := &Expression{text: text}
	for {
		if len(e.terms) == MaxExpressionTerms {
			return nil, p.fail(fmt.Sprintf("the end: an expression may have at most %d terms", MaxExpressionTerms))
		}
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		e.terms = append(e.terms, t)
		switch {
		case p.at == len(text):
			return e, nil
		case !p.take(" and "):
			return nil, p.fail("' and ' before another term, or the end")
		}
	}
}

// String is the expression as it was written; there is one way to write it.
func (e *Expression) String() string { return e.text }

// Matches reports whether every term is satisfied. claim returns the text of
// a claim, and false when it is absent or not a string: then no term on it is
// satisfied. It takes time in proportion to the length of the claims.
func (e *Expression) Matches(claim func(name string) (string, bool)) bool {
	for i := range e.terms {
		t := &e.terms[i]
		value, ok := claim(t.claim)
		if !ok || !t.satisfiedBy(value) {
			return false
		}
	}
	return true
}

// Bytes estimates the memory that the expression holds.
func (e *Expression) Bytes() int {
	const perExpression, perTerm = 96, 48
	n := perExpression + 2*len(e.text) + perTerm*len(e.terms)
	for i := range e.terms {
		if w := e.terms[i].wildcards; w != nil {
			n += w.bytes()
		}
	}
	return n
}

// restricts reports whether some term tells tokens of one issuer apart. A
// comparand of wildcards alone does not; neither does what is said of iss,
// which the credential compares anyway, or of aud, which whoever asks for a
// token may choose.
func (e *Expression) restricts() bool {
	for _, t := range e.terms {
		wild := t.wildcards != nil && strings.Trim(t.comparand, "*?") == ""
		if !wild && t.claim != "iss" && t.claim != "aud" {
			return true
		}
	}
	return false
}

func (t *term) satisfiedBy(value string) bool {
	if t.wildcards == nil {
		return value == t.comparand
	}
	return len(value) <= MaxMatchedClaim && t.wildcards.match(value)
}

// expressionTarget is the property at fault in errors about the text.
const expressionTarget = "claimsMatchingExpression.value"

// expressionParser reads an expression from left to right.
type expressionParser struct {
	text string // valid UTF-8
	at   int    // bytes read
}

// fail says what was expected at the present character.
func (p *expressionParser) fail(expected string) *Error {
	return Errorf(Invalid, expressionTarget, "%s: character %d: expected %s.", expressionTarget, utf8.RuneCountInString(p.text[:p.at])+1, expected)
}

func (p *expressionParser) take(token string) bool {
	if !strings.HasPrefix(p.text[p.at:], token) {
		return false
	}
	p.at += len(token)
	return true
}

func (p *expressionParser) term() (t term, err error) {
	if !p.take("claims[") {
		return t, p.fail("a term such as claims['sub'] eq 'text'")
	}
	if t.claim, err = p.quoted("the name of a claim", MaxClaimName); err != nil {
		return t, err
	}
	if !p.take("]") {
		return t, p.fail("']' after the name of the claim")
	}
	matches := p.take(" " + opMatches + " ")
	if !matches && !p.take(" "+opEqual+" ") {
		return t, p.fail("' eq ' or ' matches ', in lower case and between single blanks")
	}
	if t.comparand, err = p.quoted("the comparand", MaxComparand); err == nil && matches {
		t.wildcards = compileWildcards(t.comparand)
	}
	return t, err
}

// quoted reads a text of 1 to most characters between quotation marks and
// undoubles those inside.
func (p *expressionParser) quoted(what string, most int) (string, error) {
	if !p.take("'") {
		return "", p.fail("the quotation mark (') that opens " + what)
	}
	start := p.at
	var text strings.Builder
	for {
		n := strings.IndexByte(p.text[p.at:], '\'')
		if n < 0 {
			p.at = len(p.text)
			return "", p.fail("the quotation mark (') that closes " + what + "; one inside it is written twice")
		}
		text.WriteString(p.text[p.at : p.at+n])
		p.at += n + 1
		if !p.take("'") {
			break
		}
		text.WriteByte('\'')
	}
	if n := utf8.RuneCountInString(text.String()); n == 0 || n > most {
		p.at = start
		return "", p.fail(fmt.Sprintf("%s: 1 to %d characters, not %d", what, most, n))
	}
	return text.String(), nil
}
