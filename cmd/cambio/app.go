package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
)

func appCommand() *cobra.Command {
	cmd := nounCommand("app", "Applications: the clients that workloads sign in as",
		"Creates, shows and deletes applications. APP is an appId, an object id, a unique name, an identifier URI, or a display name that only one application has.", "application")
	c := connectionFlags(cmd)
	cmd.AddCommand(appCreateCommand(c), appListCommand(c), appShowCommand(c), appUpdateCommand(c), appDeleteCommand(c), appRestoreCommand(c), appOwnerCommand(c))
	return cmd
}

// appFlags are the properties of an application that have a flag.
type appFlags struct {
	name, uniqueName, json string
	identifierURIs         []string
	tokenVersion           int
	disabled               bool
}

// shared adds the flags that create and update have in common.
func (f *appFlags) shared(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.identifierURIs, "identifier-uri", nil, "`URI` that tokens are requested for, as in api://orders; repeatable")
	flags.IntVar(&f.tokenVersion, "token-version", 0, "`VERSION` of the access tokens that it gets as a resource: 1 or 2")
	flags.StringVar(&f.json, "json", "", "`FILE` with the properties as JSON, in the form of Microsoft Graph; - is standard input")
	_ = cmd.MarkFlagFilename("json") // the flag is there
}

// properties are the Graph properties that the file and the flags give. What
// a flag says goes before what the file says.
func (f *appFlags) properties(cmd *cobra.Command) (map[string]any, error) {
	p := map[string]any{}
	if f.json != "" {
		if err := readObject(input(cmd), f.json, p); err != nil {
			return nil, err
		}
	}
	changed := cmd.Flags().Changed
	if changed("identifier-uri") {
		p["identifierUris"] = nonEmpty(f.identifierURIs)
	}
	if changed("token-version") {
		if f.tokenVersion != 1 && f.tokenVersion != 2 {
			return nil, usageError{fmt.Errorf("--token-version %d must be 1 or 2", f.tokenVersion)}
		}
		p["api"] = map[string]any{"requestedAccessTokenVersion": f.tokenVersion}
	}
	if changed("disabled") {
		p["isDisabled"] = f.disabled
	}
	if f.name != "" {
		p["displayName"] = f.name
	}
	if f.uniqueName != "" {
		p["uniqueName"] = f.uniqueName
	}
	return p, nil
}

// nonEmpty makes --identifier-uri "" an empty list.
func nonEmpty(list []string) []string {
	kept := []string{}
	for _, s := range list {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

func appCreateCommand(c *connection) *cobra.Command {
	var f appFlags
	var bare, ifMissing bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create an application, and its service principal",
		Long: "Creates an application with this display name, and its service principal in the tenant, which holds its roles.\n" +
			"A name that is taken already is refused, since it could no longer be used to address either.",
		Example: "  cambio app create shop-api\n  cambio app create shop-api --unique-name shop-api --if-missing -o json\n  cambio app create --json application.json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && f.json != "" {
				return nil
			}
			return oneArgument("NAME")(cmd, args)
		},
	}
	f.shared(cmd)
	cmd.Flags().StringVar(&f.uniqueName, "unique-name", "", "unique `NAME`, which never changes")
	cmd.Flags().BoolVar(&bare, "no-service-principal", false, "do not create the service principal")
	cmd.Flags().BoolVar(&ifMissing, "if-missing", false, "show the application of that name if there is one, and change nothing")
	return c.writing(cmd, func(ctx context.Context, op *operation, args []string) error {
		if len(args) > 0 {
			f.name = args[0]
		}
		properties, err := f.properties(cmd)
		if err != nil {
			return err
		}
		have, err := existing(ctx, op, properties)
		if err != nil || have != nil && !ifMissing {
			return taken("application", have, err)
		}
		if have != nil {
			op.note("Unchanged: there is an application %s already.", have.DisplayName)
			return op.show(applicationTable(*have), nil)
		}
		a, err := createApplication(ctx, op, properties, !bare, false)
		return op.show(applicationTable(a), err)
	})
}

// existing finds an application that has the display name or unique name
// which a new one is to have.
func existing(ctx context.Context, op *operation, properties map[string]any) (*admin.Application, error) {
	for _, name := range []string{"uniqueName", "displayName"} {
		value := text(properties[name])
		if value == "" {
			continue
		}
		a, err := op.FindApplication(ctx, value)
		if err == nil {
			return &a, nil
		}
		// Who may create may not be allowed to look (Application.ReadWrite.OwnedBy).
		if kind := admin.KindOf(err); kind != admin.NotFound && kind != admin.Denied {
			return nil, err
		}
	}
	return nil, nil
}

// text is a property that was given by a flag or in a file.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case jsontext.Value:
		var s string
		if unmarshal(v, &s) == nil {
			return s
		}
	}
	return ""
}

