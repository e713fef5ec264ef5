package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"

	"cambio/internal/bootstrap"
	"cambio/internal/directory"
	"cambio/internal/jose"
	"cambio/internal/management"
	"cambio/internal/store"
	"cambio/internal/strictjson"
	"cambio/internal/token"
)

// errUnauthenticated is any reason for a 401. Which one is not told: a caller
// that holds a good token needs no hint, and one that does not gets none.
var errUnauthenticated = errors.New("the access token is missing, expired, not issued for this API, or its holder is gone")

// authenticate finds who calls a management API: the holder of an access
// token that this server issued for its management resource, whose service
// principal still exists. The caller's permissions are those roles of the
// token that it holds at this moment.
func (s *Server) authenticate(r *http.Request) (directory.Tenant, management.Caller, error) {
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || bearer == "" {
		return directory.Tenant{}, management.Caller{}, errUnauthenticated
	}
	if strings.HasPrefix(bearer, bootstrap.TokenPrefix) {
		return s.authenticateBootstrap(r.Context(), bearer)
	}
	claims, err := s.verifyOwn(bearer)
	if err != nil {
		return directory.Tenant{}, management.Caller{}, err
	}
	return s.callerOf(r.Context(), claims)
}

// ownClaims is what matters of an access token of ours.
type ownClaims struct {
	tenantID, clientID, principalID string
	keyID                           string // of the key that signed it
	roles                           []string
}

// verifyOwn checks signature, times, issuer and audience.
func (s *Server) verifyOwn(compact string) (ownClaims, error) {
	var c ownClaims
	jws, err := jose.ParseCompact(compact)
	if err != nil || !s.ring.Verify(jws) {
		return c, errUnauthenticated
	}
	claims, err := strictjson.ParseObject(jws.Payload, strictjson.Claims)
	if err != nil {
		return c, errUnauthenticated
	}
	text := func(name string) string {
		v, _, _ := claims.String(name) // a claim of another type is as good as none
		return v
	}
	now := float64(s.opt.Clock().Unix())
	expiry, hasExpiry, err1 := claims.Number("exp")
	notBefore, _, err2 := claims.Number("nbf")
	c.tenantID, c.principalID, c.keyID = text("tid"), text("oid"), jws.Header.KeyID
	if c.clientID = text("appid"); text("ver") == "2.0" {
		c.clientID = text("azp")
	}
	c.roles, _, _ = claims.Strings("roles")
	issuer := text("iss")
	switch {
	case err1 != nil || err2 != nil || !hasExpiry || now >= expiry || now < notBefore-60:
		return c, errUnauthenticated
	case c.tenantID == "" || issuer != token.Issuer(s.opt.BaseURL, c.tenantID, false) && issuer != token.Issuer(s.opt.BaseURL, c.tenantID, true):
		return c, errUnauthenticated
	case !s.isManagementAudience(c.tenantID, text("aud")):
		return c, errUnauthenticated
	}
	return c, nil
}

// isManagementAudience reports whether an aud is this server's management
// resource, by URI or by the appId that it has in the tenant.
func (s *Server) isManagementAudience(tenantID, audience string) bool {
	return audience != "" && (slices.Contains(s.managementURIs, audience) || audience == s.directory.managementAppID(tenantID))
}

// callerOf looks the token's holder up: tokens of deleted or disabled clients
// end with them, and a role that was taken away is gone at once.
func (s *Server) callerOf(ctx context.Context, c ownClaims) (directory.Tenant, management.Caller, error) {
	none := directory.Tenant{}
	// What another replica took away counts here at once.
	if err := s.opt.DB.Sync(ctx); err != nil {
		return none, management.Caller{}, err
	}
	if held, err := s.ring.Holds(ctx, c.keyID); err != nil || !held {
		return none, management.Caller{}, cmp.Or(err, errUnauthenticated)
	}
	tenant, err := s.directory.Tenant(ctx, c.tenantID)
	if err != nil {
		return none, management.Caller{}, lookupError(err)
	}
	client, err := s.directory.Client(ctx, c.tenantID, c.clientID)
	if err != nil {
		return none, management.Caller{}, lookupError(err)
	}
	sp := client.ServicePrincipal
	if client.Disabled || sp == nil || sp.ID != c.principalID || !sp.AccountEnabled {
		return none, management.Caller{}, errUnauthenticated
	}
	resource, err := s.directory.Resource(ctx, c.tenantID, s.opt.BaseURL)
	if err != nil {
		return none, management.Caller{}, lookupError(err)
	}
	var roles []string
	for _, id := range client.Grants[resource.ServicePrincipalID] {
		if value := resource.RoleValues[id]; slices.Contains(c.roles, value) {
			roles = append(roles, value)
		}
	}
	return tenant.Tenant, management.NewCaller(sp.ID, client.ClientID, roles), nil
}

// stillAllowed authenticates a caller once more and returns it with the rights
// that it has now. A bootstrap token is good for
// the one request that used it up.
func (s *Server) stillAllowed(ctx context.Context, r *http.Request, caller management.Caller, permission management.Permission) (management.Caller, error) {
	_, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.HasPrefix(bearer, bootstrap.TokenPrefix) {
		return caller, nil
	}
	claims, err := s.verifyOwn(bearer)
	if err == nil {
		_, caller, err = s.callerOf(ctx, claims)
	}
	if errors.Is(err, errUnauthenticated) || err == nil && !caller.Holds(permission) {
		return management.Caller{}, management.ErrNoLongerAllowed
	}
	return caller, err
}

// authenticateBootstrap uses a bootstrap token up: it acts once, as the
// administrator that `cambio bootstrap` made, with all of its roles.
func (s *Server) authenticateBootstrap(ctx context.Context, bearer string) (directory.Tenant, management.Caller, error) {
	none := directory.Tenant{}
	hash := sha256.Sum256([]byte(bearer))
	// Anybody can send what looks like one. Only the holder of one that was
	// made may take the writer's time.
	known, err := s.opt.DB.HasBootstrapToken(ctx, hash)
	if err == nil && !known {
		err = errUnauthenticated
	}
	if err != nil {
		return none, management.Caller{}, err
	}
	var grant store.BootstrapToken
	err = s.opt.DB.Write(ctx, store.Change{Via: "bootstrap", Action: "bootstrapToken.use"}, func(tx *store.Tx) (err error) {
		grant, err = tx.ConsumeBootstrapToken(hash, s.opt.Clock())
		tx.SetTarget("tenants/" + grant.TenantID + "/servicePrincipals/" + grant.PrincipalID)
		return err
	})
	var refused *directory.Error
	if errors.As(err, &refused) {
		return none, management.Caller{}, errUnauthenticated
	}
	if err != nil {
		return none, management.Caller{}, err
	}
	tenant, err := s.directory.Tenant(ctx, grant.TenantID)
	if err != nil {
		return none, management.Caller{}, lookupError(err)
	}
	return tenant.Tenant, management.NewCaller(grant.PrincipalID, "", management.AllRoles()), nil
}

// lookupError turns "no such object" into a plain 401.
func lookupError(err error) error {
	if errors.Is(err, token.ErrNotFound) {
		return errUnauthenticated
	}
	return err
}
