package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cambio/internal/admin"
	"cambio/workload"
	"cambio/workload/aws"
	"cambio/workload/spiffe"
)

// Forms of an access token.
const (
	tokenPlain  = "token"
	tokenEnv    = "env"
	tokenHeader = "header"
	tokenExec   = "exec-credential"
)

var tokenForms = []string{tokenPlain, tokenEnv, tokenHeader, formJSON, tokenExec}

// workloadFlags are what the commands on the workload's side have in common:
// where its token comes from, and what it is exchanged for.
type workloadFlags struct {
	server          admin.Flags
	source          string
	scope, audience string
	env             workload.Environment
}

// bind adds the flags to a command.
func (f *workloadFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.source, "source", "", "`NAME` of the platform that gives the token: "+strings.Join(platformNames(), ", ")+" (CAMBIO_SOURCE; default: what is found)")
	flags.StringVar(&f.scope, "scope", "", "`SCOPE`: what the access token is for, as in api://orders/.default (CAMBIO_SCOPE)")
	flags.StringVar(&f.audience, "audience", "", "`AUDIENCE` of the platform's token (CAMBIO_AUDIENCE; default: "+workload.DefaultAudience+")")
	flags.StringVar(&f.env.File, "file", "", "`FILE` with the platform's token (CAMBIO_FEDERATED_TOKEN_FILE)")
	flags.StringVar(&f.env.Variable, "variable", "", "`NAME` of the environment variable that holds the platform's token")
	flags.StringArrayVar(&f.env.Command, "command", nil, "`PROGRAM` that prints the platform's token; repeat the flag for its arguments")
	flags.StringVar(&f.server.Authority, "authority", "", "`URL` of the server, an origin (CAMBIO_AUTHORITY, AZURE_AUTHORITY_HOST)")
	flags.StringVar(&f.server.Tenant, "tenant", "", "`ID` or domain of the tenant (CAMBIO_TENANT, AZURE_TENANT_ID; default: the server's default tenant)")
	flags.StringVar(&f.server.ClientID, "client", "", "client `ID` that trusts this workload (CAMBIO_CLIENT_ID, AZURE_CLIENT_ID)")
	flags.StringVar(&f.server.CAFile, "ca", "", "PEM `FILE` with the certificate authority of the server (CAMBIO_CA_FILE; default: the system's, or SSL_CERT_FILE)")
	flags.StringVar(&f.server.State, "state", "", "state folder (`DIR`) of a `cambio dev` server, which says all about the connection (CAMBIO_STATE)")
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "client-id" { // as the management commands call it
			name = "client"
		}
		return pflag.NormalizedName(name)
	})
	for _, name := range []string{"file", "ca"} {
		_ = cmd.MarkFlagFilename(name) // the flag is there
	}
	_ = cmd.MarkFlagDirname("state")
	_ = cmd.RegisterFlagCompletionFunc("source", cobra.FixedCompletions(platformNames(), cobra.ShellCompDirectiveNoFileComp))
}

// platforms are all that cambio knows.
func platforms() []workload.Platform {
	return slices.Concat(workload.Platforms(), []workload.Platform{spiffe.Platform()}, aws.Platforms())
}

func platformNames() []string {
	var names []string
	for _, p := range platforms() {
		names = append(names, p.Name)
	}
	return names
}

// plan is what a command on the workload's side is going to do.
type plan struct {
	server   admin.Settings
	platform workload.Platform
	looks    []workload.Look // empty: the source was named
	scope    string
	audience string
	env      workload.Environment
}

// plan completes the flags from the environment.
func (f *workloadFlags) plan() (plan, error) {
	p := plan{env: f.env, scope: or(f.scope, "CAMBIO_SCOPE"), audience: or(f.audience, "CAMBIO_AUDIENCE")}
	if p.audience == "" {
		p.audience = workload.DefaultAudience
	}
	var err error
	if p.server, err = admin.ResolveServer(f.server, os.Getenv, defaultStateDir()); err != nil {
		return p, err
	}
	if p.server.IsDevelopment() && p.env.File == "" {
		p.env.File = p.server.FederatedTokenFile
	}
	if p.env.HTTP, err = workload.NewHTTPClient(p.server.CAFile); err != nil {
		return p, err
	}
	if name := or(f.source, "CAMBIO_SOURCE"); name != "" {
		p.platform, err = workload.ByName(name, platforms())
		return p, err
	}
	p.platform, p.looks, err = workload.Detect(p.env, platforms())
	return p, err
}

func or(flag, variable string) string {
	if flag != "" {
		return flag
	}
	return os.Getenv(variable)
}