func taken(kind string, have *admin.Application, err error) error {
	if err != nil {
		return err
	}
	return admin.Conflictf("there is an %s %q already (appId %s); use another name, or --if-missing", kind, have.DisplayName, have.AppID)
}

// createApplication creates an application and, if wanted, its service
// principal.
func createApplication(ctx context.Context, op *operation, properties map[string]any, principal, assignmentRequired bool) (admin.Application, error) {
	a, err := op.CreateApplication(ctx, properties)
	if err != nil {
		return a, err
	}
	if principal {
		if _, err := op.CreatePrincipal(ctx, a.AppID, assignmentRequired); err != nil {
			return a, fmt.Errorf("the application was created (appId %s), but not its service principal; `cambio app delete %[1]s` takes it away, to try again: %w", a.AppID, err)
		}
	}
	if !op.dryRun {
		op.note("Created %s.", a.DisplayName)
	}
	return a, nil
}

func appListCommand(c *connection) *cobra.Command {
	var deleted bool
	cmd := &cobra.Command{Use: "list", Short: "List the applications", Args: noArguments,
		Long:    "Lists the applications: all of them, or those that the caller owns if it holds Application.ReadWrite.OwnedBy alone.",
		Example: "  cambio app list\n  cambio app list --deleted\n  cambio app list -o tsv | cut -f2"}
	cmd.Flags().BoolVar(&deleted, "deleted", false, "list those that were deleted and can be restored instead")
	return c.reading(cmd, func(ctx context.Context, op *operation, _ []string) error {
		list := op.Applications
		if deleted {
			list = op.DeletedApplications
		}
		all, err := list(ctx)
		if err != nil {
			return err
		}
		op.noteOwnedOnly()
		t := table{head: []string{"NAME", "APP ID", "OBJECT ID", "UNIQUE NAME", "IDENTIFIER URIS"}}
		for _, a := range all {
			t.rows = append(t.rows, []string{a.DisplayName, a.AppID, a.ID, a.UniqueName, strings.Join(a.IdentifierURIs, " ")})
			t.raw = append(t.raw, a.Raw)
		}
		return op.list(t)
	})
}

func applicationTable(a admin.Application) table {
	version, state := "", "enabled"
	if a.API.TokenVersion != 0 {
		version = strconv.Itoa(a.API.TokenVersion)
	}
	if a.IsDisabled {
		state = "disabled"
	}
	return table{
		head: []string{"Name", "App id", "Object id", "Unique name", "Identifier URIs", "App roles", "Token version", "State", "Created"},
		rows: [][]string{{a.DisplayName, a.AppID, a.ID, a.UniqueName, strings.Join(a.IdentifierURIs, " "), roleValues(a.AppRoles), version, state, a.Created}},
		raw:  []jsontext.Value{a.Raw},
	}
}

func roleValues(roles []admin.AppRole) string {
	var values []string
	for _, r := range roles {
		values = append(values, r.Value)
	}
	return strings.Join(values, " ")
}

func appShowCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "show APP", Short: "Show an application", Args: oneArgument("APP"), ValidArgsFunction: c.argumentNames(applicationNames),
		Example: "  cambio app show shop-api\n  cambio app show shop-api -o json"}
	return c.reading(cmd, func(ctx context.Context, op *operation, args []string) error {
		a, err := op.FindApplication(ctx, args[0])
		return op.show(applicationTable(a), err)
	})
}

func appUpdateCommand(c *connection) *cobra.Command {
	var f appFlags
	cmd := &cobra.Command{
		Use: "update APP", Short: "Change an application", Args: oneArgument("APP"), ValidArgsFunction: c.argumentNames(applicationNames),
		Long:    "Changes the properties that are given, and no others. --identifier-uri replaces all identifier URIs; an empty one leaves none.",
		Example: "  cambio app update shop-api --name shop\n  cambio app update shop-api --disabled\n  cambio app update shop-api --json - <<<'{\"tags\": [\"team-a\"]}'",
	}
	f.shared(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "new display `NAME`")
	cmd.Flags().BoolVar(&f.disabled, "disabled", false, "let nobody sign in as it; --disabled=false enables it again")
	return c.writing(cmd, func(ctx context.Context, op *operation, args []string) error {
		properties, err := f.properties(cmd)
		if err != nil {
			return err
		}
		if len(properties) == 0 {
			return usageError{errors.New("say what to change: --name, --identifier-uri, --token-version, --disabled or --json")}
		}
		a, err := op.FindApplication(ctx, args[0])
		if err != nil {
			return err
		}
		a, err = op.UpdateApplication(ctx, a, properties)
		return op.updated(a.DisplayName, applicationTable(a), err)
	})
}
