package explain

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Accepted is the stored form of a decision that issued a token: what is kept
// of the claims, the token's times, and how its issuer was resolved if that is
// not by discovery. Restore knows the rest. Every issued token pays for it, so
// values that are strings go from the token to the record as they stand.
func Accepted(in *Input) []byte {
	b := append(make([]byte, 0, 640), `{"allowed":true`...)
	if issuer := issuerOf(in); issuer.Keys != NotManaged || len(issuer.Sets) > 0 {
		issuer.Presented = ""
		if raw, err := json.Marshal(issuer); err == nil {
			b = append(append(b, `,"issuer":`...), raw...)
		}
	}
	separator := `,"times":{`
	for _, name := range [...]string{"iat", "nbf", "exp"} {
		if at := in.Token.time(name); !at.IsZero() {
			b = append(append(append(b, separator...), '"'), name...)
			b = append(at.AppendFormat(append(b, `":"`...), time.RFC3339), '"')
			separator = ","
		}
	}
	return append(appendClaims(closeObject(b, separator), in), '}')
}

// appendClaims appends the member "claims" with what keep returns.
func appendClaims(b []byte, in *Input) []byte {
	separator := `,"claims":{`
	size, kept := 0, 0
	for _, name := range keptNames(in) {
		raw, present := in.Token.Claims.Raw(name)
		if !present {
			continue
		}
		before := len(b)
		b = append(b, separator...)
		b, _ = jsontext.AppendQuote(b, name) // what is not UTF-8 is replaced
		b = append(b, ':')
		if raw[0] == '"' && len(raw) <= maxClaim && !in.hashes(name) {
			b = append(b, raw...)
		} else {
			b, _ = jsontext.AppendQuote(b, in.kept(name))
		}
		if kept, size = kept+1, size+len(b)-before; kept > maxClaims || size > maxTokenAll {
			return closeObject(b[:before], separator)
		}
		separator = ","
	}
	return closeObject(b, separator)
}

// closeObject ends an object whose members were separated by that, if there
// were any.
func closeObject(b []byte, separator string) []byte {
	if separator == "," {
		b = append(b, '}')
	}
	return b
}
