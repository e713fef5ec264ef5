package token

import (
	"testing"
	"time"

	"cambio/internal/directory"
	"cambio/internal/oauth"
)

// bounded makes the world's credential one with ceilings.
func (w *world) bounded(t *testing.T, c directory.Ceilings) {
	t.Helper()
	credential := w.client.Credentials[0]
	compiled, err := c.Compile()
	if err != nil {
		t.Fatal(err)
	}
	credential.Ceilings = compiled
	w.client = newClient(credential)
}

// A shared token is that of a credential with the ceilings that it has now,
// and what is asked at each exchange is asked before it is handed out.
func TestSharedTokensKeepToCeilings(t *testing.T) {
	w := newWorld(t)
	w.Endpoint.shared = newShared(30 * time.Second)
	ask := func() map[string]any {
		t.Helper()
		_, answer := w.send(t, V2, tenantID, w.form().Encode())
		if code(answer) != 0 {
			t.Fatal(answer)
		}
		return payload(t, answer)
	}
	if first := ask(); first["roles"] == nil {
		t.Fatal("it has no roles to bound")
	}
	lifetime := func(claims map[string]any) float64 { return claims["exp"].(float64) - claims["iat"].(float64) }
	first := ask()
	w.bounded(t, directory.Ceilings{MaxLifetime: 120})
	short := ask()
	if short["uti"] == first["uti"] || lifetime(short) != 120 || lifetime(first) <= 120 {
		t.Errorf("%v after %v", short, first)
	}
	if again := ask(); again["uti"] != short["uti"] {
		t.Error("an equal request did not share")
	}
	w.bounded(t, directory.Ceilings{Roles: []string{"Nothing.That.It.Has"}})
	if claims := ask(); claims["roles"] != nil {
		t.Errorf("roles beyond the ceiling: %v", claims)
	}
	for want, c := range map[oauth.Code]directory.Ceilings{
		oauth.CredentialDisabled:      {Disabled: true},
		oauth.CredentialOutsideWindow: {NotAfter: time.Unix(1, 0)},
		oauth.CredentialReportOnly:    {ReportOnly: true},
		oauth.SourceNotAllowed:        {Sources: []string{"2001:db8::/32"}},
		oauth.ResourceOutOfReach:      {Resources: []string{"11111111-1111-1111-1111-111111111111"}},
	} {
		w.bounded(t, c)
		if _, answer := w.send(t, V2, tenantID, w.form().Encode()); code(answer) != want {
			t.Errorf("%d: %v", want, answer)
		}
	}
}

// A credential that only reports says what is wrong beside that, if anything
// is: only then is it told apart from one that would issue.
func TestReportOnlyIsTheLastReason(t *testing.T) {
	w := newWorld(t)
	w.bounded(t, directory.Ceilings{ReportOnly: true})
	w.resource.AssignmentRequired = true
	w.client.Grants = nil
	if _, answer := w.send(t, V2, tenantID, w.form().Encode()); code(answer) != oauth.NotAssigned {
		t.Errorf("not assigned: %v", answer)
	}
	w.resource.Enabled = false
	if _, answer := w.send(t, V2, tenantID, w.form().Encode()); code(answer) != oauth.ResourceDisabled {
		t.Errorf("disabled resource: %v", answer)
	}
}
