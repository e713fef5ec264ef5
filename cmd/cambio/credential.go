package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cambio/internal/admin"
	"cambio/internal/directory"
	"cambio/internal/lint"
	"cambio/internal/profile"
)

// defaultAudience is what Azure's clients ask their platform for.
const defaultAudience = "api://AzureADTokenExchange"

func credentialCommand() *cobra.Command {
	cmd := nounCommand("credential", "Federated identity credentials: whose tokens are trusted",
		"Creates, shows and deletes the federated identity credentials of an application (--app) or of a managed identity (--identity): which token of which identity provider signs a workload in.", "cred")
	c := connectionFlags(cmd)
	cmd.AddCommand(credentialCreateCommand(c), credentialListCommand(c), credentialShowCommand(c), credentialUpdateCommand(c), credentialUsageCommand(c), credentialDeleteCommand(c))
	return cmd
}

// holderFlags say whose credential is meant.
type holderFlags struct{ app, identity, group string }

func (f *holderFlags) add(cmd *cobra.Command, c *connection) {
	cmd.Flags().StringVar(&f.app, "app", "", "`APP` whose credential it is: appId, object id, unique name or display name")
	cmd.Flags().StringVar(&f.identity, "identity", "", "managed `IDENTITY` whose credential it is: name, client id or principal id")
	groupFlag(cmd, c, &f.group, "resource `GROUP` of the managed identity")
	c.completeFlag(cmd, "app", applicationNames)
	c.completeFlag(cmd, "identity", identityNames)
}

func (f *holderFlags) check() error {
	switch {
	case f.app == "" && f.identity == "":
		return usageError{errors.New("say whose credential is meant: --app APP or --identity IDENTITY")}
	case f.app != "" && f.identity != "":
		return usageError{errors.New("a credential is that of --app APP or of --identity IDENTITY; give one of them")}
	case f.app != "" && f.group != "":
		return usageError{errors.New("--resource-group goes with --identity")}
	}
	return nil
}

// find looks the holder up.
func (f *holderFlags) find(ctx context.Context, c *admin.Client) (admin.Holder, error) {
	if err := f.check(); err != nil {
		return admin.Holder{}, err
	}
	if f.app != "" {
		return c.ApplicationHolder(ctx, f.app)
	}
	return c.IdentityHolder(ctx, f.group, f.identity)
}

// existingFlags say what to do about a credential that has the name already,
// and another definition.
type existingFlags struct {
	ifMissing, replace bool
	override           reasonsFlag
}

func (f *existingFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.ifMissing, "if-missing", false, "leave a credential of that name as it is, whatever it says")
	cmd.Flags().BoolVar(&f.replace, "replace", false, "make a credential of that name what is given here")
	f.override.add(cmd)
}

// reasonsFlag gives reasons for what lint would refuse.
type reasonsFlag struct{ reasons []string }

func (f *reasonsFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.reasons, "override", nil, "have the credential although a rule of lint blocks it, and say why, as `RULE=REASON`; repeatable; docs/lint.md")
}

// give checks the reasons and tells the client.
func (f *reasonsFlag) give(c *admin.Client) error {
	if _, err := lint.ParseOverrides(f.reasons); err != nil {
		return usageError{fmt.Errorf("--override: %w", err)}
	}
	c.Override(f.reasons)
	return nil
}

func (f *existingFlags) existing() (admin.Existing, error) {
	switch {
	case f.ifMissing && f.replace:
		return admin.Refuse, usageError{errors.New("--if-missing and --replace exclude each other")}
	case f.ifMissing:
		return admin.Keep, nil
	case f.replace:
		return admin.Replace, nil
	}
	return admin.Refuse, nil
}

