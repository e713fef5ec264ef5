// Package platforms lets jobs and machines of several platforms obtain access
// tokens, with the platforms' own clients where there are any. The platforms'
// issuers and endpoints are played: a server is started with --rehearse-issuer,
// and its provider signs claims of each platform's shape.
package platforms
