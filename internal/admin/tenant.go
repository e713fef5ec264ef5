package admin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
)

// Tenant is the tenant that the caller belongs to. Raw is all of it.
type Tenant struct {
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
	Domains     []struct {
		Name string `json:"name"`
	} `json:"verifiedDomains"`
	Compat           string           `json:"compat"` // relaxed or strict
	FederationPolicy FederationPolicy `json:"federationPolicy"`

	Raw jsontext.Value `json:"-"`
}

// FederationPolicy restricts federation for the whole tenant. It is written
// whole.
type FederationPolicy struct {
	Disabled       bool            `json:"disabled"`
	AllowedIssuers AllowedIssuers  `json:"allowedIssuers"`
	RequiredClaims []RequiredClaim `json:"requiredClaims"`
	Lint           LintPolicy      `json:"lint,omitzero"`
}

// LintPolicy says whether credentials that a rule of lint blocks are refused
// when they are written (mode enforce or report-only; empty: as the tenant's
// compatibility level has it), and how rules are graded.
type LintPolicy struct {
	Mode   string            `json:"mode,omitzero"`
	Levels map[string]string `json:"levels,omitempty"`
}

// AllowedIssuers are the issuers whose tokens are taken; none: every one. Mode
// is enforce or report-only.
type AllowedIssuers struct {
	Issuers []string `json:"issuers"`
	Mode    string   `json:"mode"`
}

// RequiredClaim is a claim that tokens of an issuer must have. Mode is enforce
// or report-only.
type RequiredClaim struct {
	Issuer string   `json:"issuer"`
	Claim  string   `json:"claim"`
	Values []string `json:"values"`
	Mode   string   `json:"mode"`
}

const organizationPath = "/v1.0/organization"

func readTenant(raw jsontext.Value) (Tenant, error) {
	var t Tenant
	err := decode(raw, &t)
	t.Raw = raw
	return t, err
}

// Tenant returns the caller's tenant.
func (c *Client) Tenant(ctx context.Context) (Tenant, error) {
	list, err := c.List(ctx, organizationPath)
	if err != nil {
		return Tenant{}, err
	}
	if len(list) != 1 {
		return Tenant{}, fmt.Errorf("the server shows %d tenants, which should be one", len(list))
	}
	return readTenant(list[0])
}

// UpdateTenant changes the given properties of organization and returns what
// the tenant is then.
func (c *Client) UpdateTenant(ctx context.Context, t Tenant, properties map[string]any) (Tenant, error) {
	if _, err := c.Change(ctx, http.MethodPatch, organizationPath+"/"+t.ID, properties, nil); err != nil || c.IsDryRun() {
		return t, err
	}
	return c.Tenant(ctx)
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
