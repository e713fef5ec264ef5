package directory

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func claimsOf(claims map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { value, ok := claims[name]; return value, ok }
}

func TestExpressionMatches(t *testing.T) {
	claims := claimsOf(map[string]string{
		"sub": "repo:acme/shop:ref:refs/heads/main", "job_workflow_ref": "acme/ci/.github/workflows/deploy.yml@refs/heads/main",
		"name": "it's Ünï", "star": "a*b?c", "empty": "", "long": strings.Repeat("a", MaxMatchedClaim+1), "longest": strings.Repeat("a", MaxMatchedClaim),
	})
	for text, want := range map[string]bool{
		"claims['sub'] eq 'repo:acme/shop:ref:refs/heads/main'":                         true,
		"claims['sub'] eq 'repo:acme/shop:ref:refs/heads/*'":                            false,
		"claims['sub'] eq 'REPO:acme/shop:ref:refs/heads/main'":                         false,
		"claims['sub'] matches 'repo:acme/*:ref:refs/heads/main'":                       true,
		"claims['sub'] matches 'repo:acme/*:ref:refs/heads/mai'":                        false,
		"claims['sub'] matches 'epo:acme/*'":                                            false,
		"claims['sub'] matches 'repo:acme/sho?:ref:refs/heads/main'":                    true,
		"claims['sub'] matches 'repo:acme/shop?:ref:refs/heads/main'":                   false,
		"claims['sub'] matches '*main'":                                                 true,
		"claims['sub'] matches 'repo:ACME/*'":                                           false,
		"claims['name'] eq 'it''s Ünï'":                                                 true,
		"claims['name'] matches 'it''s ?n?'":                                            true,
		"claims['star'] eq 'a*b?c'":                                                     true,
		"claims['star'] matches 'a?b?c'":                                                true,
		"claims['empty'] matches '*'":                                                   true,
		"claims['empty'] matches '?'":                                                   false,
		"claims['absent'] matches '*'":                                                  false,
		"claims['Sub'] matches '*'":                                                     false,
		"claims['long'] matches 'a*'":                                                   false,
		"claims['longest'] matches 'a*'":                                                true,
		"claims['sub'] matches 'repo:*' and claims['job_workflow_ref'] matches 'acme*'": true,
		"claims['sub'] matches 'repo:*' and claims['job_workflow_ref'] eq 'acme'":       false,
		"claims['sub'] eq 'x' and claims['job_workflow_ref'] matches 'acme*'":           false,
	} {
		e, err := ParseExpression(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := e.Matches(claims); got != want {
			t.Errorf("%s: %v", text, got)
		}
		if e.String() != text {
			t.Errorf("%s became %s", text, e)
		}
	}
}

func TestExpressionRefusals(t *testing.T) {
	const good = "claims['sub'] eq 'a'"
	for _, tt := range []struct {
		name, text, want string
	}{
		{"empty", "", "required"},
		{"too long", good + strings.Repeat(" and "+good, 80), "at most 2000 characters"},
		{"control character", "claims['sub'] eq 'a\tb'", "U+0009"},
		{"not UTF-8", "claims['sub'] eq '\xff'", "UTF-8"},
		{"leading blank", " " + good, "character 1: expected a term"},
		{"trailing blank", good + " ", "character 21: expected ' and '"},
		{"other object", "token['sub'] eq 'a'", "character 1: expected a term"},
		{"upper case", "Claims['sub'] eq 'a'", "character 1: expected a term"},
		{"double quotes", `claims["sub"] eq 'a'`, "character 8: expected the quotation mark (') that opens the name"},
		{"empty name", "claims[''] eq 'a'", "character 9: expected the name of a claim: 1 to 120 characters, not 0"},
		{"open name", "claims['sub", "character 12: expected the quotation mark (') that closes the name"},
		{"name of 121", "claims['" + strings.Repeat("a", 121) + "'] eq 'a'", "character 9: expected the name of a claim: 1 to 120 characters, not 121"},
		{"open bracket", "claims['sub' eq 'a'", "character 13: expected ']'"},
		{"nested claim", "claims['a']['b'] eq 'c'", "character 12: expected ' eq '"},
		{"operator in upper case", "claims['sub'] EQ 'a'", "character 14: expected ' eq ' or ' matches '"},
		{"unknown operator", "claims['sub'] startswith 'a'", "character 14: expected ' eq ' or ' matches '"},
		{"no operator", "claims['sub']", "character 14: expected ' eq ' or ' matches '"},
		{"two blanks before the operator", "claims['sub']  eq 'a'", "character 14: expected ' eq '"},
		{"two blanks after the operator", "claims['sub'] eq  'a'", "character 18: expected the quotation mark (') that opens the comparand"},
		{"unquoted comparand", "claims['sub'] eq a", "character 18: expected the quotation mark (') that opens the comparand"},
		{"open comparand", "claims['sub'] eq 'äb", "character 21: expected the quotation mark (') that closes the comparand"},
		{"empty comparand", "claims['sub'] eq ''", "character 19: expected the comparand: 1 to 600 characters, not 0"},
		{"comparand of 601", "claims['sub'] eq '" + strings.Repeat("ä", 601) + "'", "character 19: expected the comparand: 1 to 600 characters, not 601"},
		{"single quotation mark inside", "claims['sub'] eq 'it's'", "character 22: expected ' and '"},
		{"or", good + " or " + good, "character 21: expected ' and '"},
		{"and in upper case", good + " AND " + good, "character 21: expected ' and '"},
		{"two blanks before and", good + "  and " + good, "character 21: expected ' and '"},
		{"two blanks after and", good + " and  " + good, "character 26: expected a term"},
		{"and at the end", good + " and ", "character 26: expected a term"},
		{"brackets", "(" + good + ")", "character 1: expected a term"},
		{"17 terms", good + strings.Repeat(" and "+good, 16), "character 401: expected the end: an expression may have at most 16 terms"},
	} {
		e, err := ParseExpression(tt.text)
		if err == nil {
			t.Errorf("%s: accepted as %s", tt.name, e)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "claimsMatchingExpression.value") {
			t.Errorf("%s: %q does not hold %q", tt.name, err, tt.want)
		}
	}
	if e, err := ParseExpression(good + strings.Repeat(" and "+good, 15)); err != nil || len(e.terms) != 16 {
		t.Errorf("16 terms: %v", err)
	}
}

// naiveMatch is the definition of the wildcards, by recursion over characters.
func naiveMatch(pattern, value []rune) bool {
	switch {
	case len(pattern) == 0:
		return len(value) == 0
	case pattern[0] == '*':
		return naiveMatch(pattern[1:], value) || len(value) > 0 && naiveMatch(pattern, value[1:])
	}
	return len(value) > 0 && (pattern[0] == '?' || pattern[0] == value[0]) && naiveMatch(pattern[1:], value[1:])
}

// TestWildcards compares the matcher with the definition on every short
// pattern and value of an alphabet with characters of one to three bytes.
func TestWildcards(t *testing.T) {
	patterns, values := words([]rune("a*?é"), 5), words([]rune("aé‐"), 5)
	matched := 0
	for _, p := range patterns {
		w := compileWildcards(p)
		for _, v := range values {
			want := naiveMatch([]rune(p), []rune(v))
			if got := w.match(v); got != want {
				t.Fatalf("%q matches %q: %v", p, v, got)
			}
			if want {
				matched++
			}
		}
	}
	if matched == 0 || matched == len(patterns)*len(values) {
		t.Errorf("%d of %d match", matched, len(patterns)*len(values))
	}
}

// words lists the words of up to n letters.
func words(letters []rune, n int) []string {
	all := []string{""}
	for begin := 0; n > 0; n-- {
		end := len(all)
		for _, w := range all[begin:end] {
			for _, l := range letters {
				all = append(all, w+string(l))
			}
		}
		begin = end
	}
	return all
}

// Long comparands go over the edges of the automaton's words; what is compared
// is too long for the definition, so the answers are known beforehand.
func TestLongWildcards(t *testing.T) {
	repeat := strings.Repeat
	for n := 1; n <= MaxComparand; n++ {
		for _, tt := range []struct {
			pattern, value string
			want           bool
		}{
			{repeat("a", n), repeat("a", n), true},
			{repeat("a", n), repeat("a", n+1), false},
			{repeat("?", n), repeat("é", n), true},
			{repeat("?", n), repeat("é", n-1), false},
			{"*" + repeat("a", n-1), "b" + repeat("a", n+5), true},
			{"*" + repeat("a", n-1) + "b", repeat("a", n+5) + "b", true},
			{"*" + repeat("a", n-1) + "b", repeat("a", n+5), false},
			{repeat("?", n-1) + "*b", repeat("a", n) + "b", true},
			{repeat("?", n) + "*b", repeat("a", n-1) + "b", false},
		} {
			if utf8.RuneCountInString(tt.pattern) > MaxComparand {
				continue
			}
			if got := compileWildcards(tt.pattern).match(tt.value); got != tt.want {
				t.Fatalf("%s matches %s: %v", tt.pattern, tt.value, got)
			}
		}
	}
}

// TestManyCharacters: a comparand may have up to 600 different characters.
func TestManyCharacters(t *testing.T) {
	var many strings.Builder
	for c := rune(0x4e00); c < 0x4e00+590; c++ {
		many.WriteRune(c)
	}
	w := compileWildcards(many.String() + "*abc?xyz")
	if text := many.String(); !w.match(text+"abc-xyz") || !w.match(text+"-abc-xyz") || w.match(text+"abd-xyz") || w.match(text[3:]+"abc-xyz") {
		t.Error("one of 597 characters was taken for another")
	}
}

func FuzzExpression(f *testing.F) {
	for _, seed := range []string{"claims['sub'] eq 'a'", "claims['sub'] matches 'it''s*' and claims['a''b'] eq '?'", "claims['sub'] eq 'a' and ", "claims['", "'''"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseExpression(text)
		if err != nil {
			return
		}
		if e.String() != text {
			t.Fatalf("%q became %q", text, e)
		}
		var rebuilt []string
		for _, term := range e.terms {
			op := opEqual
			if term.wildcards != nil {
				op = opMatches
			}
			double := strings.NewReplacer("'", "''")
			rebuilt = append(rebuilt, "claims['"+double.Replace(term.claim)+"'] "+op+" '"+double.Replace(term.comparand)+"'")
		}
		if strings.Join(rebuilt, " and ") != text {
			t.Fatalf("%q was read as %q", text, rebuilt)
		}
		e.Matches(func(name string) (string, bool) { return text, true })
	})
}

func FuzzWildcards(f *testing.F) {
	f.Add("a*b?c", "aXXbéc")
	f.Add("**é", "éé")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(value) || len(pattern) > 12 || len(value) > 16 {
			return // the definition takes exponential time
		}
		if got := compileWildcards(pattern).match(value); got != naiveMatch([]rune(pattern), []rune(value)) {
			t.Fatalf("%q matches %q: %v", pattern, value, got)
		}
	})
}

func BenchmarkExpression(b *testing.B) {
	e, err := ParseExpression("claims['sub'] matches 'repo:acme/*:ref:refs/heads/main'")
	if err != nil {
		b.Fatal(err)
	}
	claims := func(string) (string, bool) { return "repo:acme/shop:ref:refs/heads/main", true }
	b.ReportAllocs()
	for b.Loop() {
		if !e.Matches(claims) {
			b.Fatal("no match")
		}
	}
}
