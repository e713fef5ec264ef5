package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// Forms of output.
const (
	formTable = "table"
	formJSON  = "json"
	formYAML  = "yaml"
	formTSV   = "tsv"
)

// outputFlag adds -o to a command.
func outputFlag(cmd *cobra.Command, form *string) {
	cmd.Flags().StringVarP(form, "output", "o", formTable, "`FORM` of the output: table, json (what the API answers), yaml, or tsv (the table, for scripts)")
	// The flag is there.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{formTable, formJSON, formYAML, formTSV}, cobra.ShellCompDirectiveNoFileComp))
}

func checkForm(form string) error {
	if !slices.Contains([]string{formTable, formJSON, formYAML, formTSV}, form) {
		return usageError{fmt.Errorf("--output %q must be table, json, yaml or tsv", form)}
	}
	return nil
}

// table is what a person or a script reads of objects; raw are the objects as
// the API showed them.
type table struct {
	head []string
	rows [][]string
	raw  []jsontext.Value
}

// printList prints any number of objects: a table, or an array.
func printList(out io.Writer, form string, t table) error {
	if form == formJSON || form == formYAML {
		array, err := json.Marshal(t.raw)
		if err != nil {
			return err
		}
		return printDocument(out, form, array)
	}
	return printRows(out, form, t)
}

// printOne prints one object: the table has a line for each property.
func printOne(out io.Writer, form string, t table) error {
	if form == formJSON || form == formYAML {
		return printDocument(out, form, t.raw[0])
	}
	if form == formTSV {
		return printRows(out, form, t)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for i, name := range t.head {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", name, cell(t.rows[0][i]))
	}
	return w.Flush()
}

func printRows(out io.Writer, form string, t table) error {
	if form == formTSV {
		var b strings.Builder
		for _, row := range t.rows {
			for i := range row {
				row[i] = tsvCell(row[i])
			}
			b.WriteString(strings.Join(row, "\t") + "\n")
		}
		_, err := io.WriteString(out, b.String())
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, strings.Join(t.head, "\t"))
	for _, row := range t.rows {
		for i := range row {
			row[i] = cell(row[i])
		}
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// cell is a value in a table: one line, without what a terminal would obey,
// and never empty, so that columns can be told apart.
func cell(s string) string {
	if s = tsvCell(s); s == "" {
		return "-"
	}
	return s
}

// tsvCell keeps tabs, line breaks and other control characters out.
func tsvCell(s string) string { return strings.ReplaceAll(plain(s), "\n", " ") }

// plain keeps control characters but line breaks, and those that change the
// direction of text, from reaching a terminal: names come from whoever could
// create an object.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			return ' '
		}
		return r
	}, s)
}

// printDocument prints JSON, indented, or as YAML. What a terminal would obey,
// or a reader would not see, is escaped in both: the document says the same.
func printDocument(out io.Writer, form string, raw jsontext.Value) error {
	raw = raw.Clone() // Format writes into what it reads
	// Strings are written anew: the server escapes some characters for HTML.
	if err := raw.Format(jsontext.WithIndent("  "), jsontext.PreserveRawStrings(false), jsontext.EscapeForHTML(false)); err != nil {
		return err
	}
	if form == formJSON {
		_, err := fmt.Fprintf(out, "%s\n", escaped(string(raw), jsonEscape))
		return err
	}
	var node yaml.Node // JSON is YAML; a node keeps the order of members
	if err := yaml.Unmarshal([]byte(escaped(string(raw), yamlEscape)), &node); err != nil {
		return err
	}
	block(&node)
	var text strings.Builder
	enc := yaml.NewEncoder(&text)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&node), enc.Close()); err != nil {
		return err
	}
	_, err := io.WriteString(out, escaped(text.String(), yamlEscape))
	return err
}

func isUnprintable(r rune) bool { return !unicode.IsPrint(r) }

// escaped writes unprintable characters as escapes. They stand within strings
// with double quotation marks; the line breaks between those stay.
func escaped(document string, escape func(rune) string) string {
	var b strings.Builder
	for _, r := range document {
		if r != '\n' && isUnprintable(r) {
			b.WriteString(escape(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// jsonEscape is RFC 8259 §7.
func jsonEscape(r rune) string {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// yamlEscape is YAML 1.2 §5.7.
func yamlEscape(r rune) string { return fmt.Sprintf(`\U%08X`, r) }

// plainRequests writes the requests of a dry run, whose bodies are JSON.
type plainRequests struct{ io.Writer }

func (w plainRequests) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.Writer, escaped(string(p), jsonEscape)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// block turns JSON's style into that of a YAML document; strings stay quoted
// where they would become something else without quotation marks.
func block(n *yaml.Node) {
	n.Style = 0
	if strings.ContainsFunc(n.Value, isUnprintable) {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, child := range n.Content {
		block(child)
	}
}
