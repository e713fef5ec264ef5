package admin

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	state := filepath.Join(dir, "state")
	for file, text := range map[string]string{
		token:                           " a.b.c\n",
		filepath.Join(state, StateFile): `{"base_url":"https://dev.example","tenant_id":"t","ca_file":"ca","access_token":"x","client_id":"c","federated_token_file":"f","more":1}`,
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dev := Settings{Authority: "https://dev.example", Tenant: "t", CAFile: "ca", AccessToken: "x", ClientID: "c", FederatedTokenFile: "f", From: "the development server in " + state}
	const from = "flags and environment"
	// {"tid": "7b1c2f0e-4d7a-4c55-9a3e-2f1d0c9b8a77"}
	const ofTenant = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsiLCJ0eXAiOiJKV1QifQ.eyJ0aWQiOiI3YjFjMmYwZS00ZDdhLTRjNTUtOWEzZS0yZjFkMGM5YjhhNzcifQ.AAAA"
	for name, c := range map[string]struct {
		flags Flags
		env   map[string]string
		want  Settings
		fails string
	}{
		"nothing":              {want: dev},
		"another's variables":  {env: map[string]string{"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t"}, want: dev},
		"state":                {flags: Flags{State: state}, env: map[string]string{"CAMBIO_AUTHORITY": "https://a.example"}, want: dev},
		"state variable":       {env: map[string]string{"CAMBIO_STATE": state, "AZURE_AUTHORITY_HOST": "https://a.example"}, want: dev},
		"flag before state":    {flags: Flags{Authority: "https://a.example"}, env: map[string]string{"CAMBIO_STATE": state, "CAMBIO_ACCESS_TOKEN": "y"}, want: Settings{Authority: "https://a.example", Tenant: "adfs", AccessToken: "y", From: from}},
		"no authority":         {env: map[string]string{"CAMBIO_ACCESS_TOKEN": "x"}, fails: "CAMBIO_AUTHORITY"},
		"flags":                {flags: Flags{Authority: "https://a.example/", Tenant: "t", ClientID: "c", FederatedTokenFile: "f", CAFile: "ca"}, want: Settings{Authority: "https://a.example", Tenant: "t", CAFile: "ca", ClientID: "c", FederatedTokenFile: "f", From: from}},
		"specific variables":   {env: map[string]string{"CAMBIO_AUTHORITY": "https://a.example", "AZURE_AUTHORITY_HOST": "https://b.example", "CAMBIO_CLIENT_ID": "c", "AZURE_CLIENT_ID": "d", "AZURE_FEDERATED_TOKEN_FILE": "f"}, want: Settings{Authority: "https://a.example", Tenant: "adfs", ClientID: "c", FederatedTokenFile: "f", From: from}},
		"token file":           {flags: Flags{Authority: "https://a.example", AccessTokenFile: token}, env: map[string]string{"AZURE_CLIENT_ID": "c", "CAMBIO_ACCESS_TOKEN": "y"}, want: Settings{Authority: "https://a.example", Tenant: "adfs", AccessToken: "a.b.c", From: from}},
		"token":                {flags: Flags{Authority: "https://a.example"}, env: map[string]string{"CAMBIO_ACCESS_TOKEN": "y", "AZURE_CLIENT_ID": "c", "AZURE_FEDERATED_TOKEN_FILE": "f"}, want: Settings{Authority: "https://a.example", Tenant: "adfs", AccessToken: "y", From: from}},
		"token and line break": {env: map[string]string{"CAMBIO_AUTHORITY": "https://a.example", "CAMBIO_ACCESS_TOKEN": "y\n"}, want: Settings{Authority: "https://a.example", Tenant: "adfs", AccessToken: "y", From: from}},
		"two tokens":           {env: map[string]string{"CAMBIO_AUTHORITY": "https://a.example", "CAMBIO_ACCESS_TOKEN": "y\nz"}, fails: "CAMBIO_ACCESS_TOKEN holds more than one word"},
		"flag before token":    {flags: Flags{Authority: "https://a.example", ClientID: "c"}, env: map[string]string{"CAMBIO_ACCESS_TOKEN": "y", "AZURE_FEDERATED_TOKEN_FILE": "f"}, want: Settings{Authority: "https://a.example", Tenant: "adfs", ClientID: "c", FederatedTokenFile: "f", From: from}},
		"another tenant":       {flags: Flags{Authority: "https://a.example", Tenant: "11111111-4d7a-4c55-9a3e-2f1d0c9b8a77"}, env: map[string]string{"CAMBIO_ACCESS_TOKEN": ofTenant}, fails: "is of the tenant 7b1c2f0e"},
		"the token's tenant":   {flags: Flags{Authority: "https://a.example", Tenant: "7B1C2F0E-4d7a-4c55-9a3e-2f1d0c9b8a77"}, env: map[string]string{"CAMBIO_ACCESS_TOKEN": ofTenant}, want: Settings{Authority: "https://a.example", Tenant: "7B1C2F0E-4d7a-4c55-9a3e-2f1d0c9b8a77", AccessToken: ofTenant, From: from}},
		"nobody":               {flags: Flags{Authority: "https://a.example"}, fails: "nobody is named"},
		"no client":            {flags: Flags{Authority: "https://a.example", FederatedTokenFile: "f"}, fails: "--client-id"},
		"no federated token":   {flags: Flags{Authority: "https://a.example", ClientID: "c"}, fails: "--federated-token-file"},
		"plain HTTP":           {flags: Flags{Authority: "http://a.example"}, fails: "https"},
		"with a password":      {flags: Flags{Authority: "https://u:p@a.example"}, fails: "https"},
		"with a tenant":        {flags: Flags{Authority: "https://a.example/adfs"}, fails: "--tenant adfs"},
		"state and authority":  {flags: Flags{State: state, Authority: "https://a.example"}, fails: "--state"},
		"token file and other": {flags: Flags{Authority: "https://a.example", AccessTokenFile: token, ClientID: "c"}, fails: "excludes"},
	} {
		got, err := Resolve(c.flags, func(name string) string { return c.env[name] }, state)
		var wrong *SettingsError
		switch {
		case c.fails == "" && (err != nil || got != c.want):
			t.Errorf("%s: %+v, %v", name, got, err)
		case c.fails != "" && (!errors.As(err, &wrong) || !strings.Contains(err.Error(), c.fails)):
			t.Errorf("%s: %v, want %q", name, err, c.fails)
		}
	}
	if _, err := Resolve(Flags{State: dir}, os.Getenv, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder without a server: %v", err)
	}
}

func TestTokenFiles(t *testing.T) {
	for name, c := range map[string]struct{ text, want, fails string }{
		"line break": {text: "a.b.c\n", want: "a.b.c"},
		"empty":      {text: " \n", fails: "is empty"},
		"two":        {text: "a.b.c d.e.f", fails: "more than one word"},
		"huge":       {text: strings.Repeat("x", maxSettingsFile+1), fails: "1 MiB"},
	} {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadToken(file)
		if got != c.want || (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
