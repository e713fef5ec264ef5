package main

import (
	"embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
	"cambio/internal/development"
)

//go:embed clientconfig/*.tmpl
var clientConfigFiles embed.FS

// clientConfigs are the clients that there is a configuration for.
var clientConfigs = []struct{ name, what string }{
	{"azure-sdk", "environment of a program with an Azure SDK, for a shell"},
	{"env", "the same as a file, for docker --env-file and systemd"},
	{"az", "commands that let the Azure CLI sign in"},
	{"terraform", "provider block for Terraform's azuread provider"},
	{"kubelogin", "user of a kubeconfig file whose token kubelogin gets"},
	{"github-actions", "workflow of GitHub Actions"},
	{"gitlab", "job of GitLab CI"},
	{"k8s", "service account and deployment that find their token without the webhook"},
	{"google-external-account", "credential file of Google's libraries, which exchange access tokens of this server for Google's: --token-file names a file that `cambio agent` keeps fresh"},
}

// clientConfig is what the templates are filled in with.
type clientConfig struct {
	Authority, Tenant, ClientID, CAFile, TokenFile, Scope string
	Name, GoogleAudience                                  string
}

// Host is the authority without its scheme.
func (c clientConfig) Host() string { return strings.TrimPrefix(c.Authority, "https://") }

// Base is the authority as SDKs want it.
func (c clientConfig) Base() string { return c.Authority + "/" }

// Resource is the scope without its end.
func (c clientConfig) Resource() string { return strings.TrimSuffix(c.Scope, "/.default") }

func clientConfigCommand() *cobra.Command {
	var server admin.Flags
	var c clientConfig
	names := make([]string, len(clientConfigs))
	var list strings.Builder
	for i, k := range clientConfigs {
		names[i] = k.name
		fmt.Fprintf(&list, "\n  %-24s %s", k.name, k.what)
	}
	cmd := &cobra.Command{
		Use: "client-config CLIENT", Short: "Print what a client has to be told, to paste", ValidArgs: names,
		Long: "Prints the configuration of a client that signs in at the server as a workload:\n" + list.String() +
			"\n\nNothing is asked of the server. Beside a running `cambio dev` only CLIENT is needed, but for google-external-account: the client of its own provider is meant. docs/clients.md says more about each.",
		Example: "  cambio client-config azure-sdk\n" +
			"  cambio client-config az --authority https://sts.example.net --tenant example.net --client-id ID --token-file /var/run/secrets/token --scope api://orders/.default\n" +
			"  cambio client-config google-external-account --google-audience //iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/cambio --token-file /run/cambio/token",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(names, args[0]) {
				return usageError{fmt.Errorf("name one client: %s; see `%s --help`", strings.Join(names, ", "), cmd.CommandPath())}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&server.Authority, "authority", "", "`URL` of the server, an origin (CAMBIO_AUTHORITY, AZURE_AUTHORITY_HOST)")
	flags.StringVar(&server.Tenant, "tenant", "", "`ID` or domain of the tenant (CAMBIO_TENANT, AZURE_TENANT_ID; default: adfs, the server's default tenant)")
	flags.StringVar(&server.ClientID, "client-id", "", "client `ID` of the workload (CAMBIO_CLIENT_ID, AZURE_CLIENT_ID)")
	flags.StringVar(&server.FederatedTokenFile, "token-file", "", "`FILE` with the platform's token (CAMBIO_FEDERATED_TOKEN_FILE, AZURE_FEDERATED_TOKEN_FILE)")
	flags.StringVar(&server.CAFile, "ca", "", "PEM `FILE` with the certificate authority of the server, where the client finds it (CAMBIO_CA_FILE; default: a public one is meant)")
	flags.StringVar(&server.State, "state", "", "state folder (`DIR`) of a `cambio dev` server, which says all of the above (CAMBIO_STATE)")
	flags.StringVar(&c.Scope, "scope", "", "`SCOPE` that the client asks for, as in api://orders/.default (CAMBIO_SCOPE; default: that of `cambio dev`, or api://RESOURCE/.default, to be replaced)")
	flags.StringVar(&c.Name, "name", "workload", "`NAME` of what is made (k8s)")
	flags.StringVar(&c.GoogleAudience, "google-audience", "", "full resource `NAME` of the provider of a workload identity pool (google-external-account)")
	_ = errors.Join(cmd.MarkFlagFilename("token-file"), cmd.MarkFlagFilename("ca"), cmd.MarkFlagDirname("state")) // the flags are there
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := c.complete(args[0], server); err != nil {
			return err
		}
		if server.Tenant != "" && server.Tenant != "adfs" && slices.Contains([]string{"azure-sdk", "env", "kubelogin", "k8s"}, args[0]) {
			fmt.Fprintf(cmd.ErrOrStderr(), "Note: the tenant in it is adfs, which stands for the server's default tenant. If %s is another one, the program has to name it and to switch instance discovery off: docs/clients.md.\n", server.Tenant)
		}
		return clientConfigTemplate(args[0]).Execute(cmd.OutOrStdout(), c)
	}
	return cmd
}

