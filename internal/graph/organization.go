package graph

import (
	"net/http"

	"cambio/internal/directory"
	"cambio/internal/store"
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
	return q.entity("organization", organizationObject(&q.call.Tenant))
}

func (q *request) updateOrganization() error {
	if err := q.inOrganization(); err != nil {
		return err
	}
	b, err := readBody(q.w, q.r)
	if err != nil {
		return err
	}
	level := b.text("compat")
	if b.err != nil {
		return b.err
	}
	if err := directory.CheckCompat(directory.Compat(level)); err != nil {
		return err
	}
	id := q.call.Tenant.ID
	err = q.write(actionUpdateOrganization, "organization/"+id, func(tx *store.Tx) error {
		tenant, err := tx.Tenant(q.r.Context(), id)
		if err != nil {
			return err
		}
		tenant.Compat = directory.Compat(level)
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
