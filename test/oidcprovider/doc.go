// Package oidcprovider tests the exchange with a second identity provider that
// shares no code with this repository: npm oidc-provider, a certified OpenID
// provider, behind a private certificate authority, signing with RSA, EC and
// Edwards-curve keys, and rotating them.
package oidcprovider
