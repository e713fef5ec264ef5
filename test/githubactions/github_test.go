package githubactions

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"cambio/conformance/devserver"
)

// gitHub is the issuer of GitHub Actions.
const gitHub = "https://token.actions.githubusercontent.com"

// bearer is what lets the job ask for a token.
const bearer = "the-job's-own-secret"

// tokens plays the endpoint that gives jobs their tokens. The server signs
// them: it was started with --rehearse-issuer.
type tokens struct {
	*httptest.Server
	subject atomic.Value // string
	busy    atomic.Int32 // how many requests to answer with 503 first
}

// newTokens answers as GitHub does (actions/toolkit, packages/core/src/oidc-utils.ts).
func newTokens(t *testing.T, server *devserver.Server) *tokens {
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	e := &tokens{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case e.busy.Add(-1) >= 0:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case r.Method != http.MethodGet, r.URL.Query().Get("api-version") != "2.0":
			w.WriteHeader(http.StatusBadRequest)
			return
		case !strings.EqualFold(r.Header.Get("Authorization"), "Bearer "+bearer):
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		audience := r.URL.Query().Get("audience")
		if audience == "" {
			audience = "https://github.com/acme"
		}
		body, err := json.Marshal(map[string]any{"claims": claims(e.subject.Load().(string), audience)})
		if err != nil {
			t.Error(err)
		}
		minted, err := client.Post(server.IDP.MintURL, "application/json", bytes.NewReader(body))
		if err != nil {
			t.Errorf("minting a token: %v", err)
			return
		}
		defer minted.Body.Close()
		var answer struct{ Token string }
		if err := json.NewDecoder(minted.Body).Decode(&answer); err != nil {
			t.Errorf("minting a token: status %d, %v", minted.StatusCode, err)
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(map[string]any{"count": len(answer.Token), "value": answer.Token})
	}))
	t.Cleanup(e.Close)
	return e
}

// variables are what the runner gives a job that has "id-token: write".
func (e *tokens) variables() []string {
	return []string{"ACTIONS_ID_TOKEN_REQUEST_URL=" + e.URL + "/token?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=" + bearer}
}

// claims are those of a job with an environment.
func claims(subject, audience string) map[string]any {
	return map[string]any{
		"iss": gitHub, "sub": subject, "aud": audience,
		"environment": "prod", "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true", "sha": "5f0c1c2d",
		"repository": "acme/shop", "repository_id": "89012345", "repository_owner": "acme", "repository_owner_id": "1234567",
		"repository_visibility": "private", "actor": "dana", "actor_id": "7654321", "event_name": "push",
		"workflow": "deploy", "workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
		"job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
		"run_id":           "112233", "run_number": "42", "run_attempt": "1", "runner_environment": "github-hosted",
	}
}