// ensureCredential creates a credential and says what became of it. Every
// form of `cambio credential create` ends here.
func ensureCredential(ctx context.Context, op *operation, holder *holderFlags, existing *existingFlags, want admin.Credential) error {
	choice, err := existing.existing()
	if err != nil {
		return err
	}
	if err := existing.override.give(op.Client); err != nil {
		return err
	}
	h, err := holder.find(ctx, op.Client)
	if err != nil {
		return err
	}
	if want.Description != "" && !h.HasDescription() {
		op.note("Note: credentials of managed identities have no description; it is left out.")
		want.Description = ""
	}
	got, outcome, err := op.EnsureCredential(ctx, h, want, choice)
	if err != nil {
		return err
	}
	switch {
	case outcome == admin.Unchanged:
		op.note("Unchanged: %s has this credential already.", h.Name)
	case outcome == admin.Kept:
		op.note("Kept: %s has a credential of this name with another %s.", h.Name, strings.Join(want.Differences(&got), ", "))
	case !op.dryRun:
		op.note("%s the credential %s of %s.", capitalised(string(outcome)), got.Name, h.Name)
	}
	return op.show(credentialTable(got), nil)
}

// definitionFlags are the properties of a credential.
type definitionFlags struct {
	name, issuer, issuerSet, subject, description, expression, parameters string
	audiences                                                             []string
}

// issuerOrSet is what stands as the issuer: one, or the reference to a set.
func (f *definitionFlags) issuerOrSet() (string, error) {
	switch {
	case f.issuerSet == "":
		return f.issuer, nil
	case f.issuer != "":
		return "", usageError{errors.New("--issuer and --issuer-set exclude each other")}
	case !directory.IsIssuerSetReference(directory.IssuerSetReference(f.issuerSet)):
		return "", usageError{fmt.Errorf("--issuer-set %q is no name that a set can have; `cambio issuer set list` shows them", f.issuerSet)}
	}
	return directory.IssuerSetReference(f.issuerSet), nil
}

func (f *definitionFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.issuer, "issuer", "", "`URL` of the identity provider, byte for byte the iss of its tokens")
	flags.StringVar(&f.issuerSet, "issuer-set", "", "`NAME` of a set of issuers, instead of --issuer; see cambio issuer set")
	flags.StringVar(&f.subject, "subject", "", "`SUBJECT` of the tokens, byte for byte their sub")
	flags.StringArrayVar(&f.audiences, "audience", nil, "`AUDIENCE` of the tokens, one of their aud; repeatable (default "+defaultAudience+")")
	flags.StringVar(&f.expression, "claims-matching-expression", "", "`EXPRESSION` over the claims of the tokens, instead of --subject")
	flags.StringVar(&f.description, "description", "", "`TEXT` for people")
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "audiences" { // az identity federated-credential
			name = "audience"
		}
		return pflag.NormalizedName(name)
	})
}

// parametersJSON is the object that `az ad app federated-credential create
// --parameters` takes.
type parametersJSON struct {
	Name        string            `json:"name"`
	Issuer      string            `json:"issuer"`
	Subject     string            `json:"subject"`
	Audiences   []string          `json:"audiences"`
	Description string            `json:"description"`
	Expression  *admin.Expression `json:"claimsMatchingExpression"`
}

// credential is the wanted credential.
func (f *definitionFlags) credential(in io.Reader) (admin.Credential, error) {
	if f.parameters != "" {
		return f.fromParameters(in)
	}
	issuer, err := f.issuerOrSet()
	if err != nil {
		return admin.Credential{}, err
	}
	if err := required([2]string{"name", f.name}, [2]string{"issuer", issuer}); err != nil {
		return admin.Credential{}, err
	}
	if (f.subject == "") == (f.expression == "") {
		return admin.Credential{}, usageError{errors.New("give --subject, or --claims-matching-expression instead")}
	}
	c := admin.Credential{Name: f.name, Issuer: issuer, Subject: f.subject, Audiences: f.audiences, Description: f.description}
	if f.expression != "" {
		c.Expression = &admin.Expression{Value: f.expression, LanguageVersion: 1}
	}
	if len(c.Audiences) == 0 {
		c.Audiences = []string{defaultAudience}
	}
	return c, nil
}

