package jose_test

import (
	"errors"
	"strings"
	"testing"

	"cambio/internal/jose"
)

const (
	goodHeader  = `{"alg":"ES256","typ":"JWT","kid":"k1"}`
	goodPayload = `{"iss":"https://idp.example","sub":"s"}`
)

func TestParseCompact(t *testing.T) {
	jws, err := jose.ParseCompact(token(goodHeader, goodPayload, jose.ES256, keys().p256))
	if err != nil {
		t.Fatal(err)
	}
	want := jose.Header{Algorithm: jose.ES256, KeyID: "k1", HasKeyID: true, Type: "JWT"}
	if jws.Header != want || string(jws.Payload) != goodPayload {
		t.Errorf("%+v %s", jws.Header, jws.Payload)
	}
}

// What a token says about its algorithm is read, not judged.
func TestParseCompactKeepsTheHeader(t *testing.T) {
	for header, want := range map[string]jose.Header{
		`{"alg":"none"}`:                            {Algorithm: "none"},
		`{"alg":"HS256","kid":""}`:                  {Algorithm: "HS256", HasKeyID: true},
		`{"alg":"rs256"}`:                           {Algorithm: "rs256"},
		`{"alg":"RS256 ","typ":"at+jwt"}`:           {Algorithm: "RS256 ", Type: "at+jwt"},
		`{"alg":"RS256\u0000"}`:                     {Algorithm: "RS256\x00"},
		`{"a\u006cg":"RS256","\u006bid":"\u006b1"}`: {Algorithm: "RS256", KeyID: "k1", HasKeyID: true},
		" {\n\"alg\" : \"RS256\" }\t":               {Algorithm: "RS256"},
		`{"alg":"RS256","jku":"https://evil.example","jwk":{"kty":"oct"},"x5u":1,"x5c":"x","x5t":[],"cty":"JWT","nonce":"n"}`: {Algorithm: "RS256"},
	} {
		jws, err := jose.ParseCompact(glued(header, "", nil))
		if err != nil || jws.Header != want {
			t.Errorf("%s: %+v, %v", header, jws, err)
			continue
		}
		if jws.Header.Algorithm != "RS256" && jws.Header.Algorithm.Valid() {
			t.Errorf("%q is called valid", jws.Header.Algorithm)
		}
		if jws.Verify(publicKey(t, &keys().rsa.PublicKey, "")) != jose.ErrSignature {
			t.Errorf("%s: verified without a signature", header)
		}
	}
}

func TestParseCompactRefusesTokens(t *testing.T) {
	good := token(goodHeader, goodPayload, jose.ES256, keys().p256)
	part := strings.Split(good, ".")
	h, p, s := part[0], part[1], part[2]
	cases := map[string]struct{ token, part string }{
		"empty":                    {"", "token"},
		"no dot":                   {h, "token"},
		"one dot":                  {h + "." + p, "token"},
		"four parts":               {good + ".x", "token"},
		"five parts":               {strings.Repeat("AAAA.", 4) + "AAAA", "token"},
		"thousands of dots":        {strings.Repeat(".", 12000), "token"},
		"too long":                 {good + strings.Repeat("A", 16<<10), "token"},
		"padded signature":         {good + "==", "signature"},
		"padded header":            {h + "=." + p + "." + s, "header"},
		"padded payload":           {h + "." + p + "=." + s, "payload"},
		"line feed in signature":   {h + "." + p + "." + s[:9] + "\n" + s[9:], "signature"},
		"CR LF in payload":         {h + "." + p[:9] + "\r\n" + p[9:] + "." + s, "payload"},
		"space in header":          {h[:9] + " " + h[9:] + "." + p + "." + s, "header"},
		"line feed after header":   {h + "\n." + p + "." + s, "header"},
		"carriage return at end":   {good + "\r", "signature"},
		"standard alphabet":        {h + "." + p + "." + "+/" + s[2:], "signature"},
		"unused bits":              {h + "." + p + ".AB", "signature"},
		"one letter left over":     {h + "." + p + ".AAAAA", "signature"},
		"not ASCII":                {h + "." + p + ".ÄÄ", "signature"},
		"NUL":                      {h + "." + p + "." + s + "\x00", "signature"},
		"Bearer":                   {"Bearer " + good, "header"},
		"quoted":                   {`"` + good + `"`, "header"},
		"SD-JWT":                   {good + "~", "signature"},
		"JSON serialisation":       {`{"payload":"` + p + `","protected":"` + h + `","signature":"` + s + `"}`, "token"},
		"first letter lost":        {good[1:], "header"},
		"only dots":                {"..", "header"},
		"header without signature": {"a..", "header"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { refusedIn(t, c.token, c.part) })
	}
}

func TestParseCompactRefusesHeaders(t *testing.T) {
	for _, header := range []string{
		"", "hello", "{", `{"alg":"RS256"`, "[]", `"RS256"`, "1", "null", `[{"alg":"RS256"}]`, "{}",
		`{"typ":"JWT"}`, `{"ALG":"RS256"}`, `{"alg":null}`, `{"alg":0}`, `{"alg":true}`, `{"alg":["RS256"]}`, `{"alg":{"a":1}}`,
		`{"alg":"none","alg":"RS256"}`, `{"alg":"RS256","alg":"RS256"}`, `{"alg":"RS256","\u0061lg":"none"}`,
		`{"alg":"RS256","kid":"a","kid":"b"}`, `{"alg":"RS256","x":{"y":1,"y":2}}`,
		`{"alg":"RS256","kid":1}`, `{"alg":"RS256","kid":null}`, `{"alg":"RS256","kid":["k1"]}`, `{"alg":"RS256","kid":{}}`,
		`{"alg":"RS256","typ":1}`, `{"alg":"RS256","typ":null}`,
		`{"alg":"RS256","crit":["b64"]}`, `{"alg":"RS256","crit":[]}`, `{"alg":"RS256","crit":null}`, `{"alg":"RS256","crit":["exp"],"exp":1}`,
		`{"alg":"RS256","b64":false}`, `{"alg":"RS256","b64":true}`, `{"alg":"RS256","zip":"DEF"}`,
		`{"alg":"dir","enc":"A256GCM"}`, `{"alg":"ECDH-ES","epk":{}}`, `{"alg":"PBES2-HS256+A128KW","p2c":2147483647,"p2s":"AA"}`,
		"\ufeff" + `{"alg":"RS256"}`, "{\"alg\":\"RS256\",\"kid\":\"\xff\"}", `{"alg":"RS256","kid":"\ud800"}`,
		`{"alg":"RS256","x":"` + strings.Repeat("a", 4<<10) + `"}`,
		`{"alg":"RS256","x":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`,
		`{"alg":"RS256"}{}`, `{"alg":"RS256",}`,
	} {
		t.Run(header[:min(len(header), 40)], func(t *testing.T) { refusedIn(t, glued(header, "{}", nil), "header") })
	}
}

// refusedIn expects a parse error in one part, with a text that can be shown.
func refusedIn(t *testing.T, compact, part string) {
	t.Helper()
	jws, err := jose.ParseCompact(compact)
	var refused *jose.ParseError
	if !errors.As(err, &refused) || jws != nil {
		t.Fatalf("parsed as %+v, %v", jws, err)
	}
	if refused.Part != part {
		t.Errorf("refused in %s, want %s", refused.Part, part)
	}
	for _, r := range err.Error() {
		if r < 0x20 || r > 0x7e {
			t.Errorf("%q in %q", r, err)
		}
	}
}
