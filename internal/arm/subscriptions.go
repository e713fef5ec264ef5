package arm

import (
	"context"
	"errors"
	"net/http"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
)

// Audit actions on resource groups.
const (
	actionPutGroup    = "resourceGroup.put"
	actionUpdateGroup = "resourceGroup.update"
	actionDeleteGroup = "resourceGroup.delete"
)

type subscriptionJSON struct {
	ID                   string       `json:"id"`
	SubscriptionID       string       `json:"subscriptionId"`
	TenantID             string       `json:"tenantId"`
	DisplayName          string       `json:"displayName"`
	State                string       `json:"state"`
	SubscriptionPolicies policiesJSON `json:"subscriptionPolicies"`
	AuthorizationSource  string       `json:"authorizationSource"`
	ManagedByTenants     []string     `json:"managedByTenants"`
}

type policiesJSON struct {
	LocationPlacementID string `json:"locationPlacementId"`
	QuotaID             string `json:"quotaId"`
	SpendingLimit       string `json:"spendingLimit"`
}

func (q *request) subscriptionJSON() subscriptionJSON {
	return subscriptionJSON{
		ID: "/subscriptions/" + q.subscription(), SubscriptionID: q.subscription(), TenantID: q.call.Tenant.ID,
		DisplayName: q.call.Tenant.DisplayName, State: "Enabled", AuthorizationSource: "RoleBased", ManagedByTenants: []string{},
		SubscriptionPolicies: policiesJSON{LocationPlacementID: "Internal_2014-09-01", QuotaID: "Internal_2014-09-01", SpendingLimit: "Off"},
	}
}

func (q *request) listSubscriptions() error {
	writeJSON(q.w, http.StatusOK, listJSON[subscriptionJSON]{Value: []subscriptionJSON{q.subscriptionJSON()}})
	return nil
}

func (q *request) getSubscription() error {
	writeJSON(q.w, http.StatusOK, q.subscriptionJSON())
	return nil
}

type tenantJSON struct {
	ID             string   `json:"id"`
	TenantID       string   `json:"tenantId"`
	DisplayName    string   `json:"displayName"`
	Domains        []string `json:"domains"`
	DefaultDomain  string   `json:"defaultDomain,omitempty"`
	TenantCategory string   `json:"tenantCategory"`
	TenantType     string   `json:"tenantType"`
}

func (q *request) listTenants() error {
	t := &q.call.Tenant
	answer := tenantJSON{ID: "/tenants/" + t.ID, TenantID: t.ID, DisplayName: t.DisplayName, Domains: t.Domains, TenantCategory: "Home", TenantType: "AAD"}
	if len(t.Domains) > 0 {
		answer.DefaultDomain = t.Domains[0]
	}
	writeJSON(q.w, http.StatusOK, listJSON[tenantJSON]{Value: []tenantJSON{answer}})
	return nil
}

type groupJSON struct {
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	Type       string              `json:"type"`
	Location   string              `json:"location"`
	Tags       map[string]string   `json:"tags"`
	Properties groupPropertiesJSON `json:"properties"`
}

type groupPropertiesJSON struct {
	ProvisioningState string `json:"provisioningState"`
}

func groupOf(g *directory.ResourceGroup) groupJSON {
	return groupJSON{
		ID: "/subscriptions/" + g.SubscriptionID + "/resourceGroups/" + g.Name, Name: g.Name, Type: "Microsoft.Resources/resourceGroups",
		Location: g.Location, Tags: tags(g.Tags), Properties: groupPropertiesJSON{"Succeeded"},
	}
}

// groupReader is what *store.DB and *store.Tx have in common here.
type groupReader interface {
	ResourceGroup(ctx context.Context, tenantID, subscriptionID, name string) (directory.ResourceGroup, error)
}

func (q *request) group(from groupReader) (directory.ResourceGroup, error) {
	name := q.call.Params["group"]
	g, err := from.ResourceGroup(q.r.Context(), q.call.Tenant.ID, q.subscription(), name)
	if store.IsNotFound(err) {
		return g, groupNotFound(name)
	}
	return g, err
}

