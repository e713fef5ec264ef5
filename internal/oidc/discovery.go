package oidc

import (
	"cambio/internal/strictjson"
)

// parseDiscovery reads the two members of a discovery document that matter
// here (OpenID Connect Discovery 1.0 sections 3 and 4.3). Others may be absent
// or empty: issuers without endpoints, such as a Kubernetes API server, have
// none to name.
func parseDiscovery(document []byte, issuer string, r *rules) (jwksURI string, fail *failure) {
	object, err := strictjson.ParseObject(document, strictjson.Document)
	if err != nil {
		return "", &failure{reason: ReasonJSON, cause: err}
	}
	// The comparison that binds the document to the issuer: byte for byte, no
	// normalisation, no forgiveness for a slash.
	if name, present, err := object.String("issuer"); err != nil || !present || name != issuer {
		return "", &failure{reason: ReasonIssuerMismatch, cause: err}
	}
	jwksURI, present, err := object.String("jwks_uri")
	if err != nil || !present || jwksURI == "" || len(jwksURI) > maxURLLength {
		return "", &failure{reason: ReasonJWKSURI, cause: err}
	}
	// It may be on another host (Google's is), so it gets the same checks as
	// the issuer, and again when it is dialled.
	if _, err := checkURL(jwksURI, r.allowHTTP, r.allowed); err != nil {
		if err.Reason == ReasonAddress {
			return "", &failure{reason: ReasonAddress, cause: err}
		}
		return "", &failure{reason: ReasonJWKSURI, cause: err}
	}
	return jwksURI, nil
}
