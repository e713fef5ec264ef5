package arm

import "cambio/internal/management"

// Routes is the route table. The patterns must be matched without regard to
// case: clients write resourcegroups as well as resourceGroups. The namespace
// of identities has rows of its own beside {provider}, since the server's
// router takes a literal segment for good.
func Routes(a *API) []management.Route {
	const (
		anybody = management.Authenticated
		reader  = management.ManagedIdentityReadAll
		writer  = management.ManagedIdentityReadWriteAll

		subscription = "/subscriptions/{subscription}"
		group        = subscription + "/resourcegroups/{group}"
		identities   = "/providers/" + identityType
		identity     = group + identities + "/{identity}"
		credentials  = identity + "/federatedIdentityCredentials"
		credential   = credentials + "/{credential}"

		systemIdentity = "/providers/" + namespace + "/identities/default"
	)
	row := func(method, pattern string, p management.Permission, action string, step func(*request) error) management.Route {
		rate := management.RateWrite
		if method == "GET" || method == "HEAD" {
			rate = management.RateRead
		}
		return management.Route{Method: method, Pattern: pattern, Permission: p, Action: action, Rate: rate, Handler: a.handle(step)}
	}
	return []management.Route{
		row("GET", "/tenants", anybody, "", (*request).listTenants),
		row("GET", "/subscriptions", anybody, "", (*request).listSubscriptions),
		row("GET", subscription, anybody, "", (*request).getSubscription),
		row("GET", subscription+"/locations", anybody, "", (*request).listLocations),
		row("GET", subscription+"/resources", reader, "", (*request).listResources),

		row("GET", "/providers/"+namespace+"/operations", anybody, "", (*request).listOperations),
		row("GET", subscription+"/providers", anybody, "", (*request).listProviders),
		row("GET", subscription+"/providers/"+namespace, anybody, "", (*request).getProvider),
		row("POST", subscription+"/providers/"+namespace+"/register", anybody, "", (*request).getProvider),
		row("POST", subscription+"/providers/"+namespace+"/unregister", anybody, "", (*request).refuseUnregistration),
		row("GET", subscription+"/providers/{provider}", anybody, "", (*request).getProvider),
		row("POST", subscription+"/providers/{provider}/register", anybody, "", (*request).getProvider),
		row("POST", subscription+"/providers/{provider}/unregister", anybody, "", (*request).refuseUnregistration),

		row("GET", subscription+"/resourcegroups", reader, "", (*request).listGroups),
		row("GET", group, reader, "", (*request).getGroup).Guarded(),
		row("HEAD", group, reader, "", (*request).headGroup).Guarded(),
		row("PUT", group, writer, actionPutGroup, (*request).putGroup).Guarded(),
		row("PATCH", group, writer, actionUpdateGroup, (*request).patchGroup).Guarded(),
		row("DELETE", group, writer, actionDeleteGroup, (*request).deleteGroup).Guarded(),
		row("GET", group+"/resources", reader, "", (*request).listResources),

		row("GET", subscription+identities, reader, "", (*request).listIdentities),
		row("GET", group+identities, reader, "", (*request).listIdentities),
		row("GET", identity, reader, "", (*request).getIdentity).Guarded(),
		row("PUT", identity, writer, actionPutIdentity, (*request).putIdentity).Guarded(),
		row("PATCH", identity, writer, actionUpdateIdentity, (*request).patchIdentity).Guarded(),
		row("DELETE", identity, writer, actionDeleteIdentity, (*request).deleteIdentity).Guarded(),
		row("POST", identity+"/listAssociatedResources", reader, "", (*request).listAssociatedResources),
		row("POST", identity+"/revokeTokens", writer, "", (*request).refuseRevocation),
		row("GET", subscription+systemIdentity, reader, "", (*request).noSystemIdentity),
		row("GET", group+systemIdentity, reader, "", (*request).noSystemIdentity),
		row("GET", group+"/providers/{provider}/{type}/{name}"+systemIdentity, reader, "", (*request).noSystemIdentity),

		row("GET", credentials, reader, "", (*request).listCredentials),
		row("GET", credential, reader, "", (*request).getCredential).Guarded(),
		row("PUT", credential, writer, actionPutCredential, (*request).putCredential).Guarded(),
		row("DELETE", credential, writer, actionDeleteCredential, (*request).deleteCredential).Guarded(),
	}
}