// complete fills in what was not said, and refuses what a configuration cannot
// do without.
func (c *clientConfig) complete(name string, server admin.Flags) error {
	if name == "google-external-account" {
		c.TokenFile = or(server.FederatedTokenFile, "CAMBIO_FEDERATED_TOKEN_FILE")
		return required([2]string{"google-audience", c.GoogleAudience}, [2]string{"token-file", c.TokenFile})
	}
	settings, err := admin.ResolveServer(server, os.Getenv, defaultStateDir())
	if err != nil {
		return err
	}
	c.Authority, c.Tenant, c.CAFile, c.TokenFile = settings.Authority, settings.Tenant, settings.CAFile, settings.FederatedTokenFile
	c.ClientID = settings.ClientID
	if c.Scope = or(c.Scope, "CAMBIO_SCOPE"); c.Scope == "" && settings.IsDevelopment() {
		c.Scope = development.ResourceURI + "/.default"
	}
	if c.Scope == "" {
		c.Scope = "api://RESOURCE/.default"
	}
	if err := required([2]string{"client-id", c.ClientID}); err != nil {
		return err
	}
	if name == "terraform" && c.Tenant == "adfs" { // its provider takes no other name than the tenant's own
		c.Tenant = ""
	}
	if err := required([2]string{"tenant", c.Tenant}); err != nil {
		return err
	}
	if !slices.Contains([]string{"github-actions", "gitlab", "k8s"}, name) { // whose platform has the token
		return required([2]string{"token-file", c.TokenFile})
	}
	return nil
}

func clientConfigTemplate(name string) *template.Template {
	return template.Must(template.New(name+".tmpl").Funcs(template.FuncMap{
		"sh": shellWord, "hcl": hclWord, "yaml": yamlWord, "json": jsonWord,
	}).ParseFS(clientConfigFiles, "clientconfig/"+name+".tmpl"))
}

// shellWord is a text as one word of a POSIX shell.
func shellWord(text string) string {
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("'\"\\$`&|;<>()*?[]#~!{}", r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// hclWord is a text as a string of HCL, in which ${ and %{ begin templates.
func hclWord(text string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(strconv.Quote(text))
}

// yamlWord is a text as a scalar, in quotation marks where YAML needs them.
func yamlWord(text string) string {
	if u, err := url.Parse(text); err == nil && u.Scheme != "" && !strings.ContainsAny(text, " ,[]{}#&*!|>'\"%@`") && !strings.HasSuffix(text, ":") {
		return text
	}
	return strconv.Quote(text)
}

func jsonWord(text string) (string, error) {
	raw, err := json.Marshal(text)
	return string(raw), err
}
