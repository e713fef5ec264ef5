package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Whoever deletes the last administrator gets in again from the server's host.
func TestDeletedAdministratorIsMadeAgain(t *testing.T) {
	i, ctx := install(t), context.Background()
	out, err := run(ctx, "bootstrap", "--config", i.config, "--name", "Example", "--domain", "example.net", "--issuer", i.provider.Issuer(), "--subject", "ops")
	if err != nil {
		t.Fatal(err, out)
	}
	admin, tenant := field(t, out, `Administrator +`+guid), field(t, out, `Tenant +`+guid)
	stop := i.serving(t)
	defer func() { _ = stop() }()
	_, answer := i.token(t, tenant, admin, "ops")
	bearer, _ := answer["access_token"].(string)
	if status := i.administer(t, "DELETE", "/v1.0/applications(appId='"+admin+"')", bearer, ""); status != http.StatusNoContent {
		t.Fatalf("the administrator deletes itself: status %d", status)
	}
	if out, err = run(ctx, "bootstrap", "--config", i.config, "--new-token", "example.net"); err != nil {
		t.Fatal(err, out)
	}
	again := field(t, out, `Administrator +`+guid)
	if again == admin {
		t.Error("the deleted administrator is named again")
	}
	body := fmt.Sprintf(`{"name":"ops","issuer":%q,"subject":"ops","audiences":["api://AzureADTokenExchange"]}`, i.provider.Issuer())
	path := "/v1.0/applications(appId='" + again + "')/federatedIdentityCredentials"
	if status := i.administer(t, "POST", path, field(t, out, `(cambio-bootstrap-\w+)`), body); status != http.StatusCreated {
		t.Errorf("the new administrator's credential: status %d", status)
	}
	_, answer = i.token(t, tenant, again, "ops")
	bearer, _ = answer["access_token"].(string)
	if status := i.administer(t, "GET", "/v1.0/directory/deletedItems/microsoft.graph.application", bearer, ""); status != http.StatusOK {
		t.Errorf("the new administrator: status %d", status)
	}
}

// administer sends one management request and returns the status of the answer.
func (i *installation) administer(t *testing.T, method, path, bearer, body string) int {
	t.Helper()
	req, err := http.NewRequest(method, i.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Content-Type", "application/json")
	resp, err := i.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
