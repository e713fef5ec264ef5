package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
)

func resourceCommand() *cobra.Command {
	cmd := nounCommand("resource", "Protected resources: the APIs that access tokens are for",
		"Creates, shows and deletes protected resources. A protected resource is an application with identifier URIs, the app roles that it defines, and its service principal.\n"+
			"RESOURCE is an identifier URI, an appId, an object id, a unique name, or a display name that only one application has.")
	c := connectionFlags(cmd)
	cmd.AddCommand(resourceCreateCommand(c), resourceListCommand(c), resourceShowCommand(c), resourceUpdateCommand(c), resourceDeleteCommand(c))
	return cmd
}

// resourceFlags are the properties of a protected resource.
type resourceFlags struct {
	name, uniqueName      string
	identifierURIs, roles []string
	removeRoles           []string
	tokenVersion          int
	assignmentRequired    bool
}

func (f *resourceFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.roles, "role", nil, "app role that it defines, as `VALUE=TEXT`: Orders.Read=\"Read orders\"; repeatable")
	flags.BoolVar(&f.assignmentRequired, "assignment-required", false, "issue tokens only to clients that hold a role of it")
}

// roleObject is an app role in a request.
type roleObject struct {
	ID                 string   `json:"id"`
	Value              string   `json:"value"`
	DisplayName        string   `json:"displayName"`
	Description        string   `json:"description"`
	AllowedMemberTypes []string `json:"allowedMemberTypes"`
	IsEnabled          bool     `json:"isEnabled"`
}

// withRoles adds the roles of the flags to those that there are. A role that
// is there already gets the text.
func (f *resourceFlags) withRoles(have []admin.AppRole) ([]roleObject, error) {
	roles := make([]roleObject, len(have))
	for i, r := range have {
		roles[i] = roleObject(r)
	}
	for _, text := range f.roles {
		value, description, _ := strings.Cut(text, "=")
		if value == "" {
			return nil, usageError{fmt.Errorf("--role %q must be VALUE=TEXT, as in Orders.Read=\"Read orders\"", text)}
		}
		if description == "" {
			description = value
		}
		i := slices.IndexFunc(roles, func(r roleObject) bool { return r.Value == value })
		if i < 0 {
			roles = append(roles, roleObject{ID: uuid.NewString(), Value: value, AllowedMemberTypes: []string{"Application"}, IsEnabled: true})
			i = len(roles) - 1
		}
		roles[i].DisplayName, roles[i].Description = description, description
	}
	return roles, nil
}

func resourceCreateCommand(c *connection) *cobra.Command {
	var f resourceFlags
	var ifMissing bool
	cmd := &cobra.Command{Use: "create NAME", Short: "Create a protected resource", Args: oneArgument("NAME"),
		Long: "Creates an application with identifier URIs and app roles, and its service principal. Clients ask for tokens with the scope URI/.default.\n" +
			"A name that is taken already is refused, since it could no longer be used to address either.",
		Example: "  cambio resource create orders --role Orders.Read=\"Read orders\" --role Orders.Write=\"Write orders\"\n  cambio resource create orders --identifier-uri https://orders.example.net --assignment-required"}
	f.add(cmd)
	cmd.Flags().StringArrayVar(&f.identifierURIs, "identifier-uri", nil, "`URI` that tokens are requested for; repeatable (default api://NAME)")
	cmd.Flags().StringVar(&f.uniqueName, "unique-name", "", "unique `NAME`, which never changes")
	cmd.Flags().IntVar(&f.tokenVersion, "token-version", 2, "`VERSION` of its access tokens: 1 or 2")
	cmd.Flags().BoolVar(&ifMissing, "if-missing", false, "show the resource of that name if there is one, and change nothing")
	return c.writing(cmd, func(ctx context.Context, op *operation, args []string) error {
		f.name = args[0]
		properties, err := f.properties()
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
		a, err := createApplication(ctx, op, properties, true, f.assignmentRequired)
		return op.show(applicationTable(a), err)
	})
}

func (f *resourceFlags) properties() (map[string]any, error) {
	roles, err := f.withRoles(nil)
	if err != nil {
		return nil, err
	}
	if f.tokenVersion != 1 && f.tokenVersion != 2 {
		return nil, usageError{fmt.Errorf("--token-version %d must be 1 or 2", f.tokenVersion)}
	}
	uris := nonEmpty(f.identifierURIs)
	if len(uris) == 0 {
		uris = []string{"api://" + f.name}
	}
	p := map[string]any{"displayName": f.name, "identifierUris": uris, "api": map[string]any{"requestedAccessTokenVersion": f.tokenVersion}, "appRoles": roles}
	if f.uniqueName != "" {
		p["uniqueName"] = f.uniqueName
	}
	return p, nil
}

// resources are the applications that tokens can be requested for by name.
func resources(ctx context.Context, c *admin.Client) ([]admin.Application, error) {
	all, err := c.Applications(ctx)
	return slices.DeleteFunc(all, func(a admin.Application) bool { return len(a.IdentifierURIs) == 0 && len(a.AppRoles) == 0 }), err
}

func resourceNames(ctx context.Context, c *admin.Client) ([]string, error) {
	all, err := resources(ctx, c)
	return namesOf(all, err, func(a admin.Application) string { return a.DisplayName })
}

func resourceListCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the protected resources", Args: noArguments, Example: "  cambio resource list"}
	return c.reading(cmd, func(ctx context.Context, op *operation, _ []string) error {
		all, err := resources(ctx, op.Client)
		if err != nil {
			return err
		}
		op.noteOwnedOnly()
		t := table{head: []string{"NAME", "APP ID", "IDENTIFIER URIS", "APP ROLES"}}
		for _, a := range all {
			t.rows = append(t.rows, []string{a.DisplayName, a.AppID, strings.Join(a.IdentifierURIs, " "), roleValues(a.AppRoles)})
			t.raw = append(t.raw, a.Raw)
		}
		return op.list(t)
	})
}