func (f *definitionFlags) fromParameters(in io.Reader) (admin.Credential, error) {
	if f.issuer != "" || f.issuerSet != "" || f.subject != "" || f.description != "" || f.expression != "" || len(f.audiences) > 0 {
		return admin.Credential{}, usageError{errors.New("--parameters says everything but the name; leave the other flags out")}
	}
	raw, err := readArgument(in, f.parameters)
	if err != nil {
		return admin.Credential{}, err
	}
	var p parametersJSON
	if err := unmarshal(raw, &p); err != nil {
		return admin.Credential{}, usageError{fmt.Errorf("--parameters: %s: %w", argumentName(f.parameters), err)}
	}
	c := admin.Credential{Name: p.Name, Issuer: p.Issuer, Subject: p.Subject, Audiences: p.Audiences, Description: p.Description, Expression: p.Expression}
	if f.name != "" {
		c.Name = f.name
	}
	if c.Name == "" {
		return c, usageError{fmt.Errorf("--parameters: %s has no name; add one, or --name", argumentName(f.parameters))}
	}
	return c, nil
}

func credentialCreateCommand(c *connection) *cobra.Command {
	var holder holderFlags
	var existing existingFlags
	var definition definitionFlags
	var token tokenFlags
	cmd := &cobra.Command{
		Use: "create", Short: "Trust the tokens of a workload's platform", Args: noArguments, Annotations: map[string]string{oneRequest: "true"},
		Long: "Creates a federated identity credential. The same definition a second time changes nothing; another one under the same name is refused, unless --replace or --if-missing says what to do.\n\n" +
			"The commands below know the tokens of one platform each and make issuer and subject from what a person knows of the workload. --from-token does so from a token: it shows what the token says, without verifying it, and proposes the credential that the token would match. On a terminal it asks before it creates it, with --yes it creates it, else it prints it; -o json prints what az takes.\n\n" +
			"--parameters takes the JSON that `az ad app federated-credential create --parameters` takes, unchanged: a file, - for standard input, or the JSON itself.\n\n" +
			"With a bootstrap token (`cambio bootstrap` prints one) name the application by its client id: this is the one request that the token is good for.",
		Example: "  cambio credential create --app shop-api --name main --issuer https://token.actions.githubusercontent.com --subject repo:acme/shop:ref:refs/heads/main\n" +
			"  cambio credential create --app shop-api --from-token token.txt\n" +
			"  cambio credential create --app shop-api --parameters credential.json\n" +
			"  cambio credential create --identity shop -g team-a --name cluster --issuer https://oidc.example.net --subject system:serviceaccount:shop:api",
	}
	holder.add(cmd, c)
	cmd.Flags().StringVar(&definition.name, "name", "", "`NAME` of the credential, which never changes")
	definition.add(cmd)
	cmd.Flags().StringVar(&definition.parameters, "parameters", "", "`FILE` or JSON with the definition, instead of flags")
	existing.add(cmd)
	token.add(cmd)
	addProfileCommands(cmd, c)
	c.writing(cmd, func(ctx context.Context, op *operation, _ []string) error {
		if token.proposed != nil {
			if token.force { // the proposal was called dangerous for what L1 is about
				existing.override.reasons = append(existing.override.reasons, "L1=created with --force")
			}
			return ensureCredential(ctx, op, &holder, &existing, *token.proposed)
		}
		want, err := definition.credential(op.in)
		if err != nil {
			return err
		}
		op.noteProposal(profile.Review(want.Issuer, want.Subject))
		return ensureCredential(ctx, op, &holder, &existing, want)
	})
	return token.wrap(cmd, &definition, &holder)
}

func credentialTable(c admin.Credential) table {
	return table{
		head: []string{"Name", "Issuer", "Subject", "Expression", "Audiences", "Description", "Id"},
		rows: [][]string{{c.Name, c.Issuer, c.Subject, expression(c), strings.Join(c.Audiences, " "), c.Description, c.ID}},
		raw:  []jsontext.Value{c.Raw},
	}
}

func expression(c admin.Credential) string {
	if c.Expression == nil {
		return ""
	}
	return c.Expression.Value
}
