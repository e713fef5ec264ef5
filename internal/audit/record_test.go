package audit

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

func full() *Decision {
	return &Decision{
		At: time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("x", 3600)), TenantID: "t", ClientID: "c", CorrelationID: "co",
		TraceID: "tr", Allowed: true, CredentialID: "id", CredentialName: "n", Issuer: "https://issuer.example", Subject: "s",
		Audiences: []string{"a", "b"}, KeyID: "k", Algorithm: "RS256", AssertionHash: [32]byte{0xab, 1}, Resource: "api://r",
		Roles: []string{"Orders.Read"}, TokenID: "uti", TokenKeyID: "tk", ExpiresAt: time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC),
		Source: "192.0.2.7", Explanation: []byte("{\"x\":\n 1}"),
	}
}

func TestDecision(t *testing.T) {
	want := `{"at":"2026-01-02T02:04:05.678901Z","outcome":"allowed","tenantId":"t","clientId":"c","correlationId":"co","traceId":"tr",` +
		`"credentialId":"id","credentialName":"n","issuer":"https://issuer.example","subject":"s","audiences":["a","b"],"keyId":"k",` +
		`"algorithm":"RS256","assertionHash":"ab01` + strings.Repeat("0", 60) + `","resource":"api://r","roles":["Orders.Read"],` +
		`"tokenId":"uti","tokenKeyId":"tk","expiresAt":"2026-01-02T04:00:00.000000Z","source":"192.0.2.7","explanation":{"x": 1}}`
	if got := string(full().AppendJSON(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := string((&Decision{Code: 7000213}).AppendJSON([]byte("x"))); got != `x{"outcome":"refused","code":7000213}` {
		t.Error(got)
	}
	buffer := make([]byte, 0, 4096)
	d := full()
	d.Explanation = nil
	if allocs := testing.AllocsPerRun(100, func() { buffer = d.AppendJSON(buffer[:0]) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestChange(t *testing.T) {
	c := Change{At: time.Unix(0, 0), TenantID: "t", PrincipalID: "p", ClientID: "c", Via: "graph", CorrelationID: "co", Action: "application.create", Target: "id"}
	want := `{"at":"1970-01-01T00:00:00.000000Z","action":"application.create","target":"id","tenantId":"t","principalId":"p","clientId":"c","via":"graph","correlationId":"co"}`
	if got := string(c.AppendJSON(nil)); got != want {
		t.Error(got)
	}
}

func TestExplanationIsKeptWhole(t *testing.T) {
	for explanation, want := range map[string]string{
		`{"a":"\n"}`:    `{"outcome":"refused","explanation":{"a":"\n"}}`,
		`{"a":1},"x":2`: `{"outcome":"refused","explanation":"{\"a\":1},\"x\":2"}`,
		"not json\n":    `{"outcome":"refused","explanation":"not json\u000a"}`,
	} {
		if got := string((&Decision{Explanation: []byte(explanation)}).AppendJSON(nil)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Whatever a caller presents, a row of the trail stays small and readable:
// or those who may only be refused could fill the disk, and with it keep
// everybody else from getting tokens.
func TestRecordIsBounded(t *testing.T) {
	for _, unit := range []string{"\x00", "\"", "\\", "x", "\xff", "€", "𝄞", "\u2028"} {
		s := strings.Repeat(unit, 200_000/len(unit))
		list := make([]string, 1000)
		for i := range list {
			list[i] = s
		}
		d := Decision{At: time.Now(), TenantID: s, ClientID: s, CorrelationID: s, TraceID: s, Code: 1 << 62, CredentialID: s,
			CredentialName: s, Issuer: s, Subject: s, Audiences: list, KeyID: s, Algorithm: s, AssertionHash: [32]byte{1},
			Resource: s, Roles: list, TokenID: s, TokenKeyID: s, ExpiresAt: time.Now(), Source: s, Explanation: []byte(`"` + s + `"`)}
		record := d.AppendJSON([]byte("before"))[len("before"):]
		if len(record) > MaxRecord || !jsontext.Value(record).IsValid() {
			t.Errorf("%q: %d bytes, valid %v", unit, len(record), jsontext.Value(record).IsValid())
		}
		if !bytes.Contains(record, []byte(`"audienceCount":1000`)) || !bytes.Contains(record, []byte(`"roleCount":1000`)) {
			t.Errorf("%q: the record does not say how many values there were", unit)
		}
		// What the server itself knows of a refused caller is not crowded out.
		d = Decision{ClientID: s, CorrelationID: s, Issuer: s, Subject: s, Audiences: list, KeyID: s, Algorithm: s, Resource: s, Source: "192.0.2.7"}
		if record := d.AppendJSON(nil); !bytes.Contains(record, []byte(`"source":"192.0.2.7"`)) {
			t.Errorf("%q: the caller's address is missing", unit)
		}
		c := Change{TenantID: s, PrincipalID: s, ClientID: s, Via: s, CorrelationID: s, Action: s, Target: s}
		if record := c.AppendJSON(nil); len(record) > MaxRecord || !jsontext.Value(record).IsValid() {
			t.Errorf("%q: a change of %d bytes", unit, len(record))
		}
	}
}

func TestListsAreCounted(t *testing.T) {
	d := Decision{Audiences: strings.Split("a b c d e f g h", " "), Roles: strings.Split(strings.Repeat("r ", 17)+"r", " ")}
	want := `{"outcome":"refused","audiences":["a","b","c","d","e","f","g","h"],"roles":["r"` + strings.Repeat(`,"r"`, 15) + `],"roleCount":18}`
	if got := string(d.AppendJSON(nil)); got != want {
		t.Error(got)
	}
	// Control characters count as what they are written as.
	d = Decision{Subject: strings.Repeat("\n", 171)}
	if got := string(d.AppendJSON(nil)); got != `{"outcome":"refused","subject":"`+strings.Repeat(`\u000a`, 170)+`…"}` {
		t.Error(got)
	}
}

// FuzzDecision feeds strings as callers may present them: a record is always
// one line holding one JSON object without repeated names, and what is valid
// and short comes back as it was.
func FuzzDecision(f *testing.F) {
	for _, s := range []string{"", "plain", "a\"b\\c", "line\nbreak\r\x00\x1f\x7f", "\xff\xfe", "\xed\xa0\x80", "\u2028\u2029", "€𝄞", strings.Repeat("ü", MaxString), strings.Repeat("x", MaxString) + "€"} {
		f.Add(s, []byte(s))
	}
	f.Fuzz(func(t *testing.T, s string, explanation []byte) {
		d := Decision{Subject: s, Audiences: []string{s}, Explanation: explanation}
		record := d.AppendJSON(nil)
		if !jsontext.Value(record).IsValid() || bytes.ContainsAny(record, "\n\r\u2028\u2029") && !jsontext.Value(explanation).IsValid() {
			t.Fatalf("not one line of JSON: %q", record)
		}
		var back struct {
			Subject   string
			Audiences []string
		}
		if err := json.Unmarshal(record, &back, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatal(err)
		}
		want := strings.ToValidUTF8(strings.Map(func(r rune) rune { return r }, s), "\ufffd")
		if len(s) <= MaxString/longestEscape && s != "" && (back.Subject != want || back.Audiences[0] != want) {
			t.Fatalf("%q came back as %q", s, back.Subject)
		}
		if len(back.Subject) > MaxString || len(record) > MaxRecord {
			t.Fatalf("%d bytes of the string were kept, %d in all", len(back.Subject), len(record))
		}
	})
}

func BenchmarkDecision(b *testing.B) {
	buffer, d := make([]byte, 0, 4096), full()
	d.Explanation = nil
	b.ReportAllocs()
	for b.Loop() {
		buffer = d.AppendJSON(buffer[:0])
	}
}
