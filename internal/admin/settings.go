package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"cambio/internal/directory"
	"cambio/internal/strictjson"
)

// Settings say which server is meant, and who calls it.
type Settings struct {
	Authority string // origin, without a trailing slash
	Tenant    string // id, domain name, or adfs for the server's default tenant
	CAFile    string // PEM; empty: the system's certificate authorities

	// Either an access token, or a client and the file with its platform's
	// token.
	AccessToken        string
	ClientID           string
	FederatedTokenFile string

	From string // where they come from, for people
}

// Flags are the settings that a command line gave; empty ones were not given.
type Flags struct {
	Authority, Tenant, ClientID, FederatedTokenFile, CAFile, AccessTokenFile string
	State                                                                    string // state folder of a development server
}

// developmentServer is how From begins for settings of a state folder.
const developmentServer = "the development server"

// IsDevelopment reports whether the settings are those that a development
// server left.
func (s Settings) IsDevelopment() bool { return strings.HasPrefix(s.From, developmentServer) }

// SettingsError says which setting is missing or wrong: one that was given, or
// a file that it names.
type SettingsError struct{ error }

func (e *SettingsError) Unwrap() error { return e.error }

func settingsErrorf(format string, args ...any) error {
	return &SettingsError{fmt.Errorf(format, args...)}
}

// variables are the environment variables of a setting, the most specific
// first.
type variables []string

// The environment variables of each setting.
var (
	authorityVariables      = variables{"CAMBIO_AUTHORITY", "AZURE_AUTHORITY_HOST"}
	tenantVariables         = variables{"CAMBIO_TENANT", "AZURE_TENANT_ID"}
	clientVariables         = variables{"CAMBIO_CLIENT_ID", "AZURE_CLIENT_ID"}
	federatedTokenVariables = variables{"CAMBIO_FEDERATED_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE"}
	caVariables             = variables{"CAMBIO_CA_FILE"}
	accessTokenVariables    = variables{"CAMBIO_ACCESS_TOKEN"}
)

// or returns the flag's value, else the first variable that is set.
func (v variables) or(flag string, env func(string) string) string {
	if flag != "" {
		return flag
	}
	for _, name := range v {
		if value := env(name); value != "" {
			return value
		}
	}
	return ""
}

// Resolve completes the flags from the environment. When neither names a
// server, it looks for a development server in the folder defaultState, which
// may be empty.
func Resolve(f Flags, env func(string) string, defaultState string) (Settings, error) {
	s, err := ResolveServer(f, env, defaultState)
	if err != nil || s.IsDevelopment() {
		return s, err
	}
	return s, s.credentials(f, env)
}

// ResolveServer is Resolve for those who bring a token of their own: who calls
// may stay open. An access token is only set from a development server.
func ResolveServer(f Flags, env func(string) string, defaultState string) (Settings, error) {
	if f.State != "" {
		if f != (Flags{State: f.State}) {
			return Settings{}, settingsErrorf("--state says everything about the connection; leave the other connection flags out")
		}
		return fromState(f.State)
	}
	if dir := env("CAMBIO_STATE"); dir != "" && f == (Flags{}) && env(authorityVariables[0]) == "" {
		return fromState(dir)
	}
	authority := authorityVariables.or(f.Authority, env)
	if authority == "" {
		return withoutAuthority(f, env, defaultState)
	}
	origin, err := parseAuthority(authority)
	if err != nil {
		return Settings{}, err
	}
	s := Settings{Authority: origin, Tenant: tenantVariables.or(f.Tenant, env), CAFile: caVariables.or(f.CAFile, env), From: "flags and environment"}
	s.ClientID, s.FederatedTokenFile = clientVariables.or(f.ClientID, env), federatedTokenVariables.or(f.FederatedTokenFile, env)
	if s.Tenant == "" {
		s.Tenant = "adfs"
	}
	return s, nil
}

// withoutAuthority is for a command line without a server: that of a
// development server is meant, unless something else was said.
func withoutAuthority(f Flags, env func(string) string, defaultState string) (Settings, error) {
	said := f != Flags{}
	for _, v := range []variables{tenantVariables, clientVariables, federatedTokenVariables, caVariables, accessTokenVariables} {
		said = said || env(v[0]) != ""
	}
	if defaultState != "" {
		s, err := fromState(defaultState)
		switch {
		case said && err == nil:
			return Settings{}, settingsErrorf("no server is named: give --authority URL or set CAMBIO_AUTHORITY; the `cambio dev` server that runs is taken by itself only when no other connection flag or CAMBIO_ variable is given (it is --authority %s --ca %s)", s.Authority, s.CAFile)
		case !said && !errors.Is(err, fs.ErrNotExist):
			return s, err
		}
	}
	return Settings{}, settingsErrorf("no server is named: give --authority URL or set CAMBIO_AUTHORITY (for a `cambio dev` server: --state DIR or CAMBIO_STATE; without them there must be one running with the default state folder)")
}

