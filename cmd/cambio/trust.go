package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
	"cambio/internal/trust"
)

// trustCommands are those of the declarative trust configuration.
func trustCommands() []*cobra.Command {
	return []*cobra.Command{trustPlanCommand(), trustApplyCommand(), trustExportCommand(), trustImportCommand(), trustTestCommand()}
}

// trustFlags are what plan and apply have in common.
type trustFlags struct {
	files []string
	form  string
	prune bool
}

func (f *trustFlags) add(cmd *cobra.Command) {
	filesFlag(cmd, &f.files)
	formFlag(cmd, &f.form, formTable, formTable, formJSON)
	cmd.Flags().BoolVar(&f.prune, "prune", false, "delete what the files do not name; the management resource and holders of its roles stay")
}

func filesFlag(cmd *cobra.Command, to *[]string) {
	cmd.Flags().StringArrayVarP(to, "file", "f", nil, "trust configuration (`FILE`) in YAML or JSON, - for standard input; repeatable")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json") // the flag is there
}

// formFlag adds -o with the forms that a command has.
func formFlag(cmd *cobra.Command, to *string, standard string, forms ...string) {
	cmd.Flags().StringVarP(to, "output", "o", standard, "`FORM` of the output: "+strings.Join(forms, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if !slices.Contains(forms, *to) {
			return usageError{fmt.Errorf("--output %q must be one of %s", *to, strings.Join(forms, ", "))}
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}

// readTrust reads and joins the files. Mistakes name file, line and column.
func readTrust(cmd *cobra.Command, files []string) (*trust.Document, error) {
	if len(files) == 0 {
		return nil, usageError{errors.New("name a trust configuration with -f FILE")}
	}
	all := &trust.Document{}
	for _, file := range files {
		raw, err := readInput(input(cmd), file)
		if err != nil {
			return nil, err
		}
		d, err := trust.Parse(file, raw)
		if err != nil {
			return nil, usageError{err}
		}
		all.Merge(d)
	}
	return all, nil
}

// maxInput bounds a file in bytes: az prints a whole tenant in one list.
const maxInput = 64 << 20

// readInput reads a file, or standard input.
func readInput(in io.Reader, file string) ([]byte, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, usageError{err}
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(raw) > maxInput {
		err = usageError{fmt.Errorf("%s is larger than %d MiB", file, maxInput>>20)}
	}
	return raw, err
}

// pendingError is the answer of plan --detailed-exitcode when there are
// changes.
type pendingError struct{ changes int }

func (e pendingError) Error() string { return fmt.Sprintf("%s to apply", counted(e.changes, "change")) }

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func trustPlanCommand() *cobra.Command {
	var f trustFlags
	var detailed bool
	cmd := &cobra.Command{
		Use: "plan -f FILE", Short: "Show what a trust configuration would change", Args: noArguments,
		Long: "Compares trust configurations with the tenant and shows what `cambio apply` would create (+), change (~) and delete (-). Nothing is changed.\n\n" +
			"A property that a file leaves out stays as it is. A list of federatedIdentityCredentials, appRoles or appRoleAssignments that is there is complete: other entries of that object are deleted. Objects that no file names stay, unless --prune is given.",
		Example: "  cambio plan -f trust.yaml\n  cambio plan -f base.yaml -f shop.yaml --prune --detailed-exitcode",
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "end with code 6 when there are changes")
	c := connectionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, client, err := f.open(cmd, c)
		if err != nil {
			return err
		}
		plan, err := client.PlanTrust(cmd.Context(), d.JSON(), f.prune)
		if err != nil {
			return err
		}
		if err := f.print(cmd.OutOrStdout(), plan, "to"); err != nil {
			return err
		}
		if detailed && len(plan.Changes) > 0 {
			return pendingError{len(plan.Changes)}
		}
		return nil
	}
	return cmd
}

func (f *trustFlags) open(cmd *cobra.Command, c *connection) (*trust.Document, *admin.Client, error) {
	d, err := readTrust(cmd, f.files)
	if err != nil {
		return nil, nil, err
	}
	client, err := c.client(nil)
	return d, client, err
}

func trustApplyCommand() *cobra.Command {
	var f trustFlags
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make a tenant what a trust configuration says", Args: noArguments,
		Long:    "Makes the changes that `cambio plan` shows, all of them or none. It shows them and asks first, unless --yes is said; what was shown is what is done: if the tenant changes meanwhile, nothing is done (exit code 5). Applying the same files again changes nothing.",
		Example: "  cambio apply -f trust.yaml\n  cambio apply -f trust.yaml --prune --yes",
	}
	f.add(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask; needed where there is no terminal")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show the changes and make none, like cambio plan")
	c := connectionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, client, err := f.open(cmd, c)
		if err != nil {
			return err
		}
		document := d.JSON()
		ask := !yes && !dryRun
		if ask && !isTerminal(input(cmd)) {
			return nobodyToAsk("changed")
		}
		if client.SingleUse() && (ask || dryRun) {
			return usageError{errors.New("a bootstrap token is good for one request: apply with --yes, without looking first")}
		}
		etag := ""
		if !yes || dryRun {
			plan, err := client.PlanTrust(cmd.Context(), document, f.prune)
			if err != nil {
				return err
			}
			if dryRun || len(plan.Changes) == 0 {
				return f.print(cmd.OutOrStdout(), plan, "to")
			}
			if err := f.approve(cmd, plan); err != nil {
				return err
			}
			etag = plan.ETag
		}
		done, err := client.ApplyTrust(cmd.Context(), document, f.prune, etag)
		if err != nil {
			return err
		}
		return f.print(cmd.OutOrStdout(), done, "was")
	}
	return cmd
}

