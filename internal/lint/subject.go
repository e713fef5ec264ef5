package lint

import (
	"iter"
	"regexp"
	"slices"
	"strings"

	"cambio/internal/directory"
	"cambio/internal/profile"
)

// Names of claims and of fields that several rules speak of.
const (
	claimSub   = "sub"
	fieldSub   = "subject"
	fieldExpr  = "claimsMatchingExpression"
	fieldIss   = "issuer"
	fieldAud   = "audiences"
	equals     = "eq"
	wildcarded = "matches"
)

// subject is one credential with what is known around it.
type subject struct {
	in         *Input
	client     *Client
	credential *Credential
	profile    *profile.Profile // of the issuer; nil: none knows it
	terms      []term           // what a token must have
	roles      []Role           // what the credential can be used for
	issuer     *Issuer          // nil: nothing is known
	usage      *Usage           // nil: nothing is known
}

// term is a condition on one claim.
type term struct {
	claim, operator, text string
	field                 string // where it is written
	satisfied             func(string) bool
}

func newSubject(in *Input, client *Client, credential *Credential) *subject {
	s := &subject{in: in, client: client, credential: credential, profile: profile.OfIssuer(credential.Issuer)}
	s.terms = termsOf(&credential.FederatedIdentityCredential)
	for _, r := range client.Roles {
		if c := credential.Ceilings; c == nil || len(c.Roles) == 0 || slices.Contains(c.Roles, r.Value) {
			s.roles = append(s.roles, r)
		}
	}
	if i := slices.IndexFunc(in.Issuers, func(i Issuer) bool { return i.Name == credential.Issuer }); i >= 0 {
		s.issuer = &in.Issuers[i]
	}
	if i := slices.IndexFunc(in.Usage, func(u Usage) bool { return u.Client == client.ID && u.Credential == credential.Name }); i >= 0 {
		s.usage = &in.Usage[i]
	}
	return s
}

// termsOf lists the conditions of a credential; an expression that cannot be
// read has none, which is another's to refuse.
func termsOf(c *directory.FederatedIdentityCredential) []term {
	if c.Expression == nil {
		return []term{{claimSub, equals, c.Subject, fieldSub, func(v string) bool { return v == c.Subject }}}
	}
	e, err := directory.ParseExpression(c.Expression.Value)
	if err != nil {
		return nil
	}
	var out []term
	for _, t := range e.Terms() {
		out = append(out, term{t.Claim, t.Operator, t.Comparand, fieldExpr, t.SatisfiedBy})
	}
	return out
}

// head is what stands before the first wildcard, and whether there is one.
func (t *term) head() (string, bool) {
	if t.operator != wildcarded {
		return t.text, false
	}
	if i := strings.IndexAny(t.text, "*?"); i >= 0 {
		return t.text[:i], true
	}
	return t.text, false
}

// on yields the terms about a claim.
func (s *subject) on(claim string) iter.Seq[*term] {
	return func(yield func(*term) bool) {
		for i := range s.terms {
			if s.terms[i].claim == claim && !yield(&s.terms[i]) {
				return
			}
		}
	}
}

// equal reports whether some term wants a claim to be one of the values.
func (s *subject) equal(claim string, values ...string) bool {
	for t := range s.on(claim) {
		if _, wild := t.head(); !wild && slices.Contains(values, t.text) {
			return true
		}
	}
	return false
}

// constrains reports whether some term is about one of the claims.
func (s *subject) constrains(claims ...string) bool {
	return slices.ContainsFunc(s.terms, func(t term) bool { return slices.Contains(claims, t.claim) })
}

// is reports whether the issuer belongs to a platform.
func (s *subject) is(name string) bool { return s.profile != nil && s.profile.Name == name }

// shared reports whether all customers of the platform have this issuer.
func (s *subject) shared() bool {
	return s.profile != nil && slices.Contains(s.profile.SharedIssuers, s.credential.Issuer)
}

// fixes reports whether a term settles a part of what a token stands for: its
// text before any wildcard begins as boundary says, or it names one of the
// claims in a subject that was customised (claim:value:claim:value).
func fixes(t *term, boundaries map[string]string, claims []string) bool {
	head, wild := t.head()
	if slices.Contains(claims, t.claim) && !wild {
		return true
	}
	if b := boundaries[t.claim]; b != "" && settles(boundary(b), head, wild) {
		return true
	}
	if t.claim != claimSub {
		return false
	}
	parts := strings.Split(head, ":")
	if wild {
		parts = parts[:len(parts)-1] // the last one goes on
	}
	for i := 0; i+1 < len(parts); i++ {
		if slices.Contains(claims, parts[i]) && parts[i+1] != "" {
			return true
		}
	}
	return false
}

// settles reports whether a text begins as wanted. Before a wildcard the end of
// the text is no end: the name goes on.
func settles(begins *regexp.Regexp, head string, wild bool) bool {
	at := begins.FindStringIndex(head)
	return at != nil && (!wild || at[1] < len(head) || strings.HasSuffix(head, "/") || strings.HasSuffix(head, ":"))
}

// boundary compiles the beginning of a text. The expressions are data of the
// program, which a test compiles.
func boundary(expression string) *regexp.Regexp {
	return regexp.MustCompile(`\A(?:` + expression + `)`)
}
