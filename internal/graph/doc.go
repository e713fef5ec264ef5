// Package graph is the management API in the shape of Microsoft Graph v1.0
// and beta: applications, service principals, their owners, federated
// identity credentials, app role assignments, deleted items and the
// organization.
//
// Trust boundary: callers were authenticated, and checked for the permission
// of the route, before a handler runs. Everything else of a request (path
// variables, query, headers, body) is hostile. The tenant comes from the
// caller's token and stands in every query; an object of another tenant is an
// object that does not exist.
package graph
