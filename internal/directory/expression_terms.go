package directory

import "strings"

// ExpressionTerm is one term of an expression, for those who explain it.
type ExpressionTerm struct {
	Claim     string
	Operator  string // "eq" or "matches"
	Comparand string

	term *term
}

// Terms returns the terms in their order.
func (e *Expression) Terms() []ExpressionTerm {
	out := make([]ExpressionTerm, len(e.terms))
	for i := range e.terms {
		t := &e.terms[i]
		out[i] = ExpressionTerm{t.claim, opEqual, t.comparand, t}
		if t.wildcards != nil {
			out[i].Operator = opMatches
		}
	}
	return out
}

// SatisfiedBy reports whether a claim with this text satisfies the term.
func (t ExpressionTerm) SatisfiedBy(value string) bool { return t.term.satisfiedBy(value) }

// Foldable reports whether the claim would satisfy the term if case were
// ignored.
func (t ExpressionTerm) Foldable(value string) bool {
	folded := term{claim: t.Claim, comparand: strings.ToLower(t.Comparand)}
	if t.term.wildcards != nil {
		folded.wildcards = compileWildcards(folded.comparand)
	}
	return folded.satisfiedBy(strings.ToLower(value))
}
