package audit

import (
	"strconv"
	"time"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// object appends the members of one JSON object. It is written by hand
// because a record is made for every token request: reflection would cost
// more than the row's INSERT. Empty members are left out.
type object struct {
	dst   []byte
	comma bool
	end   int // what len(dst) may reach
}

func (o *object) open() {
	o.end = len(o.dst) + MaxRecord - structure
	o.dst = append(o.dst, '{')
}

// structure is room for what is not a string: names, punctuation, times,
// numbers and the hash, some 600 bytes in all.
const structure = 1024

// room is how many bytes the next string may take.
func (o *object) room() int { return max(0, min(MaxString, o.end-len(o.dst))) }

func (o *object) close() []byte { return append(o.dst, '}') }

func (o *object) name(name string) {
	if o.comma {
		o.dst = append(o.dst, ',')
	}
	o.comma = true
	o.dst = append(o.dst, '"')
	o.dst = append(o.dst, name...)
	o.dst = append(o.dst, '"', ':')
}

func (o *object) string(name, value string) {
	if value != "" {
		o.name(name)
		o.dst = appendString(o.dst, value, o.room())
	}
}

// strings appends the first most values, as far as MaxList bytes go, and how
// many there were as the member count when that is not all.
func (o *object) strings(name, count string, values []string, most int) {
	if len(values) == 0 {
		return
	}
	o.name(name)
	o.dst = append(o.dst, '[')
	end := len(o.dst) + MaxList
	kept := 0
	for _, v := range values[:min(most, len(values))] {
		if kept > 0 && len(o.dst) >= end {
			break
		}
		if kept > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = appendString(o.dst, v, o.room())
		kept++
	}
	o.dst = append(o.dst, ']')
	if kept < len(values) {
		o.int(count, len(values))
	}
}

func (o *object) int(name string, value int) {
	if value != 0 {
		o.name(name)
		o.dst = strconv.AppendInt(o.dst, int64(value), 10)
	}
}

// time appends UTC with microseconds, always 27 characters, so that records
// sort as text.
func (o *object) time(name string, value time.Time) {
	if value.IsZero() {
		return
	}
	o.name(name)
	o.dst = append(o.dst, '"')
	o.dst = appendTime(o.dst, value.UTC())
	o.dst = append(o.dst, '"')
}

func (o *object) hash(name string, value *[32]byte) {
	o.name(name)
	o.dst = append(o.dst, '"')
	for _, b := range value {
		o.dst = append(o.dst, hexDigits[b>>4], hexDigits[b&15])
	}
	o.dst = append(o.dst, '"')
}

// value appends a JSON value made elsewhere in this program. One that is not
// valid is kept as a string: a bug there must not make the trail unreadable.
// So is one that is too long, cut like any other.
func (o *object) value(name string, value []byte) {
	if len(value) == 0 {
		return
	}
	o.name(name)
	if len(value) <= o.end-len(o.dst) && valid(value) {
		// In a valid value a line break can only be white space.
		for _, c := range value {
			if c != '\n' && c != '\r' {
				o.dst = append(o.dst, c)
			}
		}
		return
	}
	o.dst = appendString(o.dst, string(value[:min(len(value), MaxRecord)]), o.room())
}

// appendTime appends t, which is in UTC, as 2006-01-02T15:04:05.000000Z.
// time.AppendFormat takes five times as long.
func appendTime(dst []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendDigits(dst, year, 4)
	dst = append(dst, '-')
	dst = appendDigits(dst, int(month), 2)
	dst = append(dst, '-')
	dst = appendDigits(dst, day, 2)
	dst = append(dst, 'T')
	dst = appendDigits(dst, hour, 2)
	dst = append(dst, ':')
	dst = appendDigits(dst, minute, 2)
	dst = append(dst, ':')
	dst = appendDigits(dst, second, 2)
	dst = append(dst, '.')
	dst = appendDigits(dst, t.Nanosecond()/1000, 6)
	return append(dst, 'Z')
}

// appendDigits appends the last n decimal digits of v.
func appendDigits(dst []byte, v, n int) []byte {
	var b [6]byte
	for i := n - 1; i >= 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return append(dst, b[:n]...)
}

// ellipsis ends a string that was cut.
const ellipsis = "…"

// appendString appends s as a JSON string (RFC 8259 §7) whose content takes
// at most limit bytes as it is written, or an ellipsis. What is not UTF-8
// becomes U+FFFD.
func appendString(dst []byte, s string, limit int) []byte {
	cut := false
	if len(s)*longestEscape > limit {
		n := fit(s, limit)
		if cut = n < len(s); cut {
			s = s[:fit(s, limit-len(ellipsis))]
		}
	}
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < 0x7f {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if escaped(r, size) {
			dst = append(dst, s[start:i]...)
			dst = appendUnicode(dst, r)
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	if cut {
		dst = append(dst, ellipsis...)
	}
	return append(dst, '"')
}

// appendEscape appends an ASCII character that cannot stand for itself.
func appendEscape(dst []byte, c byte) []byte {
	if c == '"' || c == '\\' {
		return append(dst, '\\', c)
	}
	return appendUnicode(dst, rune(c))
}

func appendUnicode(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// longestEscape is the most bytes that one byte of a string can become:
// a control character becomes \u001f.
const longestEscape = 6

// fit returns how many bytes of s take at most limit bytes as they are
// written. It does not split a character.
func fit(s string, limit int) int {
	written := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			written += 2
		case escaped(r, size):
			written += longestEscape
		default:
			written += size
		}
		if written > limit {
			return i
		}
		i += size
	}
	return len(s)
}

// escaped reports whether a character, decoded from size bytes, is written as
// \u…: control characters, what is not UTF-8, and U+2028 and U+2029, which end
// a line for some readers of JSON lines.
func escaped(r rune, size int) bool {
	return r < 0x20 || r == 0x7f || r == utf8.RuneError && size == 1 || r == 0x2028 || r == 0x2029
}
