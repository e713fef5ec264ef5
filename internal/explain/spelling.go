package explain

import (
	"net/url"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// spelling is the class of two values that mean the same and are written
// otherwise; "" if they do not. The values are not equal.
func spelling(expected, presented string) Class {
	switch {
	case strings.EqualFold(expected, presented):
		return CaseOnly
	case sameURL(expected, presented):
		return IssuerSpelling
	case cleaned(expected) == cleaned(presented):
		return LookAlike
	}
	return ""
}

// sameURL reports whether two URLs are equal but for their scheme, a default
// port, slashes at the end and doubled ones.
func sameURL(a, b string) bool {
	a, ok1 := bareURL(a)
	b, ok2 := bareURL(b)
	return ok1 && ok2 && strings.EqualFold(a, b)
}

func bareURL(text string) (string, bool) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "", text // written without one
	}
	host, path, _ := strings.Cut(rest, "/")
	switch scheme {
	case "https", "":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(strings.TrimSuffix(host, ":80"), ":443")
	default:
		// Others, such as api://, are names: only their slashes are spelling.
		host = scheme + "://" + host
	}
	if host == "" || !found && !strings.Contains(host, ".") {
		return "", false
	}
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return host + "/" + strings.Trim(path, "/"), true
}

// cleaned brings a value to the form in which look-alikes are equal: without
// white space and invisible characters around and within it, unescaped, NFKC,
// and in Latin letters.
func cleaned(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		text = plain
	}
	text = norm.NFKC.String(text)
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		if latin, known := lookalikes[r]; known {
			return latin
		}
		return r
	}, text)
}

// lookalikes maps letters and signs to the ASCII ones that they are mistaken
// for: those of Cyrillic and Greek, and dashes.
var lookalikes = map[rune]rune{
	'а': 'a', 'е': 'e', 'о': 'o', 'р': 'p', 'с': 'c', 'у': 'y', 'х': 'x', 'і': 'i', 'ј': 'j', 'ѕ': 's', 'һ': 'h', 'ԁ': 'd', 'ԛ': 'q', 'ԝ': 'w', 'ɡ': 'g', 'ı': 'i', 'ӏ': 'l',
	'А': 'A', 'В': 'B', 'Е': 'E', 'К': 'K', 'М': 'M', 'Н': 'H', 'О': 'O', 'Р': 'P', 'С': 'C', 'Т': 'T', 'Х': 'X', 'І': 'I', 'Ј': 'J', 'Ѕ': 'S',
	'α': 'a', 'ο': 'o', 'ν': 'v', 'ρ': 'p', 'ι': 'i', 'κ': 'k', 'Α': 'A', 'Β': 'B', 'Ε': 'E', 'Ζ': 'Z', 'Η': 'H', 'Ι': 'I', 'Κ': 'K', 'Μ': 'M', 'Ν': 'N', 'Ο': 'O', 'Ρ': 'P', 'Τ': 'T', 'Υ': 'Y', 'Χ': 'X',
	'‐': '-', '‑': '-', '‒': '-', '–': '-', '—': '-', '−': '-', '∶': ':', '꞉': ':', '∕': '/', '⁄': '/',
}