// approve shows a plan and asks a person.
func (f *trustFlags) approve(cmd *cobra.Command, plan admin.TrustPlan) error {
	if err := printPlan(cmd.ErrOrStderr(), plan, "to"); err != nil {
		return err
	}
	_, _ = fmt.Fprint(cmd.ErrOrStderr(), "Make these changes? [y/N] ")
	if yes, err := saysYes(input(cmd)); err != nil || yes {
		return err
	}
	return errors.New("nothing was changed")
}

func (f *trustFlags) print(out io.Writer, plan admin.TrustPlan, tense string) error {
	if f.form != formJSON {
		return printPlan(out, plan, tense)
	}
	raw, err := json.Marshal(plan, json.FormatNilSliceAsNull(false))
	if err != nil {
		return err
	}
	return printDocument(out, formJSON, raw)
}

// printPlan shows changes for people: a line for each object, and one for each
// of its properties.
func printPlan(out io.Writer, plan admin.TrustPlan, tense string) error {
	var b strings.Builder
	count := map[string]int{}
	signs := map[string]string{trust.Create: "+", trust.Update: "~", trust.Delete: "-"}
	for _, c := range plan.Changes {
		count[c.Action]++
		fmt.Fprintf(&b, "%s %s %s\n", signs[c.Action], tsvCell(c.Kind), tsvCell(c.Name))
		width := 0
		for _, p := range c.Properties {
			width = max(width, len(p.Name))
		}
		for _, p := range c.Properties {
			if empty(p.Old) && empty(p.New) {
				continue
			}
			value := tsvCell(string(p.New))
			switch {
			case p.Old != nil && p.New != nil:
				value = tsvCell(string(p.Old)) + " → " + value
			case p.Old != nil:
				value = tsvCell(string(p.Old))
			}
			fmt.Fprintf(&b, "    %-*s  %s\n", width, tsvCell(p.Name), value)
		}
	}
	for _, k := range plan.Kept {
		fmt.Fprintf(&b, "  %s is kept: it holds app roles of the management resource, or is the caller\n", tsvCell(k))
	}
	switch {
	case len(plan.Changes) == 0:
		b.WriteString("No changes: the tenant is as the configuration says.\n")
	case tense == "was":
		fmt.Fprintf(&b, "%d created, %d changed, %d deleted.\n", count[trust.Create], count[trust.Update], count[trust.Delete])
	default:
		fmt.Fprintf(&b, "%d to create, %d to change, %d to delete.\n", count[trust.Create], count[trust.Update], count[trust.Delete])
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// empty reports a value that says nothing to a person.
func empty(v jsontext.Value) bool {
	return v == nil || slices.Contains([]string{"null", `""`, "[]", "{}"}, string(v))
}

func trustExportCommand() *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use: "export", Short: "Print the tenant's trust configuration", Args: noArguments,
		Long: "Prints the trust configuration of what the tenant has, identifiers included: the same state gives the same bytes. Applying it to the tenant changes nothing; applying it to an empty tenant of another installation makes the same clients.\n\n" +
			"The management resource is not in it: the server keeps that itself.",
		Example: "  cambio export\n  cambio export -o json",
	}
	formFlag(cmd, &form, formYAML, formYAML, formJSON)
	c := connectionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := c.client(nil)
		if err != nil {
			return err
		}
		raw, err := client.TrustConfiguration(cmd.Context())
		if err != nil {
			return err
		}
		d, err := trust.ParseJSON(raw)
		if err != nil {
			return fmt.Errorf("the server's configuration cannot be read by this version of cambio: %w", err)
		}
		return writeTrust(cmd.OutOrStdout(), form, d, client.Settings().Authority+admin.TrustSchemaPath)
	}
	return cmd
}

