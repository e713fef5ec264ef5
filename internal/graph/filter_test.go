package graph

import (
	"strings"
	"testing"
)

var allForms = append(append(forms{{"name", opEqual}}, applicationFilters...), servicePrincipalFilters...)

func TestParseFilter(t *testing.T) {
	good := map[string]filter{
		"appId eq 'x'":                                 {"appId", opEqual, "x"},
		"  appId   eq   'x'  ":                         {"appId", opEqual, "x"},
		"name eq 'it''s'":                              {"name", opEqual, "it's"},
		"name eq ''":                                   {"name", opEqual, ""},
		"name eq ''''":                                 {"name", opEqual, "'"},
		"startswith(displayName,'de')":                 {"displayName", opStartsWith, "de"},
		"startsWith( displayName , 'de' )":             {"displayName", opStartsWith, "de"},
		"identifierUris/any(x:x eq 'api://a')":         {"identifierUris", opAny, "api://a"},
		"servicePrincipalNames/any(long:long eq 'a)')": {"servicePrincipalNames", opAny, "a)"},
		"name eq ' and subject eq '":                   {"name", opEqual, " and subject eq "},
	}
	for text, want := range good {
		if got, err := parseFilter(text, allForms); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	bad := []string{
		"", " ", "name", "name eq", "name eq x", "name eq 'x", "name eq 'x''", "name ne 'x'", "nameeq 'x'", "name eq'x'",
		"name eq 'x' and name eq 'y'", "name eq 'x')", "not name eq 'x'", "(name eq 'x')", "name eq \"x\"", "unknown eq 'x'", "displayName/any(x:x eq 'a')",
		"identifierUris/any(x:y eq 'a')", "identifierUris/any(:  eq 'a')", "identifierUris/any(x:x eq 'a'", "identifierUris/all(x:x eq 'a')",
		"startswith(displayName 'a')", "startswith(displayName,'a'", "startswith(displayName,'a'))", "startswith('a')", "name eq 'x\xff'",
		"name\teq\t'x'", "name eq '" + strings.Repeat("x", maxFilter) + "'",
	}
	for _, text := range bad {
		if got, err := parseFilter(text, allForms); err == nil {
			t.Errorf("%q accepted as %+v", text, got)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"appId eq 'x'", "startswith(displayName,'de''mo')", "identifierUris/any(x:x eq 'api://a')", "name eq '''", "/any(", "startswith(", "'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseFilter(text, allForms)
		if err != nil {
			return
		}
		// What was understood can be written down and is understood the same.
		literal := "'" + strings.ReplaceAll(got.Value, "'", "''") + "'"
		again := got.Property + " eq " + literal
		switch got.Op {
		case opStartsWith:
			again = "startswith(" + got.Property + "," + literal + ")"
		case opAny:
			again = got.Property + "/any(x:x eq " + literal + ")"
		}
		second, err := parseFilter(again, allForms)
		if len(again) <= maxFilter && (err != nil || second != got) {
			t.Fatalf("%q gave %+v, but %q gives %+v, %v", text, got, again, second, err)
		}
	})
}

func TestParseKey(t *testing.T) {
	for text, want := range map[string][2]string{"appId='x'": {"appId", "x"}, "uniqueName='it''s'": {"uniqueName", "it's"}, "'x'": {"", "x"}} {
		if p, v, ok := parseKey(text); !ok || p != want[0] || v != want[1] {
			t.Errorf("%q: %q %q %v", text, p, v, ok)
		}
	}
	for _, text := range []string{"", "appId", "appId=", "appId=x", "appId=''", "appId='x'y", "appId='x", "='x'", "appId = 'x'", "''", "'x'='y'"} {
		if _, _, ok := parseKey(text); ok {
			t.Errorf("%q accepted", text)
		}
	}
}
