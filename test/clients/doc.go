// Package clients runs third-party clients, unmodified and each in a process
// of its own, against "cambio dev": the Azure SDKs and MSAL for Go and Node,
// golang.org/x/oauth2, the Azure CLI, the management libraries for ARM and
// Microsoft Graph, Terraform, and two validators that accept the issued tokens
// from discovery alone.
//
// The programs in go, node and msgraph-sdk, each a module of its own so that
// its pins never touch the server's, are what an application or an operator
// would run. Nothing here is part of the server.
package clients