func groupNotFound(name string) *Problem {
	return &Problem{http.StatusNotFound, CodeResourceGroupNotFound, "Resource group '" + shorten(name) + "' could not be found."}
}

func (q *request) listGroups() error {
	f, err := q.filter("location", "name")
	if err != nil {
		return err
	}
	groups, err := q.db.ResourceGroups(q.r.Context(), q.call.Tenant.ID, q.subscription())
	if err != nil {
		return err
	}
	values := []groupJSON{}
	for i := range groups {
		g := &groups[i]
		if f.matches(map[string]string{"name": g.Name, "location": g.Location}, g.Tags) {
			values = append(values, groupOf(g))
		}
	}
	writeJSON(q.w, http.StatusOK, listJSON[groupJSON]{Value: values})
	return nil
}

func (q *request) getGroup() error {
	g, err := q.group(q.db)
	if err != nil {
		return err
	}
	return q.show(&g, groupOf(&g))
}

// headGroup answers whether a resource group exists.
func (q *request) headGroup() error {
	g, err := q.group(q.db)
	if err != nil {
		return err
	}
	tag := management.ETag(&g)
	q.w.Header().Set("ETag", tag)
	if q.conditions.NotModified(tag) {
		return errNotModified
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (q *request) putGroup() error {
	in, err := q.readResource()
	if err != nil {
		return err
	}
	g := directory.ResourceGroup{
		TenantID: q.call.Tenant.ID, SubscriptionID: q.subscription(), Name: q.call.Params["group"], Location: in.Location, Tags: in.Tags,
	}
	if err := directory.ValidateResourceGroup(&g); err != nil {
		return err
	}
	var made bool
	err = q.write(actionPutGroup, groupOf(&g).ID, func(tx *store.Tx) (err error) {
		before, err := q.group(tx)
		switch {
		case err == nil:
			err = errors.Join(q.guard(&before), moved("resource group", before.Name, before.Location, g.Location))
		case isProblem(err, CodeResourceGroupNotFound):
			err = q.guard(nil)
		}
		if err == nil {
			made, err = tx.PutResourceGroup(&g)
		}
		return err
	})
	if err != nil {
		return err
	}
	return q.put(made, groupOf(&g).ID, &g, groupOf(&g))
}

// patchGroup replaces the tags when they are given.
func (q *request) patchGroup() error {
	in, err := q.readResource()
	if err != nil {
		return err
	}
	var g directory.ResourceGroup
	err = q.write(actionUpdateGroup, "", func(tx *store.Tx) (err error) {
		if g, err = q.group(tx); err != nil {
			return err
		}
		tx.SetTarget(groupOf(&g).ID)
		if err := errors.Join(q.guard(&g), moved("resource group", g.Name, g.Location, in.Location)); err != nil {
			return err
		}
		if in.Tags != nil {
			g.Tags = in.Tags
		}
		if err := directory.ValidateResourceGroup(&g); err != nil {
			return err
		}
		_, err = tx.PutResourceGroup(&g)
		return err
	})
	if err != nil {
		return err
	}
	q.w.Header().Set("ETag", management.ETag(&g))
	writeJSON(q.w, http.StatusOK, groupOf(&g))
	return nil
}

// deleteGroup removes a resource group and, as ARM does, what is in it.
func (q *request) deleteGroup() error {
	err := q.write(actionDeleteGroup, "", func(tx *store.Tx) error {
		g, err := q.group(tx)
		if err != nil {
			return err
		}
		tx.SetTarget(groupOf(&g).ID)
		if err := q.guard(&g); err != nil {
			return err
		}
		return tx.DeleteResourceGroup(q.call.Tenant.ID, q.subscription(), g.Name)
	})
	if err == nil {
		q.w.WriteHeader(http.StatusOK)
	}
	return err
}

func isProblem(err error, code string) bool {
	if err == nil {
		return false
	}
	p, _ := problemOf(err)
	return p.Code == code
}