func writeTrust(out io.Writer, form string, d *trust.Document, schema string) error {
	if form == formJSON {
		_, err := io.WriteString(out, escaped(string(d.IndentedJSON()), jsonEscape))
		return err
	}
	raw, err := d.YAML(schema)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, escaped(string(raw), yamlEscape))
	return err
}

func trustImportCommand() *cobra.Command {
	var form string
	var graphFiles, armFiles []string
	cmd := &cobra.Command{
		Use: "import", Short: "Make a trust configuration of what az or Graph say of an existing tenant", Args: noArguments,
		Long: "Reads the JSON that `az ad app list`, `az ad sp list`, `az ad app federated-credential list`, `az identity list` and `az identity federated-credential list` print, pages of Microsoft Graph (applications, service principals, their appRoleAssignments) and of Azure Resource Manager, and prints a trust configuration with the same client ids. Nothing is sent anywhere. What has no counterpart is named on standard error.\n\n" +
			"az does not say whose the federated credentials of an application are: name it before the file.",
		Example: "  cambio import --graph apps.json --graph sps.json --graph APPID=shop.json --arm identities.json",
	}
	cmd.Flags().StringArrayVar(&graphFiles, "graph", nil, "`[APPLICATION=]FILE` with what az ad or Microsoft Graph answered; repeatable")
	cmd.Flags().StringArrayVar(&armFiles, "arm", nil, "`FILE` with what az identity, az group or Azure Resource Manager answered; repeatable")
	formFlag(cmd, &form, formYAML, formYAML, formJSON)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(graphFiles)+len(armFiles) == 0 {
			return usageError{errors.New("name files with --graph and --arm")}
		}
		return importTrust(cmd, form, graphFiles, armFiles)
	}
	return cmd
}

func importTrust(cmd *cobra.Command, form string, graphFiles, armFiles []string) error {
	e := &trust.Entra{ManagementRoles: managementRoles()}
	for i, file := range append(slices.Clone(graphFiles), armFiles...) {
		parent := ""
		if before, after, named := strings.Cut(file, "="); named && i < len(graphFiles) {
			parent, file = before, after
		}
		raw, err := readInput(input(cmd), file)
		if err != nil {
			return err
		}
		if err := e.Add(file, parent, raw); err != nil {
			return usageError{err}
		}
	}
	d := e.Document()
	for _, w := range e.Warnings {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "warning:", tsvCell(w))
	}
	if _, err := trust.ParseJSON(d.JSON()); err != nil {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "warning: the configuration needs mending before it can be applied:\n%v\n", err)
	}
	return writeTrust(cmd.OutOrStdout(), form, d, "")
}
