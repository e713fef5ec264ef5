package explain

import (
	"strings"
	"testing"

	"cambio/internal/oauth"
)

func TestText(t *testing.T) {
	in := &Input{At: now, Code: oauth.SubjectMismatch, Client: client(credential(github, "repo:acme/shop:environment:prod")),
		Token: token(t, claims{"sub": quote("repo:acme@1/shop@2:environment:prod")})}
	const want = `REFUSED  AADSTS700213  NM4: names or immutable ids (GitHub)
The subject of the token names the repository in the other form (the token has the form with ids, the credential the one with names), beside the credential main.

  at         2026-11-27T12:00:00Z
  client     shop (3f0e9d1c-6a52-4b8f-8c11-5d2e7a904b63)
  issuer     https://token.actions.githubusercontent.com, keys by discovery
  key        k1, RS256
  signature  not checked
  times      issued 2026-11-27T11:59:00Z, not before 2026-11-27T11:59:00Z, expires 2026-11-27T12:05:00Z, valid

  credential main
    = issuer     https://token.actions.githubusercontent.com
    x subject    presented  repo:acme@1/shop@2:environment:prod
                                     ^^^^^^^^^
                 expected   repo:acme/shop:environment:prod
                                     ^^^^^
                 the token has the form with ids, the credential the one with names
    = audience   api://AzureADTokenExchange

What to do: Write the subject as the token has it, after comparing its ids with those of your repository: gh api repos/OWNER/NAME --jq '.owner.id, .id'.
    cambio credential update main --app 3f0e9d1c-6a52-4b8f-8c11-5d2e7a904b63 --subject repo:acme@1/shop@2:environment:prod
`
	if got := Explain(in).Text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestTextIsSafe: nothing that a token or a name holds is obeyed by a terminal.
func TestTextIsSafe(t *testing.T) {
	c := credential(github, "repo:acme/shop\u202e:x")
	c.Name = "a\x1b[31mb"
	e := Explain(&Input{At: now, Code: oauth.SubjectMismatch, Client: client(c), Token: token(t, claims{"sub": quote(`repo:acme/shop\u001b]0;x\u0007`)})})
	if text := e.Text(); strings.ContainsAny(text, "\x1b\x07\u202e") || !strings.Contains(text, `\x1b`) {
		t.Errorf("%q", text)
	}
	if e.Fix != nil && strings.ContainsAny(e.Fix.Command, "\x1b\u202e") {
		t.Errorf("%q", e.Fix.Command)
	}
}

// TestShell: a value cannot leave its quotation marks.
func TestShell(t *testing.T) {
	for value, want := range map[string]string{"a b": "'a b'", "$(rm)": "'$(rm)'", "it's": `'it'\''s'`, "plain:x/y@1": "plain:x/y@1", "": "''"} {
		if got := shell([]string{"x", value}); got != "x "+want {
			t.Errorf("%q: %s", value, got)
		}
	}
	if got := shell([]string{"a\nb"}); got != "" {
		t.Errorf("a line break: %q", got)
	}
}

func TestLookAlikesShow(t *testing.T) {
	e := Explain(&Input{At: now, Code: oauth.SubjectMismatch, Client: client(credential(github, mainBranch)), Token: token(t, claims{"sub": quote("repo:аcme/shop:ref:refs/heads/main")})})
	if !strings.Contains(e.Text(), `"repo:\u0430cme/shop`) {
		t.Error(e.Text())
	}
}
