package graph

import (
	"cmp"
	"net/http"

	"cambio/internal/directory"
	"cambio/internal/lint"
	"cambio/internal/store"
	"cambio/internal/strictjson"
)

const actionUpdateOrganization = "organization.update"

// organizationObject is the tenant as Graph shows it, with the compatibility
// level as an extension.
func organizationObject(t *directory.Tenant) object {
	domains := make([]object, len(t.Domains))
	for i, d := range t.Domains {
		domains[i] = object{{"capabilities", ""}, {"isDefault", i == 0}, {"isInitial", i == 0}, {"name", d}, {"type", "Managed"}}
	}
	return object{
		{"id", t.ID},
		{"deletedDateTime", nil},
		{"createdDateTime", seconds(t.CreatedAt)},
		{"displayName", t.DisplayName},
		{"tenantType", "AAD"},
		{"verifiedDomains", domains},
		{"assignedPlans", []string{}},
		{"provisionedPlans", []string{}},
		{"compat", string(t.Compat)},
		{"federationPolicy", policyObject(&t.Policy)},
	}
}

func policyObject(p *directory.FederationPolicy) object {
	required := make([]object, len(p.RequiredClaims))
	for i, r := range p.RequiredClaims {
		required[i] = object{{"issuer", r.Issuer}, {"claim", r.Claim}, {"values", r.Values}, {"mode", mode(r.Mode)}}
	}
	allowed := object{{"issuers", append([]string{}, p.AllowedIssuers.Issuers...)}, {"mode", mode(p.AllowedIssuers.Mode)}}
	o := object{{"disabled", p.Disabled}, {"allowedIssuers", allowed}, {"requiredClaims", required}}
	if !p.Lint.IsZero() { // what is not set looks as ever
		o = append(o, member{"lint", object{{"mode", orNull(string(p.Lint.Mode))}, {"levels", p.Lint.Levels}}})
	}
	return o
}

func mode(m directory.Enforcement) string { return string(cmp.Or(m, directory.Enforce)) }

// policyBody is the policy as it is sent. It is replaced whole; what is left
// out is not restricted.
type policyBody struct {
	Disabled       bool `json:"disabled"`
	AllowedIssuers struct {
		Issuers []string              `json:"issuers"`
		Mode    directory.Enforcement `json:"mode"`
	} `json:"allowedIssuers"`
	RequiredClaims []struct {
		Issuer string                `json:"issuer"`
		Claim  string                `json:"claim"`
		Values []string              `json:"values"`
		Mode   directory.Enforcement `json:"mode"`
	} `json:"requiredClaims"`
	Lint struct {
		Mode   directory.Enforcement `json:"mode"`
		Levels map[string]string     `json:"levels"`
	} `json:"lint"`
}

// setPolicy reads the whole policy but for the claims that explanations keep.
func setPolicy(b *body, to *directory.FederationPolicy) {
	raw, present, null := b.value("federationPolicy")
	if !present {
		return
	}
	*to = directory.FederationPolicy{Claims: to.Claims}
	if null {
		return
	}
	var in policyBody
	if err := strictjson.Unmarshal(raw, &in, strictjson.Document); err != nil {
		b.fail("federationPolicy", `{"disabled": …, "allowedIssuers": {"issuers", "mode"}, "requiredClaims": [{"issuer", "claim", "values", "mode"}], "lint": {"mode", "levels": {"L2": "warn"}}}`)
		return
	}
	to.Disabled = in.Disabled
	to.AllowedIssuers = directory.AllowedIssuers{Issuers: in.AllowedIssuers.Issuers, Mode: in.AllowedIssuers.Mode}
	to.Lint = directory.LintPolicy{Mode: in.Lint.Mode, Levels: in.Lint.Levels}
	for _, r := range in.RequiredClaims {
		to.RequiredClaims = append(to.RequiredClaims, directory.RequiredClaim{Issuer: r.Issuer, Claim: r.Claim, Values: r.Values, Mode: r.Mode})
	}
}

func (q *request) listOrganization() error {
	opts, err := q.parseQuery(q.r, q.call, nil)
	if err != nil {
		return err
	}
	return q.page("organization", opts, []object{organizationObject(&q.call.Tenant)}, "", 1)
}

// inOrganization checks that the address names the caller's own tenant.
func (q *request) inOrganization() error {
	text := q.call.Params["organization"]
	if id, ok := guid(text); !ok || id != q.call.Tenant.ID {
		return notFound(text)
	}
	return nil
}

func (q *request) getOrganization() error {
	if err := q.inOrganization(); err != nil {
		return err
	}
	return q.show(&q.call.Tenant, "organization", organizationObject(&q.call.Tenant))
}

func (q *request) updateOrganization() error {
	if err := q.inOrganization(); err != nil {
		return err
	}
	b, err := readBody(q.w, q.r)
	if err != nil {
		return err
	}
	changed := q.call.Tenant
	if b.given("compat") {
		changed.Compat = directory.Compat(b.text("compat"))
	}
	setPolicy(b, &changed.Policy)
	if b.err != nil {
		return b.err
	}
	if err := directory.CheckCompat(changed.Compat); err != nil {
		return err
	}
	if err := directory.CheckFederationPolicy(&changed.Policy); err != nil {
		return err
	}
	if err := lint.CheckLevels(lint.LevelsOf(&changed.Policy.Lint)); err != nil {
		return badRequest("federationPolicy.lint.levels: " + err.Error() + ".")
	}
	id := q.call.Tenant.ID
	err = q.write(actionUpdateOrganization, "organization/"+id, func(tx *store.Tx) error {
		tenant, err := tx.Tenant(q.r.Context(), id)
		if err != nil {
			return err
		}
		if err := q.guard(&tenant); err != nil {
			return err
		}
		before := tenant
		if b.given("compat") {
			tenant.Compat = changed.Compat
		}
		if _, present, _ := b.value("federationPolicy"); present { // null lifts it
			tenant.Policy = changed.Policy
		}
		if same(&before, &tenant) {
			return nil
		}
		return tx.UpdateTenant(&tenant)
	})
	if err != nil {
		return err
	}
	return q.noContent()
}

// me answers as Graph does for a caller that is not a person.
func (q *request) me() error {
	return &Problem{http.StatusBadRequest, "BadRequest", "/me request is only valid with delegated authentication flow."}
}
