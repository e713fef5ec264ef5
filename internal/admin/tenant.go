package admin

import "context"

// TenantName asks the server for the display name of the caller's tenant,
// which it tells everybody whose token it accepts.
func (c *Client) TenantName(ctx context.Context) (string, error) {
	raw, err := c.Get(ctx, "/v1.0/organization")
	if err != nil {
		return "", err
	}
	var page struct {
		Value []struct {
			DisplayName string `json:"displayName"`
		} `json:"value"`
	}
	if err := decode(raw, &page); err != nil {
		return "", err
	}
	if len(page.Value) == 0 {
		return "", NotFoundf("the server shows no tenant")
	}
	return page.Value[0].DisplayName, nil
}

// Subscription is the id of the tenant's one subscription, which is that of
// the tenant.
func (c *Client) Subscription(ctx context.Context) (string, error) {
	if c.subscription != "" {
		return c.subscription, nil
	}
	raw, err := c.Get(ctx, "/subscriptions?api-version="+armVersion)
	if err != nil {
		return "", err
	}
	var page struct {
		Value []struct {
			SubscriptionID string `json:"subscriptionId"`
		} `json:"value"`
	}
	if err := decode(raw, &page); err != nil {
		return "", err
	}
	if len(page.Value) == 0 {
		return "", NotFoundf("the server shows no subscription")
	}
	c.subscription = page.Value[0].SubscriptionID
	return c.subscription, nil
}

// armVersion is the api-version of the ARM-shaped requests.
const armVersion = "2024-11-30"
