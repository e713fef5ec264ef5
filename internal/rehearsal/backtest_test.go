package rehearsal

import (
	"fmt"
	"testing"
	"time"

	"cambio/internal/directory"
	"cambio/internal/trust"
)

const (
	shopID = "6731de76-14a6-49ae-97bc-6eba6914391e"
	idp    = "https://idp.example.net"
)

func clientsOf(t *testing.T, credentials string) []trust.Client {
	t.Helper()
	d, err := trust.Parse("test", []byte("version: 1\napplications:\n- {uniqueName: shop, appId: "+shopID+", displayName: Shop, servicePrincipal: {}, federatedIdentityCredentials: ["+credentials+"]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	clients, err := d.Clients(directory.Relaxed)
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

const audience = `audiences: ["api://AzureADTokenExchange"]`

func exact(issuer, subject string) string {
	return `{name: exact, issuer: "` + issuer + `", subject: "` + subject + `", ` + audience + `}`
}

func flexible(expression string) string {
	return `{name: flexible, issuer: "` + idp + `", claimsMatchingExpression: {value: "` + expression + `"}, ` + audience + `}`
}

// record is one of the audit trail.
func record(outcome string, code int, subject, explanation string) []byte {
	return fmt.Appendf(nil, `{"id":7,"at":"2026-11-27T12:00:00Z","kind":"exchange","hash":"","detail":{"outcome":%q,"code":%d,"clientId":%q,"correlationId":"c","credentialName":"old","issuer":%q,"subject":%q,"audiences":["api://AzureADTokenExchange"],"explanation":{%s}}}`,
		outcome, code, shopID, idp, subject, explanation)
}

func TestBacktest(t *testing.T) {
	const allowed, refused = "allowed", "refused"
	for name, c := range map[string]struct {
		record                                  []byte
		today, changed                          string
		replayed, other, undecided, differences int
		would                                   string
		already                                 bool
	}{
		"kept":                {record: record(allowed, 0, "a", ""), today: exact(idp, "a"), changed: exact(idp, "a"), replayed: 1},
		"narrowed":            {record: record(allowed, 0, "a", ""), today: exact(idp, "a"), changed: exact(idp, "b"), replayed: 1, differences: 1, would: "refused: AADSTS700213"},
		"emptied":             {record: record(allowed, 0, "a", ""), today: exact(idp, "a"), changed: "", replayed: 1, differences: 1, would: "refused: AADSTS70025"},
		"another issuer":      {record: record(allowed, 0, "a", ""), today: exact(idp, "a"), changed: exact("https://else.example.net", "a"), replayed: 1, differences: 1, would: "refused: AADSTS700211"},
		"widened":             {record: record(refused, 700213, "b", ""), today: exact(idp, "a"), changed: flexible("claims['sub'] matches '*b'"), replayed: 1, differences: 1, would: "allowed by flexible"},
		"refused as ever":     {record: record(refused, 700213, "c", ""), today: exact(idp, "a"), changed: exact(idp, "b"), replayed: 1},
		"so already":          {record: record(allowed, 0, "a", ""), today: exact(idp, "b"), changed: exact(idp, "b"), replayed: 1, differences: 1, would: "refused: AADSTS700213", already: true},
		"expired":             {record: record(refused, 700024, "a", ""), today: exact(idp, "a"), changed: exact(idp, "b"), other: 1},
		"claim is recorded":   {record: record(allowed, 0, "a", `"claims":{"ref":"main"}`), today: exact(idp, "a"), changed: flexible("claims['sub'] eq 'a' and claims['ref'] eq 'main'"), replayed: 1},
		"claim differs":       {record: record(allowed, 0, "a", `"claims":{"ref":"dev"}`), today: exact(idp, "a"), changed: flexible("claims['sub'] eq 'a' and claims['ref'] eq 'main'"), replayed: 1, differences: 1, would: "refused: AADSTS700213"},
		"claim is not there":  {record: record(allowed, 0, "a", ""), today: exact(idp, "a"), changed: flexible("claims['sub'] eq 'a' and claims['ref'] eq 'main'"), undecided: 1},
		"claim is hashed":     {record: record(allowed, 0, "a", `"claims":{"ref":"sha256:abc"}`), today: exact(idp, "a"), changed: flexible("claims['sub'] eq 'a' and claims['ref'] eq 'main'"), undecided: 1},
		"claim was cut":       {record: record(allowed, 0, "a", `"claims":{"ref":"main…"}`), today: exact(idp, "a"), changed: flexible("claims['sub'] eq 'a' and claims['ref'] matches 'main*'"), undecided: 1},
		"subject was cut":     {record: record(allowed, 0, "aaaa…", ""), today: exact(idp, "a"), changed: flexible("claims['sub'] matches '*a?'"), undecided: 1},
		"issuer is in a set":  {record: record(allowed, 0, "a", `"issuer":{"sets":["clusters"]}`), today: exact(idp, "a"), changed: exact("urn:cambio:issuer-set:clusters", "a"), replayed: 1},
		"issuer left the set": {record: record(allowed, 0, "a", ""), today: exact(idp, "a"), changed: exact("urn:cambio:issuer-set:clusters", "a"), replayed: 1, differences: 1, would: "refused: AADSTS700211"},
	} {
		b := NewBacktest(clientsOf(t, c.today), clientsOf(t, c.changed))
		if err := b.Replay(c.record, time.Time{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if b.Replayed != c.replayed || b.Other != c.other || b.Undecided != c.undecided || len(b.Differences) != c.differences {
			t.Errorf("%s: %+v", name, b)
			continue
		}
		if c.differences == 0 {
			continue
		}
		d := b.Differences[0]
		if got := d.Would.String(); len(got) < len(c.would) || got[:len(c.would)] != c.would || d.AlreadyToday != c.already || d.Client != "shop" || d.Record != 7 {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestBacktestPassesOver(t *testing.T) {
	b := NewBacktest(clientsOf(t, exact(idp, "a")), clientsOf(t, exact(idp, "b")))
	for _, line := range []string{`{"id":1,"at":"2026-11-27T12:00:00Z","kind":"change","detail":{"action":"x"}}`, string(record("allowed", 0, "a", ""))} {
		if err := b.Replay([]byte(line), time.Date(2026, 11, 27, 13, 0, 0, 0, time.UTC)); err != nil {
			t.Error(err)
		}
	}
	if b.Replayed+b.Other+b.Undecided+b.Unknown != 0 {
		t.Errorf("%+v", b)
	}
	nobody := NewBacktest(nil, nil)
	if err := nobody.Replay(record("allowed", 0, "a", ""), time.Time{}); err != nil || nobody.Unknown != 1 {
		t.Errorf("%+v, %v", nobody, err)
	}
	if err := b.Replay([]byte("version: 1"), time.Time{}); err == nil {
		t.Error("a line that is no record was taken")
	}
}
