package management

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

type object = map[string]any

const resourceURI = "api://trust-orders"

// trusted is a document about a client, a resource and others.
func trusted(client, resource object, more ...object) object {
	client["uniqueName"], resource["uniqueName"] = "shop", "orders"
	return object{"version": 1, "applications": append([]object{client, resource}, more...)}
}

// whole is the document by which the client may ask for the resource.
func (a *admin) whole() object {
	return trusted(object{"displayName": "Shop", "isDisabled": false, "servicePrincipal": object{"accountEnabled": true},
		"federatedIdentityCredentials": []any{a.credential("subject", "main")}, "appRoleAssignments": []any{object{"resource": "orders", "role": "Read"}}},
		object{"displayName": "Orders", "identifierUris": []string{resourceURI}, "appRoles": []any{object{"value": "Read", "displayName": "Read"}},
			"servicePrincipal": object{"accountEnabled": true, "appRoleAssignmentRequired": true}},
		object{"uniqueName": "heir", "displayName": "Heir", "identifierUris": []string{}})
}

func (a *admin) credential(key string, value any) object {
	return object{"name": "main", "issuer": a.server.IDP.Issuer, key: value, "audiences": []string{audience}}
}

// takes are the documents that, applied after the whole, end the permission.
func (a *admin) takes() map[string][]object {
	client := func(o object) object { return trusted(o, object{}) }
	resource := func(o object, more ...object) object { return trusted(object{}, o, more...) }
	elsewhere := client(object{"federatedIdentityCredentials": []any{a.credential("subject", "other")}})
	flexible := client(object{"federatedIdentityCredentials": []any{a.credential("claimsMatchingExpression", object{"value": "claims['sub'] matches 'ma*'"})}})
	heir := object{"uniqueName": "heir", "identifierUris": []string{resourceURI}, "servicePrincipal": object{"appRoleAssignmentRequired": true}}
	disabled := object{"value": "Read", "displayName": "Read", "isEnabled": false}
	return map[string][]object{
		"credentials":         {client(object{"federatedIdentityCredentials": []any{}})},
		"subject":             {elsewhere},
		"expression":          {flexible, elsewhere},
		"client disabled":     {client(object{"isDisabled": true})},
		"principal disabled":  {client(object{"servicePrincipal": object{"accountEnabled": false}})},
		"principal deleted":   {client(object{"servicePrincipal": nil})},
		"assignment":          {client(object{"appRoleAssignments": []any{}})},
		"resource disabled":   {resource(object{"servicePrincipal": object{"accountEnabled": false}})},
		"resource principal":  {resource(object{"servicePrincipal": nil})},
		"identifier URI":      {resource(object{"identifierUris": []string{}})},
		"identifier URI lent": {resource(object{"identifierUris": []string{}}, heir)},
		"role":                {resource(object{"appRoles": []any{disabled}}), resource(object{"appRoles": []any{}})},
	}
}

// What an applied document grants works, and what it takes no longer does, for
// the exchange that follows: whatever it is that gives or takes, and while
// others exchange all the time.
func TestApplyThenExchange(t *testing.T) {
	a := start(t)
	apply := func(d object) {
		t.Helper()
		a.must("POST", "/trust/v1/apply", object{"document": d}, nil)
	}
	apply(a.whole())
	var found struct {
		Value []struct{ AppID string }
	}
	a.must("GET", "/v1.0/applications?$filter=uniqueName+eq+'shop'", nil, &found)
	assertion, err := a.mint("main")
	if err != nil {
		t.Fatal(err)
	}
	exchange := func() (int, error) { return a.exchangeFor(found.Value[0].AppID, assertion, resourceURI+"/.default") }
	check := func(what string, allowed bool) {
		t.Helper()
		if status, err := exchange(); err != nil || (status == http.StatusOK) != allowed {
			t.Errorf("%s: status %d, %v", what, status, err)
		}
	}
	check("at first", true)
	var others sync.WaitGroup
	done := make(chan struct{})
	defer others.Wait()
	defer close(done)
	for range 4 {
		others.Go(func() { untilClosed(done, func() { _, _ = exchange() }) })
	}
	for round := range 3 {
		for name, steps := range a.takes() {
			for _, d := range steps {
				apply(d)
			}
			check(fmt.Sprint("taken: ", name, " ", round), false)
			apply(a.whole())
			check(fmt.Sprint("given again: ", name, " ", round), true)
		}
	}
}

func untilClosed(done <-chan struct{}, fn func()) {
	for {
		select {
		case <-done:
			return
		default:
			fn()
		}
	}
}
