// Package httpclient speaks to a security token service the way a person with
// curl would: its Graph-shaped management API as an administrator, its token
// endpoint as a workload. It uses net/http and nothing of the server's code,
// so that a mistake there is not repeated here.
//
// It believes what the server says, and is for tests and demonstrations.
package httpclient

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Client is one administrator of one tenant.
type Client struct {
	BaseURL    string // origin, without a trailing slash
	TenantID   string
	AdminToken string // access token for the management API
	HTTP       *http.Client
	Trace      func(line string) // is told of every management request; may be nil
}

// Application is what Register creates. As a client it has credentials and
// assignments, as a protected resource an identifier URI and roles.
type Application struct {
	ID          string            // object id
	AppID       string            // client_id
	PrincipalID string            // its service principal's object id
	RoleIDs     map[string]string // by value
}

// Registration says what to create.
type Registration struct {
	Name          string
	IdentifierURI string   // of a protected resource
	Roles         []string // values of its app roles
	TokenVersion  int      // of its access tokens: 1 or 2
	Algorithm     string   // of their signatures; empty for the default, RS256
}

// Refusal is an answer that is not a success.
type Refusal struct {
	Status int
	Body   string
}

func (r *Refusal) Error() string { return fmt.Sprintf("HTTP %d: %s", r.Status, r.Body) }

// Register creates an application and its service principal.
func (c *Client) Register(ctx context.Context, r Registration) (Application, error) {
	body := map[string]any{"displayName": r.Name}
	if r.IdentifierURI != "" {
		body["identifierUris"] = []string{r.IdentifierURI}
	}
	if len(r.Roles) > 0 {
		body["appRoles"] = appRoles(r.Roles)
	}
	api := map[string]any{}
	if r.TokenVersion != 0 {
		api["requestedAccessTokenVersion"] = r.TokenVersion
	}
	if r.Algorithm != "" {
		api["accessTokenSigningAlgorithm"] = r.Algorithm
	}
	if len(api) > 0 {
		body["api"] = api
	}
	var app struct {
		ID, AppID string
		AppRoles  []struct{ ID, Value string }
	}
	if err := c.Do(ctx, "POST", "/v1.0/applications", body, &app); err != nil {
		return Application{}, err
	}
	var principal struct{ ID string }
	if err := c.Do(ctx, "POST", "/v1.0/servicePrincipals", map[string]any{"appId": app.AppID}, &principal); err != nil {
		return Application{}, err
	}
	created := Application{ID: app.ID, AppID: app.AppID, PrincipalID: principal.ID, RoleIDs: map[string]string{}}
	for _, role := range app.AppRoles {
		created.RoleIDs[role.Value] = role.ID
	}
	return created, nil
}

// appRoles gives each value a role that applications can hold.
func appRoles(values []string) []map[string]any {
	var roles []map[string]any
	for i, value := range values {
		roles = append(roles, map[string]any{
			"id":                 fmt.Sprintf("%08x-0000-4000-8000-000000000000", i+1),
			"value":              value,
			"displayName":        value,
			"description":        value,
			"allowedMemberTypes": []string{"Application"},
			"isEnabled":          true,
		})
	}
	return roles
}

// Trust creates a federated identity credential: tokens of this issuer, with
// this subject, prove to be the application. It returns the credential's id.
func (c *Client) Trust(ctx context.Context, app Application, name, issuer, subject string) (string, error) {
	var credential struct{ ID string }
	err := c.Do(ctx, "POST", "/v1.0/applications/"+app.ID+"/federatedIdentityCredentials", map[string]any{
		"name": name, "issuer": issuer, "subject": subject, "audiences": []string{"api://AzureADTokenExchange"},
	}, &credential)
	return credential.ID, err
}

// Grant assigns an app role of the resource to the client.
func (c *Client) Grant(ctx context.Context, client, resource Application, role string) error {
	return c.Do(ctx, "POST", "/v1.0/servicePrincipals/"+resource.PrincipalID+"/appRoleAssignedTo", map[string]any{
		"principalId": client.PrincipalID, "resourceId": resource.PrincipalID, "appRoleId": resource.RoleIDs[role],
	}, nil)
}

// Do makes one management request. A body is sent as JSON; a JSON answer is
// decoded into out unless that is nil. Any status but 2xx is a *Refusal.
func (c *Client) Do(ctx context.Context, method, path string, body, out any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.BaseURL+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.AdminToken)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.Trace != nil {
		c.Trace(strings.TrimSpace(fmt.Sprintf("%s %s %s", method, path, text)))
	}
	return c.send(request, out)
}

// Exchange presents the assertion as the client's proof and returns the access
// token for the scope. A refusal of the token endpoint is a *Refusal.
func (c *Client) Exchange(ctx context.Context, clientID, scope, assertion string) (string, error) {
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_id":             {clientID},
		"scope":                 {scope},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}
	request, err := http.NewRequestWithContext(ctx, "POST", c.BaseURL+"/"+c.TenantID+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	err = c.send(request, &answer)
	return answer.AccessToken, err
}

func (c *Client) send(request *http.Request, out any) error {
	response, err := c.HTTP.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return &Refusal{response.StatusCode, string(text)}
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, out)
}

// Part decodes one part of a compact JWS without verifying anything: 0 is the
// header, 1 the claims.
func Part(token string, index int) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("a token has three parts, this has %d", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[index])
	if err != nil {
		return nil, err
	}
	members := map[string]any{}
	return members, json.Unmarshal(text, &members)
}
