package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/google/uuid"
	core "github.com/microsoftgraph/msgraph-sdk-go-core"
	"github.com/microsoftgraph/msgraph-sdk-go/applications"
	"github.com/microsoftgraph/msgraph-sdk-go/applicationswithappid"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"
	"github.com/microsoftgraph/msgraph-sdk-go/serviceprincipals"
)

// application is an application with its service principal.
type application struct{ id, appID, principal string }

var roleID = uuid.MustParse("8c1f6a0e-2d3b-4a55-9d53-7f3b6f1c9d01")

func (o *operator) registerResource(ctx context.Context) (application, error) {
	role := models.NewAppRole()
	role.SetId(&roleID)
	role.SetValue(new(os.Getenv("ROLE")))
	role.SetDisplayName(new(os.Getenv("ROLE")))
	role.SetDescription(new(os.Getenv("ROLE")))
	role.SetAllowedMemberTypes([]string{"Application"})
	role.SetIsEnabled(new(true))
	api := models.NewApiApplication()
	api.SetRequestedAccessTokenVersion(new(int32(2)))
	app := models.NewApplication()
	app.SetDisplayName(new(o.name + " API"))
	app.SetIdentifierUris([]string{"api://" + o.name})
	app.SetApi(api)
	app.SetAppRoles([]models.AppRoleable{role})
	return o.register(ctx, app)
}

func (o *operator) register(ctx context.Context, app models.Applicationable) (application, error) {
	made, err := o.graph.Applications().Post(ctx, app, nil)
	if err != nil {
		return application{}, err
	}
	principal := models.NewServicePrincipal()
	principal.SetAppId(made.GetAppId())
	madePrincipal, err := o.graph.ServicePrincipals().Post(ctx, principal, nil)
	if err != nil {
		return application{}, err
	}
	return application{id: *made.GetId(), appID: *made.GetAppId(), principal: *madePrincipal.GetId()}, nil
}

// registerClient makes an application, renames it, and finds it again by
// appId, by filter and by paging.
func (o *operator) registerClient(ctx context.Context) (application, error) {
	app := models.NewApplication()
	app.SetDisplayName(new(o.name + " draft"))
	client, err := o.register(ctx, app)
	if err != nil {
		return client, err
	}
	change := models.NewApplication()
	change.SetDisplayName(&o.name)
	change.SetTags([]string{"msgraph-sdk-go"})
	if _, err := o.graph.Applications().ByApplicationId(client.id).Patch(ctx, change, nil); err != nil {
		return client, err
	}
	selected, err := o.graph.ApplicationsWithAppId(&client.appID).Get(ctx, &applicationswithappid.ApplicationsWithAppIdRequestBuilderGetRequestConfiguration{
		QueryParameters: &applicationswithappid.ApplicationsWithAppIdRequestBuilderGetQueryParameters{Select: []string{"id", "appId"}},
	})
	if err != nil {
		return client, err
	}
	if *selected.GetId() != client.id || selected.GetDisplayName() != nil {
		return client, fmt.Errorf("$select=id,appId returned id %s, displayName %v", *selected.GetId(), selected.GetDisplayName())
	}
	found, err := o.graph.Applications().Get(ctx, &applications.ApplicationsRequestBuilderGetRequestConfiguration{
		QueryParameters: &applications.ApplicationsRequestBuilderGetQueryParameters{Filter: new("displayName eq '" + o.name + "'")},
	})
	if err != nil {
		return client, err
	}
	if v := found.GetValue(); len(v) != 1 || *v[0].GetId() != client.id || len(v[0].GetTags()) != 1 {
		return client, fmt.Errorf("displayName eq %q found %d applications", o.name, len(v))
	}
	return client, o.page(ctx)
}

// page reads the two service principals of this program's prefix, one on each
// page.
func (o *operator) page(ctx context.Context) error {
	first, err := o.graph.ServicePrincipals().Get(ctx, &serviceprincipals.ServicePrincipalsRequestBuilderGetRequestConfiguration{
		QueryParameters: &serviceprincipals.ServicePrincipalsRequestBuilderGetQueryParameters{
			Filter: new("startswith(displayName,'" + o.name + "')"), Top: new(int32(1)),
		},
	})
	if err != nil {
		return err
	}
	if len(first.GetValue()) != 1 || first.GetOdataNextLink() == nil {
		return fmt.Errorf("$top=1 returned %d of two service principals", len(first.GetValue()))
	}
	pages, err := core.NewPageIterator[models.ServicePrincipalable](first, o.graph.GetAdapter(), models.CreateServicePrincipalCollectionResponseFromDiscriminatorValue)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	err = pages.Iterate(ctx, func(p models.ServicePrincipalable) bool {
		names[*p.GetDisplayName()] = true
		return true
	})
	if err == nil && (len(names) != 2 || !names[o.name] || !names[o.name+" API"]) {
		err = fmt.Errorf("paging found %v", names)
	}
	return err
}

