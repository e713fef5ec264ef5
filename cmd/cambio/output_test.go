package main

import (
	"strings"
	"testing"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"

	"cambio/internal/trust"
)

// What a server answers must not command the terminal, nor break a table.
func TestOutputIsPlain(t *testing.T) {
	const name = "red\t\x1b[31m\u009b2J\nline"
	raw := jsontext.Value(`{"name":"red\t\u001b[31m","n":12345678901234567890,"s":"010","nil":null}`)
	for form, want := range map[string]string{
		formTable: "NAME                  ID\nred  [31m 2J line  -\n",
		formTSV:   "red  [31m 2J line\t\n",
		formJSON:  "[\n  {\n    \"name\": \"red\\t\\u001b[31m\",\n    \"n\": 12345678901234567890,\n    \"s\": \"010\",\n    \"nil\": null\n  }\n]\n",
		formYAML:  "- name: \"red\\t\\e[31m\"\n  n: 12345678901234567890\n  s: \"010\"\n  nil: null\n",
	} {
		var b strings.Builder
		if err := printList(&b, form, table{head: []string{"NAME", "ID"}, rows: [][]string{{name, ""}}, raw: []jsontext.Value{raw}}); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") || strings.ContainsAny(got, "\x1b\u009b") {
			t.Errorf("%s: %q, want %q", form, got, want)
		}
	}
	var b strings.Builder
	op := &operation{notes: &b}
	op.note("Created %s.", name)
	if b.String() != "Created red  [31m 2J\nline.\n" {
		t.Errorf("note: %q", b.String())
	}
}

func TestEmptyListsAreArrays(t *testing.T) {
	for form, want := range map[string]string{formTable: "NAME\n", formTSV: "", formJSON: "[]\n", formYAML: "[]\n"} {
		var b strings.Builder
		op := &operation{out: &b, form: form}
		if err := op.list(table{head: []string{"NAME"}}); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v", form, b.String(), err)
		}
	}
}

// Documents hide nothing either: what turns text around or cannot be seen is
// an escape, and a program reads the same string.
func TestDocumentsArePlain(t *testing.T) {
	const name = "a\u202eb\u200bc\u009b2Jd\U000e0041\x7f\u0085\u2066\uffff\u2028\u00a0 ü €"
	raw, err := json.Marshal(map[string]string{name: name})
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{formJSON, formYAML} {
		var b strings.Builder
		if err := printOne(&b, form, table{raw: []jsontext.Value{raw}}); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(b.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) || !strings.Contains(b.String(), "ü €") {
			t.Errorf("%s: %q", form, b.String())
		}
		got := map[string]string{}
		read := func() error { return json.Unmarshal([]byte(b.String()), &got) }
		if form == formYAML {
			read = func() error { return yaml.Unmarshal([]byte(b.String()), &got) }
		}
		if err := read(); err != nil || got[name] != name {
			t.Errorf("%s is read as %q, %v\n%s", form, got, err, &b)
		}
	}
}

// So is a trust configuration, which is read back as it was.
func TestTrustConfigurationsArePlain(t *testing.T) {
	const name = "a\u202eb\u200bc\U000e0041 ü"
	d, err := trust.Parse("trust.json", []byte(`{"version": 1, "applications": [{"uniqueName": "shop", "displayName": "`+name+`"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{formJSON, formYAML} {
		var b strings.Builder
		if err := writeTrust(&b, form, d, "https://sts.example.net/schema"); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(b.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("%s: %q", form, b.String())
		}
		again, err := trust.Parse("trust."+form, []byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		if string(again.JSON()) != string(d.JSON()) || !strings.Contains(string(again.JSON()), name) {
			t.Errorf("%s is read as %s", form, again.JSON())
		}
	}
}
