// Command go runs one third-party Go client, unmodified, against a security
// token service and reports what came of it as one line of JSON. It is what an
// application would be: it takes its server, its trust and its identity from
// the environment, and nothing here knows anything of cambio.
//
// It prints tokens, so it is for tests only.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// result is the line on stdout. A client that failed says so in Error, with
// the text that its library shows to a person.
type result struct {
	OK          bool   `json:"ok"`
	AccessToken string `json:"access_token,omitempty"`
	Cached      bool   `json:"cached,omitempty"` // the second call made no request
	Error       string `json:"error,omitempty"`
	Subject     string `json:"subject,omitempty"` // of a verified token

	// What was registered: its ids, and how the server refused it once its
	// credential was deleted.
	ClientID    string `json:"client_id,omitempty"`
	PrincipalID string `json:"principal_id,omitempty"`
	Refusal     string `json:"refusal,omitempty"`
}

func main() {
	run := map[string]func(context.Context) (result, error){
		"workload":  workload,
		"assertion": assertion,
		"default":   defaultCredential,
		"pipelines": pipelines,
		"managed":   managedIdentity,
		"msal":      msal,
		"oauth2":    clientCredentials,
		"go-oidc":   verify,
		"armmsi":    manageIdentities,
		"google":    googleCredentials,
	}[strings.Join(os.Args[1:], " ")]
	if run == nil {
		fmt.Fprintln(os.Stderr, "usage: go workload|assertion|default|managed|msal|oauth2|go-oidc|armmsi|google")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := run(ctx)
	if r.OK = err == nil; err != nil {
		r.Error = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(r)
	if !r.OK {
		os.Exit(1)
	}
}

// token reads the file that holds the platform's token, at every call, as a
// workload does whose platform renews it.
func token(context.Context) (string, error) {
	b, err := os.ReadFile(os.Getenv("TOKEN_FILE"))
	return strings.TrimSpace(string(b)), err
}

// set says whether a switch in the environment is on.
func set(name string) bool { return os.Getenv(name) == "1" }
