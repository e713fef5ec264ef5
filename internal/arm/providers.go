package arm

import (
	"net/http"
	"strings"
)

type providerJSON struct {
	ID                 string             `json:"id"`
	Namespace          string             `json:"namespace"`
	RegistrationPolicy string             `json:"registrationPolicy"`
	RegistrationState  string             `json:"registrationState"`
	ResourceTypes      []resourceTypeJSON `json:"resourceTypes"`
}

type resourceTypeJSON struct {
	ResourceType string   `json:"resourceType"`
	Locations    []string `json:"locations"`
	APIVersions  []string `json:"apiVersions"`
}

// provider is a resource provider: the namespace of some resource types.
type provider struct {
	namespace string
	types     []string
	versions  []string // newest first
}

// providers are those that this API answers for. Every other well-formed
// api-version is answered too.
var providers = []provider{
	{
		namespace, []string{"userAssignedIdentities", "userAssignedIdentities/federatedIdentityCredentials", "identities", "operations"},
		[]string{"2026-05-31", "2026-04-30", "2025-05-31-preview", "2025-01-31-preview", "2024-11-30", "2023-07-31-preview", "2023-01-31",
			"2022-01-31-preview", "2018-11-30", "2015-08-31-preview"},
	},
	{
		"Microsoft.Resources", []string{"tenants", "locations", "providers", "subscriptions", "resourceGroups", "resources"},
		[]string{"2023-07-01", "2022-09-01", "2021-04-01", "2019-11-01"},
	},
}

func (q *request) providerOf(p *provider) providerJSON {
	answer := providerJSON{
		ID: "/subscriptions/" + q.subscription() + "/providers/" + p.namespace, Namespace: p.namespace,
		RegistrationPolicy: "RegistrationFree", RegistrationState: "Registered",
	}
	for _, name := range p.types {
		answer.ResourceTypes = append(answer.ResourceTypes, resourceTypeJSON{name, []string{}, p.versions})
	}
	return answer
}

// listProviders names the resource providers that there are. Clients that
// register providers before use see that nothing needs registering.
func (q *request) listProviders() error {
	answer := listJSON[providerJSON]{}
	for i := range providers {
		answer.Value = append(answer.Value, q.providerOf(&providers[i]))
	}
	writeJSON(q.w, http.StatusOK, answer)
	return nil
}

// provider returns the addressed resource provider.
func (q *request) provider() (*provider, error) {
	wanted, named := q.call.Params["provider"]
	if !named {
		wanted = namespace
	}
	for i := range providers {
		if strings.EqualFold(providers[i].namespace, wanted) {
			return &providers[i], nil
		}
	}
	return nil, &Problem{http.StatusNotFound, CodeInvalidNamespace,
		"The resource namespace '" + shorten(wanted) + "' is invalid. This server has " + namespace + " and Microsoft.Resources; it registers no others."}
}

// getProvider answers a request for a resource provider, and for its
// registration: it is always registered.
func (q *request) getProvider() error {
	p, err := q.provider()
	if err != nil {
		return err
	}
	writeJSON(q.w, http.StatusOK, q.providerOf(p))
	return nil
}

func (q *request) refuseUnregistration() error {
	p, err := q.provider()
	if err != nil {
		return err
	}
	return &Problem{http.StatusBadRequest, CodeNotSupported, "The resource provider '" + p.namespace + "' is part of this server and cannot be unregistered."}
}

type locationJSON struct {
	ID                  string               `json:"id"`
	SubscriptionID      string               `json:"subscriptionId"`
	Name                string               `json:"name"`
	Type                string               `json:"type"`
	DisplayName         string               `json:"displayName"`
	RegionalDisplayName string               `json:"regionalDisplayName"`
	Metadata            locationMetadataJSON `json:"metadata"`
}

type locationMetadataJSON struct {
	RegionType     string `json:"regionType"`
	RegionCategory string `json:"regionCategory"`
}

// listLocations names the one region there is. Resource groups and identities
// may name any other: nothing depends on it.
func (q *request) listLocations() error {
	writeJSON(q.w, http.StatusOK, listJSON[locationJSON]{Value: []locationJSON{{
		ID: "/subscriptions/" + q.subscription() + "/locations/" + location, SubscriptionID: q.subscription(), Name: location, Type: "Region",
		DisplayName: "Local", RegionalDisplayName: "Local", Metadata: locationMetadataJSON{RegionType: "Physical", RegionCategory: "Other"},
	}}})
	return nil
}

type operationJSON struct {
	Name         string               `json:"name"`
	IsDataAction bool                 `json:"isDataAction"`
	Display      operationDisplayJSON `json:"display"`
}

type operationDisplayJSON struct {
	Provider    string `json:"provider"`
	Resource    string `json:"resource"`
	Operation   string `json:"operation"`
	Description string `json:"description"`
}

// listOperations names what can be done with identities and their credentials.
func (q *request) listOperations() error {
	answer := listJSON[operationJSON]{}
	for _, resource := range [][2]string{{identityType, "User-assigned identity"}, {credentialType, "Federated identity credential"}} {
		for _, verb := range [][2]string{{"read", "Get or list"}, {"write", "Create or update"}, {"delete", "Delete"}} {
			answer.Value = append(answer.Value, operationJSON{
				Name: resource[0] + "/" + verb[0],
				Display: operationDisplayJSON{Provider: namespace, Resource: resource[1],
					Operation: verb[1], Description: verb[1] + ": " + strings.ToLower(resource[1][:1]) + resource[1][1:]},
			})
		}
	}
	writeJSON(q.w, http.StatusOK, answer)
	return nil
}
