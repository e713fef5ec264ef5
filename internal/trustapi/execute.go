package trustapi

import (
	"fmt"

	"cambio/internal/directory"
	"cambio/internal/store"
	"cambio/internal/trust"
)

// execute makes the changes of a plan, and an audit row for each.
func execute(tx *store.Tx, plan *trust.Plan) error {
	for _, app := range plan.Release {
		if err := tx.UpdateApplication(app); err != nil {
			return err
		}
	}
	parents := parentTargets(plan)
	for i := 0; i < len(plan.Changes); {
		n := 1
		var err error
		if c := &plan.Changes[i]; c.Kind == trust.KindCredential {
			n = sameParent(plan.Changes[i:])
			err = setCredentials(tx, plan.Changes[i:i+n])
		} else {
			err = executeOne(tx, c)
		}
		if err != nil {
			return err
		}
		for j := i; j < i+n; j++ {
			c := &plan.Changes[j]
			tx.RecordDetail(c.Kind+"."+c.Action, target(c.Object, parents))
		}
		i += n
	}
	return nil
}

// sameParent is how many changes from the first are of credentials of one
// parent.
func sameParent(changes []trust.Change) int {
	parent := changes[0].Object.(*directory.FederatedIdentityCredential).ParentID
	for i := range changes {
		c, ok := changes[i].Object.(*directory.FederatedIdentityCredential)
		if !ok || c.ParentID != parent {
			return i
		}
	}
	return len(changes)
}

func setCredentials(tx *store.Tx, changes []trust.Change) error {
	var remove []string
	var put []directory.FederatedIdentityCredential
	first := changes[0].Object.(*directory.FederatedIdentityCredential)
	for i := range changes {
		c := changes[i].Object.(*directory.FederatedIdentityCredential)
		if changes[i].Action == trust.Delete {
			remove = append(remove, c.ID)
		} else {
			put = append(put, *c)
		}
	}
	return tx.SetCredentials(first.TenantID, first.ParentID, remove, put)
}

// executeOne makes one change of anything but a credential. Objects are
// copied: the store fills in what it decides.
func executeOne(tx *store.Tx, c *trust.Change) (err error) {
	switch o := c.Object.(type) {
	case *directory.ResourceGroup:
		g := *o
		if c.Action == trust.Delete {
			return tx.DeleteResourceGroup(g.TenantID, g.SubscriptionID, g.Name)
		}
		_, err = tx.PutResourceGroup(&g)
	case *directory.ManagedIdentity:
		m := *o
		if c.Action == trust.Delete {
			return tx.DeleteManagedIdentity(m.TenantID, m.SubscriptionID, m.ResourceGroup, m.Name)
		}
		_, err = tx.PutManagedIdentity(&m)
	case *directory.Application:
		app := *o
		return write(c.Action, &app, tx.CreateApplication, tx.UpdateApplication, func() error { return tx.DeleteApplication(app.TenantID, app.ID) })
	case *directory.ServicePrincipal:
		sp := *o
		return write(c.Action, &sp, tx.CreateServicePrincipal, tx.UpdateServicePrincipal, func() error { return tx.DeleteServicePrincipal(sp.TenantID, sp.ID) })
	case *directory.AppRoleAssignment:
		if c.Action == trust.Delete {
			return tx.DeleteAssignment(o.TenantID, o.ID)
		}
		return tx.CreateAssignment(o) // its id is for the audit row
	case *directory.Ownership:
		if c.Action == trust.Delete {
			return tx.RemoveOwner(o.TenantID, o.ObjectID, o.OwnerID)
		}
		return tx.AddOwner(o.TenantID, o.ObjectID, o.OwnerID)
	default:
		err = fmt.Errorf("trustapi: a plan holds a change of %T", c.Object)
	}
	return err
}

func write[T any](action string, object *T, create, update func(*T) error, remove func() error) error {
	switch action {
	case trust.Create:
		return create(object)
	case trust.Update:
		return update(object)
	}
	return remove()
}

// parentTargets are the targets of clients by what credentials name as their
// parent.
func parentTargets(plan *trust.Plan) map[string]string {
	parents := make(map[string]string, len(plan.Result.Applications)+len(plan.Result.ManagedIdentities))
	for i := range plan.Result.Applications {
		parents[plan.Result.Applications[i].ID] = target(&plan.Result.Applications[i], nil)
	}
	for i := range plan.Result.ManagedIdentities {
		parents[plan.Result.ManagedIdentities[i].PrincipalID] = target(&plan.Result.ManagedIdentities[i], nil)
	}
	return parents
}

// target names an object in the audit trail as the Graph-shaped and the
// ARM-shaped API do.
func target(object any, parents map[string]string) string {
	switch o := object.(type) {
	case *directory.ResourceGroup:
		return "/subscriptions/" + o.SubscriptionID + "/resourceGroups/" + o.Name
	case *directory.ManagedIdentity:
		return "/subscriptions/" + o.SubscriptionID + "/resourcegroups/" + o.ResourceGroup +
			"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + o.Name
	case *directory.Application:
		return "applications/" + o.ID
	case *directory.ServicePrincipal:
		return "servicePrincipals/" + o.ID
	case *directory.AppRoleAssignment:
		return "appRoleAssignments/" + o.ID
	case *directory.Ownership:
		if parent := parents[o.ObjectID]; parent != "" && parent[0] != '/' {
			return parent + "/owners/" + o.OwnerID
		}
		return "servicePrincipals/" + o.ObjectID + "/owners/" + o.OwnerID
	case *directory.FederatedIdentityCredential:
		id := o.ID
		if parent := parents[o.ParentID]; parent != "" && parent[0] == '/' {
			id = o.Name // ARM addresses credentials by name
		}
		return parents[o.ParentID] + "/federatedIdentityCredentials/" + id
	}
	return ""
}
