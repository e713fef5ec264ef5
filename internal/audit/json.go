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
}

func (o *object) open() { o.dst = append(o.dst, '{') }

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
		o.dst = appendString(o.dst, value)
	}
}

func (o *object) strings(name string, values []string) {
	if len(values) == 0 {
		return
	}
	o.name(name)
	o.dst = append(o.dst, '[')
	for i, v := range values {
		if i > 0 {
			o.dst = append(o.dst, ',')
		}
		o.dst = appendString(o.dst, v)
	}
	o.dst = append(o.dst, ']')
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
func (o *object) value(name string, value []byte) {
	if len(value) == 0 {
		return
	}
	o.name(name)
	if valid(value) {
		// In a valid value a line break can only be white space.
		for _, c := range value {
			if c != '\n' && c != '\r' {
				o.dst = append(o.dst, c)
			}
		}
		return
	}
	o.dst = appendString(o.dst, string(value))
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

// appendString appends s as a JSON string (RFC 8259 §7) of at most MaxString
// bytes of s. What is not UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	cut := len(s) > MaxString
	if cut {
		s = s[:cutAt(s, MaxString)]
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
		// U+2028 and U+2029 end a line for some readers of JSON lines.
		if (r == utf8.RuneError && size == 1) || r == 0x2028 || r == 0x2029 {
			dst = append(dst, s[start:i]...)
			dst = appendUnicode(dst, r)
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	if cut {
		dst = append(dst, "…"...)
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

// cutAt returns the largest n ≤ limit that does not split a character of s.
func cutAt(s string, limit int) int {
	for n := limit; n > limit-utf8.UTFMax; n-- {
		if utf8.RuneStart(s[n]) {
			return n
		}
	}
	return limit
}