// client makes the client that does it.
func (p plan) client() (*workload.Client, error) {
	return workload.New(workload.Config{Authority: p.server.Authority, Tenant: p.server.Tenant, ClientID: p.server.ClientID,
		Scope: p.scope, Audience: p.audience, CAFile: p.server.CAFile, Source: p.platform.Source(p.env)})
}

// explain says what was looked at, and what was chosen.
func (p plan) explain(out io.Writer) {
	chosen := false
	for _, l := range p.looks {
		verdict := "no"
		if l.Found && !chosen {
			verdict, chosen = "chosen", true
		} else if l.Found {
			verdict = "found too"
		}
		_, _ = fmt.Fprintf(out, "%-16s %-9s  %s\n", l.Platform.Name, verdict, plain(l.Seen))
	}
	switch {
	case len(p.looks) == 0 && p.platform.Name != "":
		_, _ = fmt.Fprintf(out, "%-16s %-9s  named by --source or CAMBIO_SOURCE; nothing else was looked at\n", p.platform.Name, "chosen")
	case chosen:
		_, _ = fmt.Fprintf(out, "The first that is there counts: a token that was named, then a CI job, a service, the machine. --source chooses another.\n")
	}
	_, _ = fmt.Fprintf(out, "audience         %s\nauthority        %s (%s)\ntenant           %s\nclient           %s\nscope            %s\n",
		p.audience, p.server.Authority, p.server.From, p.server.Tenant, cell(p.server.ClientID), cell(p.scope))
}

func tokenCommand() *cobra.Command {
	var f workloadFlags
	var form string
	var explain bool
	cmd := &cobra.Command{
		Use: "token", Short: "Obtain an access token as this workload", Args: noArguments,
		Long: "Finds out which platform this is, obtains its token, exchanges it at the server, and prints the access token.\n" +
			"Nothing is kept: each run exchanges anew. docs/workload.md has each platform and what it must permit.",
		Example: "  cambio token --scope api://orders/.default\n" +
			"  cambio token --source file --file token --authority https://sts.example.net --tenant example.net --client ID --scope api://orders/.default --ca ca.pem\n" +
			"  cambio token --scope api://orders/.default --explain",
	}
	f.bind(cmd)
	cmd.Flags().BoolVar(&explain, "explain", false, "say on standard error what was looked at and why it was chosen")
	cmd.Flags().StringVarP(&form, "output", "o", tokenPlain, "`FORM`: token, env (for a shell), header (for curl -H @-), json, or exec-credential (for kubectl)")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(tokenForms, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !slices.Contains(tokenForms, form) {
			return usageError{fmt.Errorf("--output %q must be one of %s", form, strings.Join(tokenForms, ", "))}
		}
		p, err := f.plan()
		if explain {
			p.explain(cmd.ErrOrStderr())
		}
		if err != nil {
			return err
		}
		client, err := p.client()
		if err != nil {
			return err
		}
		t, err := client.Token(cmd.Context())
		if err != nil {
			return fmt.Errorf("with the token of %s: %w", p.platform.Title, err)
		}
		return printToken(cmd.OutOrStdout(), form, t, p.scope)
	}
	return cmd
}

// printToken prints an access token; none of the forms needs quoting, as a
// token has no white space or quotation marks.
func printToken(out io.Writer, form string, t workload.Token, scope string) error {
	expires := t.Expires.UTC().Format(time.RFC3339)
	var err error
	switch form {
	case tokenEnv:
		_, err = fmt.Fprintf(out, "export ACCESS_TOKEN=%s\nexport ACCESS_TOKEN_EXPIRES_ON=%s\n", t.AccessToken, expires)
	case tokenHeader:
		_, err = fmt.Fprintf(out, "Authorization: Bearer %s\n", t.AccessToken)
	case formJSON:
		return printJSON(out, map[string]any{"access_token": t.AccessToken, "token_type": "Bearer", "expires_on": expires, "scope": scope})
	case tokenExec:
		return printJSON(out, map[string]any{"apiVersion": execVersion(os.Getenv("KUBERNETES_EXEC_INFO")), "kind": "ExecCredential",
			"status": map[string]any{"token": t.AccessToken, "expirationTimestamp": expires}})
	default:
		_, err = fmt.Fprintln(out, t.AccessToken)
	}
	return err
}

func printJSON(out io.Writer, v any) error {
	raw, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err
	}
	return printDocument(out, formJSON, raw)
}

// execVersion is the version of the ExecCredential that kubectl asks for.
func execVersion(info string) string {
	var asked struct {
		APIVersion string `json:"apiVersion"`
	}
	if jsontext.Value(info).IsValid() && json.Unmarshal([]byte(info), &asked) == nil && asked.APIVersion != "" {
		return asked.APIVersion
	}
	return "client.authentication.k8s.io/v1"
}
