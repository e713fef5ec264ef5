package explain

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Text is the explanation for a person at a terminal: what was decided, what
// was looked at, and each candidate with presented and expected values under
// one another and their difference marked. What a terminal would obey is
// escaped.
func (e *Explanation) Text() string {
	var b strings.Builder
	e.writeHead(&b)
	e.writeFacts(&b)
	for i := range e.Candidates {
		writeCandidate(&b, &e.Candidates[i])
	}
	if more := e.Of - len(e.Candidates); more > 0 && !e.Allowed && len(e.Candidates) > 0 {
		fmt.Fprintf(&b, "\n(The client has %d credentials; the closest are shown.)\n", e.Of)
	}
	if e.Fix != nil {
		fmt.Fprintf(&b, "\nWhat to do: %s\n", visible(e.Fix.Text))
		if e.Fix.Command != "" {
			fmt.Fprintf(&b, "    %s\n", e.Fix.Command)
		}
	}
	return b.String()
}

func (e *Explanation) writeHead(b *strings.Builder) {
	switch {
	case e.Allowed:
		b.WriteString("ALLOWED")
	case e.Class == "":
		fmt.Fprintf(b, "REFUSED  AADSTS%d", e.Code)
	default:
		fmt.Fprintf(b, "REFUSED  AADSTS%d  %s: %s", e.Code, e.Class, e.Class.Title())
	}
	fmt.Fprintf(b, "\n%s\n\n", visible(e.Summary))
}

func (e *Explanation) writeFacts(b *strings.Builder) {
	fact := func(name string, parts ...string) {
		var given []string
		for _, p := range parts {
			if p != "" {
				given = append(given, visible(p))
			}
		}
		if len(given) > 0 {
			fmt.Fprintf(b, "  %-10s %s\n", name, strings.Join(given, ", "))
		}
	}
	if d := e.Decision; d != nil {
		fact("decision", "record "+d.Record, "correlation id "+d.CorrelationID, "trace id "+d.TraceID)
	}
	fact("at", at("", e.Times.Now))
	fact("client", e.Client.describe())
	fact("issuer", e.Issuer.Presented, e.Issuer.describe())
	fact("key", e.Key.describe(), e.Key.Algorithm)
	fact("signature", e.Signature)
	fact("times", at("issued ", e.Times.IssuedAt), at("not before ", e.Times.NotBefore), at("expires ", e.Times.Expires), e.Times.Verdict)
	fact("source", e.Source)
	if d := e.Decision; d != nil && d.Resource != "" {
		fact("resource", d.Resource, strings.Join(d.Roles, " "))
	}
}

func at(what string, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return what + stamp(t)
}

func (c *Client) describe() string {
	if c.Name == "" {
		return c.ID
	}
	return c.Name + " (" + c.ID + ")"
}

func (i *Issuer) describe() string {
	if i.Presented == "" {
		return ""
	}
	text := map[string]string{NotManaged: "keys by discovery", "discover": "managed, keys by discovery", "pin": "keys pinned", "push": "keys pushed", "bundle": "keys from the SPIFFE bundle endpoint"}[i.Keys]
	if !i.KeysAt.IsZero() {
		text += " at " + stamp(i.KeysAt)
	}
	for _, set := range i.Sets {
		text += ", in the set " + set
	}
	return text
}

func (k *Key) describe() string {
	text := k.ID
	if k.State != "" {
		text += " (" + k.State
		if !k.FirstSeen.IsZero() {
			text += ", from " + stamp(k.FirstSeen) + " to " + stamp(k.LastSeen)
		}
		text += ")"
	}
	return text
}

// Columns of a candidate's fields.
const (
	fieldColumn = 10
	labelColumn = 11
)

func writeCandidate(b *strings.Builder, c *Candidate) {
	fmt.Fprintf(b, "\n  credential %s", visible(c.Name))
	if c.State != "" {
		fmt.Fprintf(b, ": %s", c.State)
	}
	b.WriteString("\n")
	width := fieldColumn
	for _, f := range c.Fields {
		width = max(width, utf8.RuneCountInString(f.Name))
	}
	indent := strings.Repeat(" ", 6+width+1)
	for i := range c.Fields {
		f := &c.Fields[i]
		name := fmt.Sprintf("%-*s", width, visible(f.Name))
		if f.Verdict.holds() {
			fmt.Fprintf(b, "    = %s %s\n", name, visible(f.Presented))
			continue
		}
		presented, expected := shown(f)
		from, ends := difference(presented, expected)
		if f.Verdict == Absent {
			presented, from = "(none)", -1
		}
		label := "expected"
		if f.Operator == "matches" {
			label = "pattern"
			from = -1
		}
		fmt.Fprintf(b, "    x %s %-*s%s\n%s", name, labelColumn, "presented", presented, mark(indent, from, ends[0]))
		fmt.Fprintf(b, "%s%-*s%s\n%s", indent, labelColumn, label, expected, mark(indent, from, ends[1]))
		if f.Note != "" {
			fmt.Fprintf(b, "%s%s\n", indent, visible(f.Note))
		}
	}
}

// shown are the two values; where they look alike, escaped.
func shown(f *Field) (presented, expected string) {
	if f.Class == LookAlike {
		return strconv.QuoteToASCII(f.Presented), strconv.QuoteToASCII(f.Expected)
	}
	return visible(f.Presented), visible(f.Expected)
}

// difference is where two values begin to differ, and where in each that ends,
// in characters.
func difference(a, b string) (from int, ends [2]int) {
	x, y := []rune(a), []rune(b)
	for from < len(x) && from < len(y) && x[from] == y[from] {
		from++
	}
	ends = [2]int{len(x), len(y)}
	for ends[0] > from && ends[1] > from && x[ends[0]-1] == y[ends[1]-1] {
		ends[0]--
		ends[1]--
	}
	return from, ends
}

// mark is a line that marks the characters of the value above it; none if from
// is negative.
func mark(indent string, from, end int) string {
	if from < 0 {
		return ""
	}
	return indent + strings.Repeat(" ", labelColumn+from) + strings.Repeat("^", max(1, end-from)) + "\n"
}

// visible escapes what does not show, or would change how the rest shows.
func visible(text string) string {
	if !strings.ContainsFunc(text, unseen) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}
