package trust

import (
	"fmt"
	"strings"
)

// Position is a place in a document, counted from 1. The zero value is none.
type Position struct {
	File         string
	Line, Column int // Column is 0 where the YAML library does not tell it
}

func (p Position) String() string {
	text := p.File
	for _, n := range []int{p.Line, p.Column} {
		if n == 0 {
			break
		}
		if text != "" {
			text += ":"
		}
		text += fmt.Sprint(n)
	}
	return text
}

// Problem is one mistake in a document. Message says what was wrong and what
// to do; it can be shown to whoever sent the document.
type Problem struct {
	At      Position
	Path    string // as in applications[2].displayName
	Message string
}

func (p Problem) String() string {
	text := p.At.String()
	for _, part := range []string{p.Path, p.Message} {
		if part == "" {
			continue
		}
		if text != "" {
			text += ": "
		}
		text += part
	}
	return text
}

// MaxProblems is how many mistakes are reported at a time.
const MaxProblems = 20

// Problems are the mistakes of a document, the first MaxProblems of them.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

func (p *Problems) add(at Position, path, format string, args ...any) {
	if len(*p) < MaxProblems {
		*p = append(*p, Problem{at, path, fmt.Sprintf(format, args...)})
	}
}

// err is nil without mistakes: an empty list in an error would be one.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}
