package store

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// forPostgres translates a statement of this package. All are written in what
// SQLite and PostgreSQL share, but for two things: parameters, which are ?, or
// ?N for the N-th, as SQLite counts them (https://www.sqlite.org/lang_expr.html
// §3), and json_each(?N), the elements of a JSON list of strings.
func forPostgres(query string) string {
	var b strings.Builder
	most, elements := 0, false
	for i := 0; i < len(query); {
		switch c := query[i]; {
		case c == '\'':
			end := i + 1 + strings.IndexByte(query[i+1:], '\'') + 1
			b.WriteString(query[i:end])
			i = end
		case c == '?':
			i++
			digits := i
			for i < len(query) && query[i] >= '0' && query[i] <= '9' {
				i++
			}
			n, err := strconv.Atoi(query[digits:i])
			if err != nil {
				n = most + 1
			}
			most = max(most, n)
			b.WriteString("$" + strconv.Itoa(n))
			if elements {
				b.WriteString("::json")
				elements = false
			}
		case strings.HasPrefix(query[i:], jsonEach):
			b.WriteString("json_array_elements_text(")
			elements = true
			i += len(jsonEach)
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}

const jsonEach = "json_each("

// storable replaces what PostgreSQL does not take as text, where SQLite finds
// nothing: U+0000 and what is not UTF-8. The control character in its place is
// in no text that the rules of package directory let through, so that what is
// looked for is not there either.
func storable(args []any) []any {
	for i, arg := range args {
		text, ok := arg.(string)
		if ok && (strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text)) {
			args[i] = strings.ReplaceAll(strings.ToValidUTF8(text, "\x01"), "\x00", "\x01")
		}
	}
	return args
}
