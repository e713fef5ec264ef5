package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
)

func issuerCommand() *cobra.Command {
	cmd := nounCommand("issuer", "Identity providers: how their keys are had, and which are used",
		"Manages identity providers. One that is not managed is discovered: a credential that names it is enough. Manage one to pin its keys, to have them pushed, to narrow its algorithms, or to reach it in a private network. docs/issuers.md has the whole of it.")
	c := connectionFlags(cmd)
	cmd.AddCommand(issuerCreateCommand(c), issuerListCommand(c), issuerShowCommand(c), issuerUpdateCommand(c), issuerDeleteCommand(c), issuerCheckCommand(), issuerKeysCommand(c), issuerPushCommand(c), issuerSetCommand(c))
	return cmd
}

// issuerFlags are the properties that can be said when an issuer is created
// and when it is changed.
type issuerFlags struct {
	description, mode, keysFile, caFile, pushedBy, proxy, bundle string
	algorithms, addresses                                        []string
	maxKeys, maxAge                                              int
	approve                                                      bool
}

func (f *issuerFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.description, "description", "", "what it is, as a `TEXT` for people")
	flags.StringVar(&f.mode, "mode", "", "how its keys are had, as a `MODE`: discover, pin, push or bundle")
	flags.StringVar(&f.keysFile, "jwks-file", "", "`FILE` with the JWK set to pin; implies --mode pin")
	flags.StringVar(&f.caFile, "ca-file", "", "PEM `FILE` with certificate authorities for its documents, beside those of the server")
	flags.StringSliceVar(&f.addresses, "allow-address", nil, "private address `RANGE` that it may be on, of those that the operator lets tenants permit; may be repeated")
	flags.StringSliceVar(&f.algorithms, "alg", nil, "`ALGORITHM` that its tokens may use, as RS256; may be repeated; without it: all")
	flags.IntVar(&f.maxKeys, "max-keys", 0, "how many `KEYS` of its set are used, the first ones; 0: as the server is configured")
	flags.StringVar(&f.pushedBy, "pushed-by", "", "`CLIENT-ID` of the application that pushes its keys; implies --mode push")
	flags.StringVar(&f.bundle, "bundle-endpoint", "", "`URL` of the SPIFFE bundle endpoint of a trust domain, where its keys are; implies --mode bundle")
	flags.StringVar(&f.proxy, "proxy", "", "`NAME` of the server's proxy through which it is reached")
	flags.IntVar(&f.maxAge, "max-age", 0, "for how many `SECONDS` pushed keys are used; 0: a day")
	flags.BoolVar(&f.approve, "approve-keys", false, "use a key only when it was approved")
	_ = cmd.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{"discover", "pin", "push", "bundle"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// properties are those that were said.
func (f *issuerFlags) properties(cmd *cobra.Command) (map[string]any, error) {
	p := map[string]any{}
	set := func(flag, property string, value any) {
		if cmd.Flags().Changed(flag) {
			p[property] = value
		}
	}
	set("description", "description", f.description)
	set("alg", "algorithms", f.algorithms)
	set("allow-address", "allowAddresses", f.addresses)
	set("proxy", "proxy", f.proxy)
	set("max-keys", "maxKeys", f.maxKeys)
	set("max-age", "maxAgeSeconds", f.maxAge)
	set("approve-keys", "approveKeys", f.approve)
	if f.keysFile != "" {
		raw, err := os.ReadFile(f.keysFile)
		if err != nil {
			return nil, fmt.Errorf("--jwks-file: %w", err)
		}
		if !jsontext.Value(raw).IsValid() {
			return nil, fmt.Errorf("--jwks-file %s is not JSON; it must be a JWK set, as it is at the issuer's jwks_uri", f.keysFile)
		}
		p["mode"], p["keySet"] = "pin", jsontext.Value(raw)
	}
	if f.pushedBy != "" {
		p["mode"], p["pushedBy"] = "push", f.pushedBy
	}
	if f.bundle != "" {
		p["mode"], p["bundleEndpoint"] = "bundle", f.bundle
	}
	if cmd.Flags().Changed("ca-file") {
		pem, err := readPEM("--ca-file", f.caFile)
		if err != nil {
			return nil, err
		}
		p["caCertificates"] = string(pem)
	}
	set("mode", "mode", f.mode)
	if p["mode"] == "discover" {
		p["keySet"], p["pushedBy"], p["bundleEndpoint"] = nil, "", ""
	}
	return p, nil
}

func issuerCreateCommand(c *connection) *cobra.Command {
	var f issuerFlags
	cmd := &cobra.Command{
		Use: "create ISSUER", Short: "Manage an issuer", Args: oneArgument("issuer"),
		Long: "Begins to manage an issuer. ISSUER is the iss claim of its tokens, byte for byte. With --jwks-file its keys are those of the file and nothing is fetched any more; with --pushed-by an application sends them; with --bundle-endpoint they are read from the SPIFFE bundle of a trust domain, and ISSUER is spiffe://TRUST-DOMAIN for tokens without iss.",
		Example: "  cambio issuer create https://k8s.example.net --jwks-file jwks.json\n" +
			"  cambio issuer create https://idp.example.net --alg RS256 --approve-keys\n" +
			"  cambio issuer create https://k8s.lab.example --pushed-by 9d1c6f0e-2a44-4b1d-8a7e-5c3f2b1a0d99\n" +
			"  cambio issuer create spiffe://example.org --bundle-endpoint https://spire.example.org/bundle",
	}
	f.register(cmd)
	return c.writing(cmd, func(ctx context.Context, op *operation, args []string) error {
		properties, err := f.properties(cmd)
		if err != nil {
			return err
		}
		properties["issuer"] = args[0]
		i, err := op.CreateIssuer(ctx, properties)
		if err == nil && !op.dryRun {
			op.note("Managed from now on: %s.", i.Issuer)
		}
		return op.show(issuerTable(i), err)
	})
}

func issuerListCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the managed issuers", Args: noArguments, Example: "  cambio issuer list"}
	return c.reading(cmd, func(ctx context.Context, op *operation, _ []string) error {
		issuers, err := op.Issuers(ctx)
		if err != nil {
			return err
		}
		return op.list(issuerTable(issuers...))
	})
}

func issuerShowCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "show ISSUER", Short: "Show a managed issuer", Args: oneArgument("issuer"), Example: "  cambio issuer show https://k8s.example.net -o json"}
	return c.reading(cmd, func(ctx context.Context, op *operation, args []string) error {
		i, err := op.Issuer(ctx, args[0])
		if err != nil {
			return err
		}
		return printOne(op.out, op.form, issuerTable(i))
	})
}

func issuerUpdateCommand(c *connection) *cobra.Command {
	var f issuerFlags
	cmd := &cobra.Command{
		Use: "update ISSUER", Short: "Change how an issuer is managed", Args: oneArgument("issuer"),
		Long:    "Changes what is given, and nothing else. A key that is no longer in a pinned set is not accepted any more when this returns, on every server.",
		Example: "  cambio issuer update https://k8s.example.net --jwks-file jwks.json\n  cambio issuer update https://k8s.example.net --mode discover",
	}
	f.register(cmd)
	return c.writing(cmd, func(ctx context.Context, op *operation, args []string) error {
		properties, err := f.properties(cmd)
		if err != nil {
			return err
		}
		if len(properties) == 0 {
			return usageError{errors.New("say what to change; see `cambio issuer update --help`")}
		}
		i, err := op.Issuer(ctx, args[0])
		if err != nil {
			return err
		}
		i, err = op.UpdateIssuer(ctx, i.ID, properties)
		return op.updated(i.Issuer, issuerTable(i), err)
	})
}

func issuerDeleteCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete ISSUER", Short: "Stop managing an issuer", Args: oneArgument("issuer"),
		Long:    "Stops managing an issuer. Credentials that name it stay and work: its keys are discovered from then on, as those of any other. To stop trusting it, delete the credentials.",
		Example: "  cambio issuer delete https://k8s.example.net --yes",
	}
	return c.deleting(cmd, func(ctx context.Context, op *operation, args []string) error {
		i, err := op.Issuer(ctx, args[0])
		if err != nil {
			return err
		}
		if err := op.confirm("what is managed of " + i.Issuer + "; its keys are discovered then"); err != nil {
			return err
		}
		return op.deleted("what was managed of "+i.Issuer, op.DeleteIssuer(ctx, i.ID))
	})
}

func issuerTable(issuers ...admin.Issuer) table {
	t := table{head: []string{"Issuer", "Mode", "Keys of", "Approval", "Id", "Description"}}
	for _, i := range issuers {
		approval := "no"
		if i.ApproveKeys {
			approval = "yes"
		}
		t.rows = append(t.rows, []string{i.Issuer, i.Mode, i.KeysAt, approval, i.ID, i.Description})
		t.raw = append(t.raw, i.Raw)
	}
	return t
}
