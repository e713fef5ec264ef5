package platforms

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"cambio/conformance/devserver"
	"cambio/test/httpclient"
)

// audience is that of the credentials here, but for Cognito's.
const audience = "api://AzureADTokenExchange"

// Issuers of the platforms.
const (
	gitLab    = "https://gitlab.com"
	pipelines = "https://vstoken.dev.azure.com/6f1d2c3b-4a59-4e68-8d7c-0b1a2c3d4e5f"
	entra     = "https://login.microsoftonline.com/7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77/v2.0"
	google    = "https://accounts.google.com"
	amazon    = "https://5c0e1d2f-3a4b-4c5d-8e6f-7a8b9c0d1e2f.tokens.sts.global.api.aws"
	cognito   = "https://cognito-identity.amazonaws.com"
)

// world is the server of all tests, and a protected resource.
type world struct {
	server   *devserver.Server
	tools    string // folder with the program cambio
	api      *httpclient.Client
	resource httpclient.Application
}

var shared world

func TestMain(m *testing.M) {
	code, err := shared.run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func (w *world) run(m *testing.M) (int, error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "platforms")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary, err := devserver.Build(ctx, dir)
	if err != nil {
		return 0, err
	}
	w.tools = dir
	if filepath.Dir(binary) != dir { // one that was built before
		if err := os.Symlink(binary, filepath.Join(dir, "cambio")); err != nil {
			return 0, err
		}
	}
	args := []string{"--spiffe-client-auth"}
	for _, issuer := range []string{gitLab, pipelines, entra, google, amazon, cognito} {
		args = append(args, "--rehearse-issuer", issuer)
	}
	w.server, err = devserver.Start(ctx, devserver.Config{Binary: binary, StateDir: filepath.Join(dir, "state"), Stderr: os.Stderr, Args: args, AllowIssuerAddress: []string{"127.0.0.1/32"}})
	if err != nil {
		return 0, err
	}
	defer w.server.Stop()
	client, err := w.server.Client()
	if err != nil {
		return 0, err
	}
	w.api = &httpclient.Client{BaseURL: w.server.BaseURL, TenantID: w.server.TenantID, AdminToken: w.server.AdminToken, HTTP: client}
	w.resource, err = w.api.Register(ctx, httpclient.Registration{Name: "orders", IdentifierURI: "api://orders", Roles: []string{"Orders.Read"}, TokenVersion: 2})
	if err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// trusting registers an application that trusts one subject and may read.
func trusting(t *testing.T, issuer, subject string) httpclient.Application {
	t.Helper()
	app, err := shared.api.Register(t.Context(), httpclient.Registration{Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shared.api.Trust(t.Context(), app, "workload", issuer, subject); err != nil {
		t.Fatal(err)
	}
	if err := shared.api.Grant(t.Context(), app, shared.resource, "Orders.Read"); err != nil {
		t.Fatal(err)
	}
	return app
}

// mint is a platform's token of these claims.
func mint(t *testing.T, issuer, subject string, claims, header map[string]any) string {
	t.Helper()
	all := map[string]any{"iss": issuer, "sub": subject, "aud": audience}
	maps.Copy(all, claims)
	body, err := json.Marshal(map[string]any{"claims": all, "header": header})
	if err != nil {
		t.Fatal(err)
	}
	response, err := shared.api.HTTP.Post(shared.server.IDP.MintURL, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Token string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatalf("minting a token: %s, %v", response.Status, err)
	}
	return answer.Token
}

// accepted checks that an access token is the client's, for the resource.
func accepted(t *testing.T, token string, client httpclient.Application) {
	t.Helper()
	claims, err := httpclient.Part(token, 1)
	if err != nil {
		t.Fatalf("%q is no access token: %v", token, err)
	}
	if claims["aud"] != shared.resource.AppID || claims["azp"] != client.AppID || fmt.Sprint(claims["roles"]) != "[Orders.Read]" {
		t.Errorf("the access token says %v", claims)
	}
}
