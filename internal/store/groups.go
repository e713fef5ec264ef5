package store

import (
	"context"
	"strings"
)

// DeleteResourceGroup removes a resource group with every managed identity in
// it.
func (tx *Tx) DeleteResourceGroup(tenantID, subscriptionID, name string) error {
	ctx := context.Background()
	group, err := tx.ResourceGroup(ctx, tenantID, subscriptionID, name)
	if err != nil {
		return err
	}
	for more := true; more; { // each round begins anew: the page before it is gone
		identities, again, err := tx.ManagedIdentities(ctx, tenantID, group.SubscriptionID, group.Name, ListQuery{Top: MaxPage})
		if err != nil {
			return err
		}
		for i := range identities {
			m := &identities[i]
			if err := tx.DeleteManagedIdentity(tenantID, m.SubscriptionID, m.ResourceGroup, m.Name); err != nil {
				return err
			}
		}
		more = again
	}
	_, err = tx.exec("DELETE FROM resource_groups WHERE tenant_id = ? AND subscription_id = ? AND name_key = ?",
		tenantID, group.SubscriptionID, strings.ToLower(group.Name))
	return err
}
