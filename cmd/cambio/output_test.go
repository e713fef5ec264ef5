package main

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
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
