package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"cambio/internal/config"
	"cambio/internal/oidc"
)

// checkOptions are the flags of `cambio issuer check`.
type checkOptions struct {
	config, caFile string
	bundle         string // of `cambio issuer check` alone
	addresses      []string
	maxKeys        int
}

func issuerCheckCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use: "check ISSUER", Short: "Look at an issuer from outside in, without a server", Args: oneArgument("issuer"),
		Long: "Goes the way that a server goes for the first token of an issuer, with the same code, and says of each step whether it worked and what to do: the URL, its name and addresses, TLS, the discovery document, its issuer, the key set, and which of its keys are used.\n\n" +
			"It needs no server and changes nothing. What it sees is what this machine sees: run it where the server runs, with the server's configuration. It ends with 1 when tokens of the issuer could not be verified.",
		Example: "  cambio issuer check https://token.actions.githubusercontent.com\n" +
			"  cambio issuer check https://idp.example.net --config config.yaml\n" +
			"  cambio issuer check https://k8s.example.net:6443 --ca-file ca.pem --allow-address 10.0.0.0/8\n" +
			"  cambio issuer check spiffe://example.org --bundle-endpoint https://spire.example.org:8443",
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := o.settings(args[0])
			if err != nil {
				return err
			}
			var report *oidc.Report
			if o.bundle != "" {
				report, err = oidc.CheckBundle(cmd.Context(), settings, args[0], o.bundle)
			} else {
				report, err = oidc.Check(cmd.Context(), settings, args[0])
			}
			if err != nil {
				return err
			}
			printReport(cmd.OutOrStdout(), report)
			if !report.OK() {
				return errors.New("tokens of this issuer cannot be verified")
			}
			return nil
		},
	}
	o.register(cmd)
	cmd.Flags().StringVar(&o.bundle, "bundle-endpoint", "", "`URL` of the SPIFFE bundle that its keys are in, instead of those that it publishes by discovery")
	return cmd
}

// register adds the flags that say how an issuer is reached.
func (o *checkOptions) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.config, "config", "", "configuration `FILE` of a server, whose rules for issuers hold")
	cmd.Flags().StringVar(&o.caFile, "ca-file", "", "PEM `FILE` with further certificate authorities")
	cmd.Flags().StringSliceVar(&o.addresses, "allow-address", nil, "private address `RANGE` that it may be on, as 10.0.0.0/8; may be repeated")
	cmd.Flags().IntVar(&o.maxKeys, "max-keys", 0, "how many `KEYS` of the set are used; 0: as configured, 100 without configuration")
}

// settings are those of a server for the issuer, with what the flags add.
func (o *checkOptions) settings(issuer string) (out oidc.Config, err error) {
	if o.config != "" {
		cfg, err := config.Load(o.config)
		if err != nil {
			return out, err
		}
		if out, _, err = issuerConfig(cfg.Issuers); err != nil {
			return out, err
		}
	}
	roots, err := readPEM("--ca-file", o.caFile)
	if err != nil {
		return out, err
	}
	out.ExtraRootsPEM = append(out.ExtraRootsPEM, roots...)
	for _, text := range o.addresses {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return out, usageError{fmt.Errorf("--allow-address %q is not an address range such as 10.0.0.0/8", text)}
		}
		out.AllowedPrefixes = append(out.AllowedPrefixes, p)
	}
	if o.maxKeys < 0 {
		return out, usageError{errors.New("--max-keys must not be negative")}
	}
	if o.maxKeys > 0 {
		out.MaxKeys = o.maxKeys
		for i := range out.Issuers {
			if out.Issuers[i].Issuer == issuer {
				out.Issuers[i].MaxKeys = o.maxKeys
			}
		}
	}
	return out, nil
}

func printReport(out io.Writer, report *oidc.Report) {
	say := func(format string, args ...any) {
		_, _ = fmt.Fprintln(out, plain(fmt.Sprintf(format, args...))) // a closed terminal is nobody's error
	}
	for _, s := range report.Steps {
		mark := "ok    "
		if !s.OK {
			mark = "FAILED"
		}
		say("%s %s: %s", mark, s.Name, s.Note)
		if s.Advice != "" {
			say("       → %s", s.Advice)
		}
	}
	for _, key := range report.Keys {
		say("key    %s %s kid %q thumbprint %s", key.Kind(), orAny(string(key.Algorithm())), key.KeyID, key.Thumbprint())
	}
	for _, key := range report.Ignored {
		say("unused key %d kid %q: %s", key.Index+1, key.KeyID, key.Reason)
	}
	if !report.CertificateExpires.IsZero() {
		say("TLS certificate ends: %s", report.CertificateExpires.UTC().Format(time.RFC3339))
	}
}

func orAny(alg string) string {
	if alg == "" {
		return "(any alg)"
	}
	return alg
}