// trust makes a credential of another subject, changes it, and reads it by
// id, by name and by filter.
func (o *operator) trust(ctx context.Context, client application) error {
	credentials := o.graph.Applications().ByApplicationId(client.id).FederatedIdentityCredentials()
	c := models.NewFederatedIdentityCredential()
	c.SetName(new("msgraph-sdk"))
	c.SetIssuer(new(os.Getenv("ISSUER")))
	c.SetSubject(new("somebody:else"))
	c.SetAudiences([]string{"api://AzureADTokenExchange"})
	made, err := credentials.Post(ctx, c, nil)
	if err != nil {
		return err
	}
	change := models.NewFederatedIdentityCredential()
	change.SetSubject(new(os.Getenv("SUBJECT")))
	if _, err := credentials.ByFederatedIdentityCredentialId(*made.GetId()).Patch(ctx, change, nil); err != nil {
		return err
	}
	got, err := o.graph.Applications().ByApplicationId(client.id).FederatedIdentityCredentialsWithName(new("msgraph-sdk")).Get(ctx, nil)
	if err != nil {
		return err
	}
	if *got.GetId() != *made.GetId() || *got.GetSubject() != os.Getenv("SUBJECT") || *got.GetIssuer() != os.Getenv("ISSUER") {
		return fmt.Errorf("read back: issuer %s, subject %s", *got.GetIssuer(), *got.GetSubject())
	}
	found, err := credentials.Get(ctx, &applications.ItemFederatedIdentityCredentialsRequestBuilderGetRequestConfiguration{
		QueryParameters: &applications.ItemFederatedIdentityCredentialsRequestBuilderGetQueryParameters{
			Filter: new("subject eq '" + os.Getenv("SUBJECT") + "'"),
		},
	})
	if err == nil && (len(found.GetValue()) != 1 || *found.GetValue()[0].GetId() != *made.GetId()) {
		err = fmt.Errorf("subject eq %q found %d credentials", os.Getenv("SUBJECT"), len(found.GetValue()))
	}
	return err
}

func (o *operator) distrust(ctx context.Context, client application) error {
	credential := o.graph.Applications().ByApplicationId(client.id).FederatedIdentityCredentials().ByFederatedIdentityCredentialId("msgraph-sdk")
	if err := credential.Delete(ctx, nil); err != nil {
		return err
	}
	_, err := credential.Get(ctx, nil)
	return gone("credential", err)
}

// grant assigns the resource's role to the client, and sees it from the
// client's side. It returns the assignment's id.
func (o *operator) grant(ctx context.Context, client, resource application) (string, error) {
	principal, err := uuid.Parse(client.principal)
	if err != nil {
		return "", err
	}
	of, err := uuid.Parse(resource.principal)
	if err != nil {
		return "", err
	}
	a := models.NewAppRoleAssignment()
	a.SetPrincipalId(&principal)
	a.SetResourceId(&of)
	a.SetAppRoleId(&roleID)
	made, err := o.graph.ServicePrincipals().ByServicePrincipalId(resource.principal).AppRoleAssignedTo().Post(ctx, a, nil)
	if err != nil {
		return "", err
	}
	list, err := o.graph.ServicePrincipals().ByServicePrincipalId(client.principal).AppRoleAssignments().Get(ctx, nil)
	if err != nil {
		return "", err
	}
	if v := list.GetValue(); len(v) != 1 || *v[0].GetId() != *made.GetId() || *v[0].GetAppRoleId() != roleID {
		return "", fmt.Errorf("the client's list has %d assignments", len(v))
	}
	return *made.GetId(), nil
}

func (o *operator) remove(ctx context.Context, client, resource application, grant string) error {
	if err := o.graph.ServicePrincipals().ByServicePrincipalId(resource.principal).AppRoleAssignedTo().ByAppRoleAssignmentId(grant).Delete(ctx, nil); err != nil {
		return fmt.Errorf("deleting the assignment: %w", err)
	}
	for _, app := range []application{client, resource} {
		if err := o.graph.ServicePrincipals().ByServicePrincipalId(app.principal).Delete(ctx, nil); err != nil {
			return fmt.Errorf("deleting a service principal: %w", err)
		}
		if err := o.graph.Applications().ByApplicationId(app.id).Delete(ctx, nil); err != nil {
			return fmt.Errorf("deleting an application: %w", err)
		}
		_, err := o.graph.ApplicationsWithAppId(&app.appID).Get(ctx, nil)
		if err := gone("application", err); err != nil {
			return err
		}
	}
	return nil
}

// gone checks the answer to reading something that was deleted.
func gone(what string, err error) error {
	var odata *odataerrors.ODataError
	if !errors.As(err, &odata) {
		return fmt.Errorf("reading a deleted %s: want an OData error, got %w", what, errors.Join(err, errors.New("none")))
	}
	var code string
	if main := odata.GetErrorEscaped(); main != nil && main.GetCode() != nil {
		code = *main.GetCode()
	}
	if odata.GetStatusCode() != 404 || code != "Request_ResourceNotFound" {
		return fmt.Errorf("reading a deleted %s: %d %s", what, odata.GetStatusCode(), code)
	}
	return nil
}