func resourceShowCommand(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "show RESOURCE", Short: "Show a protected resource", Args: oneArgument("RESOURCE"), ValidArgsFunction: c.argumentNames(resourceNames),
		Example: "  cambio resource show orders\n  cambio resource show api://orders -o json"}
	return c.reading(cmd, func(ctx context.Context, op *operation, args []string) error {
		a, err := op.FindApplication(ctx, args[0])
		if err != nil {
			return err
		}
		p, err := op.PrincipalOf(ctx, a.AppID)
		requirement := "no"
		if p.AssignmentRequired {
			requirement = "yes"
		}
		if admin.IsNotFound(err) {
			requirement, err = "there is no service principal", nil
		}
		t := applicationTable(a)
		t.head, t.rows[0] = append(t.head, "Assignment required"), append(t.rows[0], requirement)
		return op.show(t, err)
	})
}

func resourceUpdateCommand(c *connection) *cobra.Command {
	var f resourceFlags
	cmd := &cobra.Command{Use: "update RESOURCE", Short: "Change a protected resource", Args: oneArgument("RESOURCE"), ValidArgsFunction: c.argumentNames(resourceNames),
		Long: "Changes what is given, and nothing else. --role adds a role or changes the text of one; --remove-role disables a role and removes it, with its assignments. " +
			"--identifier-uri replaces all identifier URIs.",
		Example: "  cambio resource update orders --role Orders.Write=\"Write orders\"\n  cambio resource update orders --remove-role Orders.Write\n  cambio resource update orders --assignment-required"}
	f.add(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "new display `NAME`")
	cmd.Flags().StringArrayVar(&f.identifierURIs, "identifier-uri", nil, "`URI` that tokens are requested for; repeatable")
	cmd.Flags().IntVar(&f.tokenVersion, "token-version", 0, "`VERSION` of its access tokens: 1 or 2")
	cmd.Flags().StringArrayVar(&f.removeRoles, "remove-role", nil, "`VALUE` of an app role to remove; repeatable")
	return c.writing(cmd, func(ctx context.Context, op *operation, args []string) error {
		a, err := op.FindApplication(ctx, args[0])
		if err != nil {
			return err
		}
		a, err = f.update(ctx, op, cmd, a)
		return op.updated(a.DisplayName, applicationTable(a), err)
	})
}

// update sends what the flags change: the application's properties, its
// roles, and whether the service principal wants an assignment.
func (f *resourceFlags) update(ctx context.Context, op *operation, cmd *cobra.Command, a admin.Application) (admin.Application, error) {
	app := appFlags{name: f.name, identifierURIs: f.identifierURIs, tokenVersion: f.tokenVersion}
	properties, err := app.properties(cmd)
	if err != nil {
		return a, err
	}
	requirement := cmd.Flags().Changed("assignment-required")
	if len(properties) == 0 && len(f.roles) == 0 && len(f.removeRoles) == 0 && !requirement {
		return a, usageError{errors.New("say what to change: --name, --identifier-uri, --token-version, --role, --remove-role or --assignment-required")}
	}
	roles, err := f.withRoles(a.AppRoles)
	if err != nil {
		return a, err
	}
	kept, err := f.withoutRemoved(roles)
	if err != nil {
		return a, err
	}
	if len(f.roles) > 0 || len(f.removeRoles) > 0 {
		properties["appRoles"] = roles // those to be removed are disabled first
	}
	if len(properties) > 0 {
		if a, err = op.UpdateApplication(ctx, a, properties); err != nil {
			return a, err
		}
	}
	if len(f.removeRoles) > 0 {
		if a, err = op.UpdateApplication(ctx, a, map[string]any{"appRoles": kept}); err != nil {
			return a, err
		}
	}
	if requirement {
		return a, requireAssignment(ctx, op, a, f.assignmentRequired)
	}
	return a, nil
}

// withoutRemoved disables the roles that are to be removed, and returns those
// that are not.
func (f *resourceFlags) withoutRemoved(roles []roleObject) ([]roleObject, error) {
	kept := []roleObject{}
	found := map[string]bool{}
	for i := range roles {
		if slices.Contains(f.removeRoles, roles[i].Value) {
			roles[i].IsEnabled = false
			found[roles[i].Value] = true
			continue
		}
		kept = append(kept, roles[i])
	}
	for _, value := range f.removeRoles {
		if !found[value] {
			return nil, admin.NotFoundf("there is no app role %q to remove", value)
		}
	}
	return kept, nil
}

func requireAssignment(ctx context.Context, op *operation, a admin.Application, required bool) error {
	p, err := op.PrincipalOf(ctx, a.AppID)
	if err != nil {
		return err
	}
	_, err = op.Change(ctx, "PATCH", p.Path(), map[string]any{"appRoleAssignmentRequired": required}, nil)
	return err
}

func resourceDeleteCommand(c *connection) *cobra.Command {
	return deleteCommand(c, &cobra.Command{Use: "delete RESOURCE", Short: "Delete a protected resource", Args: oneArgument("RESOURCE"), ValidArgsFunction: c.argumentNames(resourceNames),
		Long: "Deletes the application of a protected resource with its service principal, app roles and their assignments. When it returns, no token for it is issued any more. " +
			"For 30 days `cambio app restore` brings all of it back.",
		Example: "  cambio resource delete orders --yes"})
}
