package oauth

import (
	"fmt"
	"strings"
)

// Markdown renders docs/errors.md from the catalogue.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Errors of the token endpoint\n\nGenerated from the program by `make generate`; do not edit.\n\n" +
		"Every refusal is one row. Clients should look at the number only; texts may change. Each number has a wire script in " +
		"[conformance/scripts](../conformance/scripts), and is the label `code` of the metric `cambio_token_requests_total`. " +
		"The page that `error_uri` names shows the same row.\n\n| AADSTS | `error` | HTTP | Cause | What to do |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %d | `%s` | %d | %s | %s |\n", r.Code, r.Error, r.Status, cell(r.Cause), cell(r.Remedy))
	}
	return b.String()
}

// cell keeps a text from ending its cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }
