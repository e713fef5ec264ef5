// Package arm is the management API in the shape of Azure Resource Manager, as
// far as user-assigned managed identities and their federated identity
// credentials need it: subscriptions, resource groups, Microsoft.ManagedIdentity
// and the cloud metadata document.
//
// A tenant has exactly one subscription, whose id is the tenant's id: clients
// insist on a subscription, and one that everybody can name needs no
// administration. Path segments are matched without regard to case.
//
// Trust boundary: callers were authenticated, and checked for the permission
// of the route, before a handler runs; the metadata document is public.
// Everything else of a request is hostile. The tenant comes from the caller's
// token and stands in every query.
package arm
