package directory

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// A second implementation of the language, written from the grammar in
// docs/flexible.md: expressions are taken apart and claims compared by regular
// expressions.

var (
	oracleTerm       = `claims\['((?:[^']|'')+)'\] (eq|matches) '((?:[^']|'')+)'`
	oracleExpression = regexp.MustCompile(`\A` + oracleTerm + `(?: and ` + oracleTerm + `)*\z`)
	oracleFirst      = regexp.MustCompile(`\A` + oracleTerm + `(?: and |\z)`)
)

// oracle reports whether a text is an expression, and whether claims satisfy
// it. It knows nothing of limits.
func oracle(text string, claims map[string]string) (valid, satisfied bool) {
	unfit := func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unfit) || !oracleExpression.MatchString(text) {
		return false, false
	}
	satisfied = true
	for text != "" {
		m := oracleFirst.FindStringSubmatch(text)
		text = text[len(m[0]):]
		name, comparand := strings.ReplaceAll(m[1], "''", "'"), strings.ReplaceAll(m[3], "''", "'")
		pattern := regexp.QuoteMeta(comparand)
		if m[2] == "matches" {
			pattern = strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(pattern)
		}
		value, present := claims[name]
		satisfied = satisfied && present && regexp.MustCompile(`(?s)\A(?:`+pattern+`)\z`).MatchString(value)
	}
	return true, satisfied
}

// agree compares the implementation with the oracle.
func agree(t *testing.T, text string, claims map[string]string) (valid, satisfied bool) {
	t.Helper()
	valid, satisfied = oracle(text, claims)
	e, err := ParseExpression(text)
	if (err == nil) != valid {
		t.Fatalf("%q: %v; the oracle takes it: %v", text, err, valid)
	}
	if err != nil {
		return valid, satisfied
	}
	got := e.Matches(func(name string) (string, bool) { value, ok := claims[name]; return value, ok })
	if got != satisfied {
		t.Fatalf("%q of %q: %v; the oracle says %v", text, claims, got, satisfied)
	}
	return valid, satisfied
}

// pick makes a text of up to most pieces.
func pick(r *rand.Rand, most int, pieces ...string) string {
	var b strings.Builder
	for range r.IntN(most + 1) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

// randomExpression makes one that is near the grammar, and most often in it.
func randomExpression(r *rand.Rand) string {
	var terms []string
	for range 1 + r.IntN(3) {
		name := []string{"sub", "s", "it''s"}[r.IntN(3)]
		operator := []string{" eq ", " matches ", " matches "}[r.IntN(3)]
		comparand := pick(r, 5, "a", "b", "*", "?", "''", "é", "\\", ".", " and ", "🙂")
		terms = append(terms, "claims['"+name+"']"+operator+"'"+comparand+"'")
	}
	text := []byte(strings.Join(terms, " and "))
	if r.IntN(3) == 0 { // damaged in one place
		at := r.IntN(len(text))
		switch r.IntN(3) {
		case 0:
			text = append(text[:at:at], text[at+1:]...)
		case 1:
			text = append(text[:at:at], append([]byte{text[r.IntN(len(text))]}, text[at:]...)...)
		default:
			text[at] = "' *[]aE\x00"[r.IntN(8)]
		}
	}
	return string(text)
}

// randomClaims makes claims, most often such as nearly satisfy the expression.
func randomClaims(r *rand.Rand, text string) map[string]string {
	claims := map[string]string{}
	for _, name := range []string{"sub", "s", "it's"} {
		if r.IntN(8) != 0 {
			claims[name] = pick(r, 5, "a", "b", "'", "é", "\\", ".", " and ", "🙂", "*", "?", "\n")
		}
	}
	if r.IntN(3) == 0 {
		return claims
	}
	for _, m := range regexp.MustCompile(oracleTerm).FindAllStringSubmatch(text, -1) {
		claims[strings.ReplaceAll(m[1], "''", "'")] = strings.NewReplacer("''", "'", "*", pick(r, 2, "a", "é", "b"), "?", pick(r, 1, "a", "🙂", "*")).Replace(m[3])
	}
	return claims
}

func TestExpressionsAgreeWithTheOracle(t *testing.T) {
	const cases = 120_000
	r := rand.New(rand.NewPCG(1, 2))
	var valid, satisfied int
	for range cases {
		text := randomExpression(r)
		v, s := agree(t, text, randomClaims(r, text))
		if v {
			valid++
		}
		if s {
			satisfied++
		}
	}
	if valid < cases/4 || valid > cases*9/10 || satisfied < cases/100 {
		t.Errorf("of %d cases %d are expressions and %d are satisfied; that tests little", cases, valid, satisfied)
	}
	t.Logf("%d expressions, %d satisfied", valid, satisfied)
}

func FuzzExpressionsAgreeWithTheOracle(f *testing.F) {
	f.Add("claims['sub'] matches 'a*?b' and claims['s'] eq 'it''s'", "axb", "it's")
	f.Add("claims['sub'] eq ''", "", "")
	f.Add("claims['sub']] matches '*'", "a", "b")
	f.Fuzz(func(t *testing.T, text, sub, s string) {
		if len(text) > 100 || len(sub) > MaxMatchedClaim || len(s) > MaxMatchedClaim || !utf8.ValidString(sub) || !utf8.ValidString(s) {
			t.Skip("beyond limits that the oracle does not know, or no claim")
		}
		agree(t, text, map[string]string{"sub": sub, "s": s})
	})
}
