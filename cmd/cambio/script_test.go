package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"

	"cambio/internal/admin"
	"cambio/internal/development"
)

var update = flag.Bool("update", false, "write generated pages and the outputs in scripts instead of comparing them")

// TestMain lets scripts run this test's own binary as cambio.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cambio": main})
}

// TestScripts plays the scripts of testdata: command lines against a real
// server, each with one of its own. Besides the commands of testscript there
// are those below.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata", RequireExplicitExec: true, RequireUniqueNames: true, UpdateScripts: *update,
		Setup: startForScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "normal": normal, "field": tsvField, "mint": mint, "exchange": exchange,
		},
	})
}

type instanceKey struct{}

// startForScript starts a development server where `cambio dev` would have
// started it with the default state folder.
func startForScript(e *testscript.Env) error {
	dir := filepath.Join(e.WorkDir, "home", "cambio", "dev")
	i, err := development.Start(context.Background(), development.Config{Dir: dir, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	e.Defer(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = i.Close(ctx) // the script has said what there is to say
	})
	e.Values[instanceKey{}] = i
	for name, value := range map[string]string{
		"XDG_STATE_HOME": filepath.Join(e.WorkDir, "home"), "STATE": dir, "AUTHORITY": i.Info.BaseURL, "CA": i.Info.CAFile,
		"TENANT": i.Info.TenantID, "CLIENT": i.Info.ClientID, "CLIENT_OBJECT": i.Info.ClientObjectID, "ISSUER": i.Provider.Issuer(),
		"TOKEN_FILE": filepath.Join(dir, tokenFile), "ACCESS_TOKEN": i.Info.AdminToken,
	} {
		e.Setenv(name, value)
	}
	if err := writeWorkloadToken(i.Provider, filepath.Join(dir, tokenFile)); err != nil {
		return err
	}
	return writeConnection(dir, i.Info)
}

func instance(ts *testscript.TestScript) *development.Instance {
	return ts.Value(instanceKey{}).(*development.Instance)
}

// exits CODE COMMAND ARGUMENT… runs a command that must end with the code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGUMENT…")
	}
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// What differs from run to run.
var (
	anyGUID       = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	anyAssignment = regexp.MustCompile(`[A-Za-z0-9_-]{43}`)
	anyTime       = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	anyEnd        = regexp.MustCompile(`until 20\d\d-\d\d-\d\d`)
)

// normal writes the output of the last command to the file out, with words in
// place of what differs from run to run.
func normal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: normal stdout|stderr")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), instance(ts).Info.BaseURL, "AUTHORITY")
	text = strings.ReplaceAll(text, ts.Getenv("WORK"), "WORK")
	text = anyGUID.ReplaceAllString(text, "GUID")
	text = anyAssignment.ReplaceAllString(text, "ASSIGNMENT")
	text = anyTime.ReplaceAllString(text, "TIME")
	text = anyEnd.ReplaceAllString(text, "until DATE")
	ts.Check(os.WriteFile(ts.MkAbs("out"), []byte(text), 0o600))
}

// field NAME COLUMN sets a variable to a column of the first line of tsv.
func tsvField(ts *testscript.TestScript, neg bool, args []string) {
	line, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	columns := strings.Split(line, "\t")
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 1 || n > len(columns) || columns[n-1] == "" {
		ts.Fatalf("no column %s in %q", args[1], line)
	}
	ts.Setenv(args[0], columns[n-1])
}

// mint FILE SUBJECT [SECONDS] leaves a token of the platform in a file, valid
// for that long, or expired.
func mint(ts *testscript.TestScript, neg bool, args []string) {
	claims := map[string]any{"sub": args[1]}
	if len(args) > 2 {
		seconds, err := strconv.Atoi(args[2])
		ts.Check(err)
		claims["exp"] = time.Now().Unix() + int64(seconds)
	}
	token, err := instance(ts).Provider.Mint(claims, nil)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(token+"\n"), 0o600))
}

// exchange CLIENT SCOPE SUBJECT exchanges a token of the platform and prints
// the roles of the access token, or the refusal, which "!" expects.
func exchange(ts *testscript.TestScript, neg bool, args []string) {
	i := instance(ts)
	assertion, err := i.Provider.Mint(map[string]any{"sub": args[2]}, nil)
	ts.Check(err)
	pem, err := os.ReadFile(i.Info.CAFile)
	ts.Check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.PostForm(i.Info.BaseURL+"/"+i.Info.TenantID+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {args[0]}, "scope": {args[1]}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
	ts.Check(err)
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
		Refusal     string `json:"error_description"`
	}
	ts.Check(json.UnmarshalRead(resp.Body, &answer))
	if refused := resp.StatusCode != http.StatusOK; refused != neg {
		ts.Fatalf("status %d: %s", resp.StatusCode, answer.Refusal)
	}
	text := answer.Refusal
	if !neg {
		claims, err := admin.Claims(answer.AccessToken)
		ts.Check(err)
		roles, _, err := claims.Strings("roles")
		ts.Check(err)
		text = strings.Join(roles, " ")
	}
	_, err = ts.Stdout().Write([]byte(text + "\n"))
	ts.Check(err)
}