// parseAuthority reads an origin. The tenant is a setting of its own.
func parseAuthority(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", settingsErrorf("the authority %q must be an https URL without path, as in https://sts.example.net", text)
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		return "", settingsErrorf("the authority %q must have no path; name the tenant with --tenant %s", text, path)
	}
	return "https://" + u.Host, nil
}

// credentials chooses who calls. What a flag says goes before what the
// environment says.
func (s *Settings) credentials(f Flags, env func(string) string) error {
	if f.AccessTokenFile != "" {
		if f.ClientID != "" || f.FederatedTokenFile != "" {
			return settingsErrorf("--access-token-file excludes --client-id and --federated-token-file")
		}
		token, err := ReadToken(f.AccessTokenFile)
		s.AccessToken, s.ClientID, s.FederatedTokenFile = token, "", ""
		return errors.Join(err, checkTenant(token, f.Tenant))
	}
	var err error
	token := accessTokenVariables.or("", env)
	if token != "" && f.ClientID == "" && f.FederatedTokenFile == "" {
		s.ClientID, s.FederatedTokenFile = "", ""
		s.AccessToken, err = oneWord(token, "CAMBIO_ACCESS_TOKEN")
		return errors.Join(err, checkTenant(s.AccessToken, f.Tenant))
	}
	const instead = "; or give an access token with --access-token-file FILE or CAMBIO_ACCESS_TOKEN"
	switch {
	case s.ClientID == "" && s.FederatedTokenFile == "":
		return settingsErrorf("nobody is named to sign in as: give --client-id ID and --federated-token-file FILE, or set CAMBIO_CLIENT_ID and CAMBIO_FEDERATED_TOKEN_FILE" + instead)
	case s.ClientID == "":
		return settingsErrorf("--client-id ID or CAMBIO_CLIENT_ID is missing: the client that the federated token is for" + instead)
	case s.FederatedTokenFile == "":
		return settingsErrorf("--federated-token-file FILE or CAMBIO_FEDERATED_TOKEN_FILE is missing: the file with the token that your platform gave you" + instead)
	}
	return nil
}

// checkTenant refuses an access token of another tenant than the one that was
// asked for by its id: the token decides, and silently would be surprising. A
// domain name says nothing that could be compared here.
func checkTenant(token, tenant string) error {
	claims, err := Claims(token)
	if err != nil || !directory.IsGUID(tenant) {
		return nil // a bootstrap token, or one that the server will refuse
	}
	if of, _, _ := claims.String("tid"); of != "" && !strings.EqualFold(of, tenant) {
		return settingsErrorf("the access token is of the tenant %s, not of --tenant %s; leave --tenant out, or sign in to that tenant", of, tenant)
	}
	return nil
}

// StateFile is the name of the file in a development server's state folder
// that says how to reach it. It holds an access token: mode 0600.
const StateFile = "connection.json"

// State is the content of StateFile.
type State struct {
	BaseURL            string `json:"base_url"`
	CAFile             string `json:"ca_file"`
	TenantID           string `json:"tenant_id"`
	ClientID           string `json:"client_id"`
	FederatedTokenFile string `json:"federated_token_file"`
	AccessToken        string `json:"access_token"`
}

func fromState(dir string) (Settings, error) {
	file := filepath.Join(dir, StateFile)
	raw, err := readBounded(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{}, fmt.Errorf("no development server runs with the state folder %s; start it with `cambio dev --state %[1]s`: %w", dir, err)
	}
	if err != nil {
		return Settings{}, err
	}
	var state State
	if err := strictjson.Unmarshal(raw, &state, strictjson.Document); err != nil {
		return Settings{}, fmt.Errorf("%s: %w", file, err)
	}
	return Settings{Authority: state.BaseURL, Tenant: state.TenantID, CAFile: state.CAFile, AccessToken: state.AccessToken,
		ClientID: state.ClientID, FederatedTokenFile: state.FederatedTokenFile, From: developmentServer + " in " + dir}, nil
}

// maxSettingsFile bounds files that hold a token or a certificate, in bytes.
const maxSettingsFile = 1 << 20

func readBounded(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSettingsFile {
		return nil, fmt.Errorf("%s is larger than 1 MiB; it is another file than expected", file)
	}
	return os.ReadFile(file)
}

// ReadToken reads a token from a file, without the white space around it.
func ReadToken(file string) (string, error) {
	raw, err := readBounded(file)
	if err != nil {
		return "", settingsErrorf("the token file cannot be read: %w", err)
	}
	return oneWord(string(raw), "the token file "+file)
}

// oneWord is a token without the white space around it. A header takes no
// other characters than visible ones of ASCII.
func oneWord(text, where string) (string, error) {
	token := strings.TrimSpace(text)
	if token == "" {
		return "", settingsErrorf("%s is empty", where)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", settingsErrorf("%s holds more than one word; it must hold the token and nothing else", where)
	}
	return token, nil
}
