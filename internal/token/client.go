package token

import (
	"context"
	"errors"
	"strings"
	"time"

	"cambio/internal/directory"
	"cambio/internal/oauth"
)

// ResolveTenant resolves the path's tenant segment.
func (e *Endpoint) ResolveTenant(ctx context.Context, ref string) (*directory.TenantRecord, *oauth.Error) {
	switch strings.ToLower(ref) {
	case "common", "organizations", "consumers":
		return nil, oauth.Refuse(oauth.TenantNotSpecific, ref)
	}
	if canonicalGUID(ref) == "" && !looksLikeDomain(ref) && !strings.EqualFold(ref, "adfs") {
		return nil, oauth.Refuse(oauth.MalformedTenant, ref)
	}
	tenant, err := e.cfg.Directory.Tenant(ctx, ref)
	switch {
	case err == nil:
		return tenant, nil
	case errors.Is(err, ErrNotFound):
		return nil, oauth.Refuse(oauth.UnknownTenant, ref)
	}
	return nil, oauth.Refuse(oauth.TransientFailure).After(time.Second)
}

// findClient loads the client's compiled record.
func (e *Endpoint) findClient(ctx context.Context, x *exchange) (*directory.ClientRecord, *oauth.Error) {
	id, refusal := e.clientID(ctx, x)
	switch {
	case refusal != nil:
		return nil, refusal
	case id == "":
		return nil, oauth.Refuse(oauth.ClientNotFound, x.request.clientID, x.tenant.DisplayName)
	}
	client, err := e.cfg.Directory.Client(ctx, x.tenant.ID, id)
	if err != nil {
		return nil, e.directoryRefusal(err, x)
	}
	return client, nil
}

// Usable refuses clients that may not sign in at all.
func Usable(c *directory.ClientRecord) *oauth.Error {
	switch {
	case c.Disabled || c.ServicePrincipal != nil && !c.ServicePrincipal.AccountEnabled:
		return oauth.Refuse(oauth.ClientDisabled, c.ClientID)
	case c.ServicePrincipal == nil:
		return oauth.Refuse(oauth.NoServicePrincipal, c.ClientID, c.TenantID)
	}
	return nil
}

// canonicalGUID returns a GUID in lower case, or "" for anything else.
func canonicalGUID(s string) string {
	if len(s) != 36 {
		return ""
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return ""
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return ""
		}
	}
	return strings.ToLower(s)
}

// looksLikeDomain accepts DNS names of at least two labels.
func looksLikeDomain(s string) bool {
	if len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	return true
}
