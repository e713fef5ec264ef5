package arm

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// resourceItemJSON is a resource as lists of all kinds show it.
type resourceItemJSON struct {
	ID                string            `json:"id"`
	Name              string            `json:"name"`
	Type              string            `json:"type"`
	Location          string            `json:"location"`
	Tags              map[string]string `json:"tags"`
	CreatedTime       string            `json:"createdTime,omitempty"`
	ProvisioningState string            `json:"provisioningState,omitempty"`
}

// listResources lists the resources of the addressed group, or of the whole
// subscription: the identities, which are all there is. A filter is applied to
// each page, so that a page may be short or empty and still have a successor.
func (q *request) listResources() error {
	l, err := q.listQuery()
	if err != nil {
		return err
	}
	f, err := q.filter("resourceType", "resourceGroup", "name", "location")
	if err != nil {
		return err
	}
	group := q.call.Params["group"]
	if group != "" {
		if _, err := q.group(q.db); err != nil {
			return err
		}
	}
	identities, more, err := q.db.ManagedIdentities(q.r.Context(), q.call.Tenant.ID, q.subscription(), group, l)
	if err != nil {
		return err
	}
	answer := listJSON[resourceItemJSON]{Value: []resourceItemJSON{}}
	expand := strings.Split(q.query.Get("$expand"), ",")
	for i := range identities {
		m := &identities[i]
		values := map[string]string{"resourcetype": identityType, "resourcegroup": m.ResourceGroup, "name": m.Name, "location": m.Location}
		if !f.matches(values, m.Tags) {
			continue
		}
		item := resourceItemJSON{ID: identityOf(m).ID, Name: m.Name, Type: identityType, Location: m.Location, Tags: tags(m.Tags)}
		if slices.Contains(expand, "createdTime") {
			item.CreatedTime = m.CreatedAt.Format(time.RFC3339Nano)
		}
		if slices.Contains(expand, "provisioningState") {
			item.ProvisioningState = "Succeeded"
		}
		answer.Value = append(answer.Value, item)
	}
	if more {
		answer.NextLink = q.nextLink(identities[len(identities)-1].PrincipalID)
	}
	writeJSON(q.w, http.StatusOK, answer)
	return nil
}
