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
	rows, err := tx.q.QueryContext(ctx, "SELECT "+identityColumns+" FROM managed_identities WHERE tenant_id = ? AND subscription_id = ? AND group_key = ?",
		tenantID, group.SubscriptionID, strings.ToLower(group.Name))
	identities, err := all(rows, err, scanIdentity)
	if err != nil {
		return err
	}
	if err := tx.deleteIdentities(tenantID, identities); err != nil {
		return err
	}
	_, err = tx.exec("DELETE FROM resource_groups WHERE tenant_id = ? AND subscription_id = ? AND name_key = ?",
		tenantID, group.SubscriptionID, strings.ToLower(group.Name))
	return err
}
