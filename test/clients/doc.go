// Package clients runs third-party clients, unmodified and each in a process
// of its own, against "cambio dev": the Azure SDKs and MSAL for Go and Node,
// golang.org/x/oauth2, the Azure CLI, and two validators that accept the
// issued tokens from discovery alone.
//
// The programs in go and node, each a module of its own so that its pins never
// touch the server's, are what an application would be. Nothing here is part
// of the server.
package clients
