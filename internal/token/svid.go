package token

import (
	"context"
	"net/http"
	"strings"

	"cambio/internal/directory"
	"cambio/internal/federation"
	"cambio/internal/oauth"
)

// takeSVIDs lets the request be authenticated by an SVID, as
// draft-ietf-oauth-spiffe-client-auth says. The certificate of the connection
// counts only where nothing else authenticates: clients that have one may
// still send an assertion.
func (q *request) takeSVIDs(r *http.Request) {
	q.svids = true
	if r.TLS != nil && q.assertion == "" && q.secret == "" && !q.basic && len(r.TLS.PeerCertificates) > 0 {
		q.certificates = r.TLS.PeerCertificates
	}
}

// bySVID reports whether an SVID authenticates the request. Entra knows none,
// and so strict tenants.
func (q *request) bySVID(level directory.Compat) bool {
	return q.svids && level != directory.Strict && (q.certificates != nil || q.assertion != "" && q.assertionType == oauth.AssertionTypeSPIFFE)
}

// readSVID reads the SVID and finds out which client it names: a JWT-SVID
// alone names the client by its SPIFFE ID.
func (e *Endpoint) readSVID(x *exchange) *oauth.Error {
	if x.assertion == nil {
		var refusal *oauth.Error
		audience := e.issuer(x.tenant.ID, true)
		if x.request.certificates != nil {
			x.assertion, refusal = federation.ParseX509SVID(x.request.certificates, audience)
		} else {
			x.assertion, refusal = federation.ParseJWTSVID(x.request.assertion, audience)
		}
		if refusal != nil {
			return refusal
		}
	}
	switch id := x.assertion.Subject; {
	case x.request.clientID == "":
		x.request.clientID = id
	case strings.HasPrefix(x.request.clientID, "spiffe:") && x.request.clientID != id:
		return oauth.Refuse(oauth.SVIDNotAccepted, "client_id is another SPIFFE ID than that of the SVID")
	}
	return nil
}

// clientID is the appId of the client that the request names; "" if it can be
// none. A SPIFFE ID names the application that has it as an identifier URI.
func (e *Endpoint) clientID(ctx context.Context, x *exchange) (string, *oauth.Error) {
	id := canonicalGUID(x.request.clientID)
	if id != "" || !x.request.bySVID(x.tenant.Compat) {
		return id, nil
	}
	if _, ok := directory.TrustDomainOf(x.request.clientID); !ok {
		return "", nil
	}
	var err error
	if x.named, err = e.cfg.Directory.Resource(ctx, x.tenant.ID, x.request.clientID); err != nil {
		return "", e.directoryRefusal(err, x)
	}
	return x.named.AppID, nil
}
