package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cambio/internal/bootstrap"
	"cambio/internal/config"
	"cambio/internal/directory"
	"cambio/internal/keys"
	"cambio/internal/server"
	"cambio/internal/store"
)

type bootstrapFlags struct {
	config, name, compat, issuer, subject, audience, newToken string
	domains                                                   []string
}

func bootstrapCommand() *cobra.Command {
	var f bootstrapFlags
	cmd := &cobra.Command{
		Use: "bootstrap", Short: "Create a tenant and its first administrator", Args: noArguments,
		Long: "Creates a tenant, its management resource and an administrator that holds all of its roles.\n\n" +
			"With --issuer and --subject the administrator signs in with that workload's token. Without them, a bootstrap token is printed: " +
			"it is good for one request to the management APIs within 15 minutes, usually the one that creates the administrator's federated identity credential.\n\n" +
			"It writes to the database of the configuration directly, whether or not the server is running.",
		Example: "  cambio bootstrap --config config.yaml --name Example --domain example.net --issuer https://token.actions.githubusercontent.com --subject repo:acme/ops:environment:prod",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runBootstrap(cmd.Context(), cmd.OutOrStdout(), f) },
	}
	configFlag(cmd, &f.config)
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "display name of the tenant (required)")
	flags.StringVar(&f.newToken, "new-token", "", "print a new bootstrap token for this `TENANT` (id or domain), and make its administrator again if it was deleted")
	flags.StringArrayVar(&f.domains, "domain", nil, "domain name of the tenant; repeatable")
	flags.StringVar(&f.compat, "compat", string(directory.Relaxed), "compatibility level: relaxed or strict")
	flags.StringVar(&f.issuer, "issuer", "", "issuer of the administrator's tokens")
	flags.StringVar(&f.subject, "subject", "", "subject of the administrator's tokens")
	flags.StringVar(&f.audience, "audience", "api://AzureADTokenExchange", "audience of the administrator's tokens")
	return cmd
}

func (f *bootstrapFlags) tenant() (bootstrap.Tenant, error) {
	t := bootstrap.Tenant{DisplayName: f.name, Compat: directory.Compat(f.compat)}
	for _, d := range f.domains {
		t.Domains = append(t.Domains, strings.ToLower(d))
	}
	switch {
	case f.newToken != "" && (f.name != "" || f.issuer != "" || len(f.domains) > 0):
		return t, usageError{errors.New("--new-token goes with --config only")}
	case f.newToken != "":
		return t, nil
	case f.name == "":
		return t, usageError{errors.New("--name is required")}
	case t.Compat != directory.Relaxed && t.Compat != directory.Strict:
		return t, usageError{fmt.Errorf("--compat %q must be relaxed or strict", f.compat)}
	case (f.issuer == "") != (f.subject == ""):
		return t, usageError{errors.New("--issuer and --subject go together")}
	}
	if f.issuer != "" {
		t.Credential = &directory.FederatedIdentityCredential{Name: "administrator", Issuer: f.issuer, Subject: f.subject, Audiences: []string{f.audience},
			Description: "Created by cambio bootstrap."}
	}
	return t, nil
}

func runBootstrap(ctx context.Context, out io.Writer, f bootstrapFlags) error {
	tenant, err := f.tenant()
	if err != nil {
		return err
	}
	cfg, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	if err := checkBootstrap(cfg, tenant); err != nil {
		return err
	}
	there, err := store.Exists(ctx, storeConfig(cfg, logger(cfg.Log)))
	if err != nil {
		return err
	}
	if !there && cfg.Keys.EncryptionKeyFile != "" {
		created, err := keys.CreateEncryptionKeyFile(cfg.Keys.EncryptionKeyFile)
		if err != nil {
			return fmt.Errorf("the key-encryption key: %w", err)
		}
		if created {
			_, _ = fmt.Fprintf(out, "Created the key-encryption key %s. Keep a copy of it apart from the database: without it the signing keys cannot be read.\n\n", cfg.Keys.EncryptionKeyFile)
		}
	}
	// The keys are opened before anything is written: a key-encryption key
	// that was lost or mistaken shows here, not when the server starts.
	return withDatabase(cfg, func(keyring keys.Config) error {
		if _, err := keys.Open(ctx, keyring); err != nil {
			return err
		}
		created, err := f.create(ctx, keyring.DB, tenant)
		if err != nil {
			return err
		}
		return announceTenant(out, cfg, created)
	})
}

// create makes the tenant, or a new bootstrap token for one that exists.
func (f *bootstrapFlags) create(ctx context.Context, db *store.DB, tenant bootstrap.Tenant) (bootstrap.Result, error) {
	if f.newToken != "" {
		return bootstrap.NewToken(ctx, db, f.newToken, time.Now())
	}
	return bootstrap.Create(ctx, db, tenant, time.Now())
}

func announceTenant(out io.Writer, cfg config.Config, r bootstrap.Result) error {
	_, err := fmt.Fprintf(out, "Tenant           %s\nAuthority        %s/%s\nAdministrator    %s (client id)\nManagement scope %s/.default\n",
		r.TenantID, cfg.BaseURL, r.TenantID, r.AdminClientID, cfg.BaseURL)
	if err != nil || r.BootstrapToken == "" {
		return err
	}
	_, err = fmt.Fprintf(out, `
Bootstrap token  %s

It works once, within 15 minutes. Use it to let the administrator sign in with
its own platform's token (add --ca FILE for a certificate of your own):

  CAMBIO_ACCESS_TOKEN=%[1]s cambio credential create --authority %[2]s \
    --app %[4]s --name administrator --issuer https://ISSUER --subject SUBJECT

or without this program (--cacert FILE):

  curl -sS -H 'Authorization: Bearer %[1]s' -H 'Content-Type: application/json' \
    -d '{"name":"administrator","issuer":"https://ISSUER","subject":"SUBJECT","audiences":["api://AzureADTokenExchange"]}' \
    %[2]s/v1.0/applications/%[3]s/federatedIdentityCredentials

Then see that the administrator signs in, with that token in a FILE:

  cambio whoami --authority %[2]s --client-id %[4]s --federated-token-file FILE
`, r.BootstrapToken, cfg.BaseURL, r.AdminObjectID, r.AdminClientID)
	return err
}

// checkBootstrap applies the rules that the management API applies.
func checkBootstrap(cfg config.Config, t bootstrap.Tenant) error {
	if t.DisplayName == "" {
		return nil // a new token only
	}
	tenant := directory.Tenant{ID: directory.DefaultAppRoleID, DisplayName: t.DisplayName, Domains: t.Domains, Compat: t.Compat} // the id is chosen later
	if err := directory.ValidateTenant(&tenant); err != nil {
		return err
	}
	if t.Credential == nil {
		return nil
	}
	issuers, _, err := issuerConfig(cfg.Issuers)
	if err != nil {
		return err
	}
	check, err := server.IssuerCheck(cfg.BaseURL, issuers)
	if err != nil {
		return err
	}
	return directory.ValidateCredential(t.Credential, t.Compat, check)
}
