package main

import (
	"context"
	"errors"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"cambio/internal/admin"
)

func roleCommand() *cobra.Command {
	cmd := nounCommand("role", "App roles: who may do what at a protected resource",
		"Assigns app roles of protected resources to applications and managed identities. They become the roles of the access tokens.\n"+
			"The roles themselves are defined by `cambio resource create` and `update`.")
	c := connectionFlags(cmd)
	cmd.AddCommand(roleListCommand(c), roleAssignCommand(c), roleUnassignCommand(c))
	return cmd
}

func assignmentTable(all ...admin.Assignment) table {
	t := table{head: []string{"RESOURCE", "ROLE", "PRINCIPAL", "PRINCIPAL ID", "ASSIGNMENT ID"}}
	for _, a := range all {
		t.rows = append(t.rows, []string{a.Resource, a.Role, a.Principal, a.PrincipalID, a.ID})
		t.raw = append(t.raw, a.Raw)
	}
	return t
}

func roleListCommand(c *connection) *cobra.Command {
	var resource, to string
	cmd := &cobra.Command{Use: "list", Short: "List the role assignments of a resource, or those of a client", Args: noArguments,
		Example: "  cambio role list --resource orders\n  cambio role list --to shop-api"}
	resourceFlag(cmd, c, &resource, "`RESOURCE` whose roles they are")
	cmd.Flags().StringVar(&to, "to", "", "`CLIENT` that holds them: an application or managed identity")
	c.completeFlag(cmd, "to", clientNames)
	return c.reading(cmd, func(ctx context.Context, op *operation, _ []string) error {
		if (resource == "") == (to == "") {
			return usageError{errors.New("give --resource RESOURCE or --to CLIENT")}
		}
		var all []admin.Assignment
		p, err := op.FindPrincipal(ctx, resource+to)
		if err == nil && resource != "" {
			all, err = op.AssignmentsTo(ctx, p)
		} else if err == nil {
			all, err = op.AssignmentsOf(ctx, p)
		}
		if err != nil {
			return err
		}
		return op.list(assignmentTable(all...))
	})
}

func resourceFlag(cmd *cobra.Command, c *connection, to *string, usage string) {
	cmd.Flags().StringVar(to, "resource", "", usage)
	c.completeFlag(cmd, "resource", resourceNames)
}

// assignmentFlags name one role assignment.
type assignmentFlags struct{ resource, role, client string }

// find looks up what the flags name, and the assignment if there is one.
func (f *assignmentFlags) find(ctx context.Context, op *operation) (resource, client admin.ServicePrincipal, role string, have *admin.Assignment, err error) {
	if resource, err = op.FindPrincipal(ctx, f.resource); err != nil {
		return resource, client, "", nil, err
	}
	if role, err = resource.FindRole(f.role); err != nil {
		return resource, client, "", nil, err
	}
	if client, err = op.FindPrincipal(ctx, f.client); err != nil {
		return resource, client, "", nil, err
	}
	have, err = op.Assigned(ctx, resource, client, role)
	return resource, client, role, have, err
}

func roleAssignCommand(c *connection) *cobra.Command {
	var f assignmentFlags
	cmd := &cobra.Command{Use: "assign", Short: "Give a client an app role of a resource", Args: noArguments,
		Long:    "Gives an application or managed identity an app role of a protected resource. What it holds already is left as it is.",
		Example: "  cambio role assign --resource orders --role Orders.Read --to shop-api"}
	resourceFlag(cmd, c, &f.resource, "`RESOURCE` whose role it is (required)")
	cmd.Flags().StringVar(&f.role, "role", "", "value or id of the `ROLE` (required)")
	cmd.Flags().StringVar(&f.client, "to", "", "`CLIENT` that gets it: an application or managed identity (required)")
	c.completeFlag(cmd, "role", roleNames(&f.resource))
	c.completeFlag(cmd, "to", clientNames)
	return c.writing(cmd, func(ctx context.Context, op *operation, _ []string) error {
		if err := required([2]string{"resource", f.resource}, [2]string{"role", f.role}, [2]string{"to", f.client}); err != nil {
			return err
		}
		resource, client, role, have, err := f.find(ctx, op)
		if err != nil {
			return err
		}
		if have != nil {
			op.note("Unchanged: %s holds this role already.", client.DisplayName)
			return op.show(assignmentProperties(*have), nil)
		}
		a, err := op.Assign(ctx, resource, client, role)
		if err == nil && !op.dryRun {
			op.note("Assigned %s of %s to %s.", a.Role, resource.DisplayName, client.DisplayName)
		}
		return op.show(assignmentProperties(a), err)
	})
}

func assignmentProperties(a admin.Assignment) table {
	return table{
		head: []string{"Resource", "Role", "Principal", "Principal id", "Assignment id"},
		rows: [][]string{{a.Resource, a.Role, a.Principal, a.PrincipalID, a.ID}},
		raw:  []jsontext.Value{a.Raw},
	}
}

func roleUnassignCommand(c *connection) *cobra.Command {
	var f assignmentFlags
	cmd := &cobra.Command{Use: "unassign", Short: "Take an app role away from a client", Args: noArguments,
		Long:    "Takes an app role of a protected resource away. When it returns, no new access token has the role. What is not held is no error.",
		Example: "  cambio role unassign --resource orders --role Orders.Read --from shop-api"}
	resourceFlag(cmd, c, &f.resource, "`RESOURCE` whose role it is (required)")
	cmd.Flags().StringVar(&f.role, "role", "", "value or id of the `ROLE` (required)")
	cmd.Flags().StringVar(&f.client, "from", "", "`CLIENT` that holds it: an application or managed identity (required)")
	c.completeFlag(cmd, "role", roleNames(&f.resource))
	c.completeFlag(cmd, "from", clientNames)
	return c.deleting(cmd, func(ctx context.Context, op *operation, _ []string) error {
		if err := required([2]string{"resource", f.resource}, [2]string{"role", f.role}, [2]string{"from", f.client}); err != nil {
			return err
		}
		resource, client, _, have, err := f.find(ctx, op)
		if err != nil {
			return err
		}
		if have == nil {
			op.note("Unchanged: %s does not hold this role.", client.DisplayName)
			return nil
		}
		what := strings.Join([]string{"the assignment of", have.Role, "of", resource.DisplayName, "to", client.DisplayName}, " ")
		if err := op.confirm(what); err != nil {
			return err
		}
		return op.deleted(what, op.Unassign(ctx, *have))
	})
}
