package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cambio/internal/directory"
	"cambio/internal/federation"
	"cambio/internal/oauth"
	"cambio/internal/token"
)

// document is an OpenID provider metadata document (OpenID Connect Discovery
// §3, RFC 8414 §2) as far as it is true of this server.
type document struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	AuthSigningAlgorithms []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgorithms     []string `json:"id_token_signing_alg_values_supported"`
	Scopes                []string `json:"scopes_supported"`
	Claims                []string `json:"claims_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`
	CloudInstanceName     string   `json:"cloud_instance_name"`
	GraphHost             string   `json:"msgraph_host"`
}

// serveDiscoveryV2 answers v2.0 metadata of a tenant. "common" and its kin
// carry the literal {tenantid} in the issuer, as Entra's do.
func (s *Server) serveDiscoveryV2(w http.ResponseWriter, r *http.Request, params map[string]string) {
	s.serveDiscovery(w, r, params["tenant"], true)
}

// serveDiscoveryV1 answers v1.0 metadata, and that of the AD FS alias, which
// leads to the default tenant's v2.0 endpoint.
func (s *Server) serveDiscoveryV1(w http.ResponseWriter, r *http.Request, params map[string]string) {
	s.serveDiscovery(w, r, params["tenant"], isADFS(params["tenant"]))
}

func (s *Server) serveDiscovery(w http.ResponseWriter, r *http.Request, ref string, v2 bool) {
	base := s.opt.BaseURL
	id, issuerID, compat := ref, "{tenantid}", directory.Relaxed
	if !isShared(ref) {
		tenant, refusal := s.endpoint.ResolveTenant(r.Context(), ref)
		if refusal != nil {
			s.refuse(w, r, refusal)
			return
		}
		id, issuerID, compat = tenant.ID, tenant.ID, tenant.Compat
	}
	path, keys := "/oauth2", "/discovery/keys"
	if v2 {
		path, keys = "/oauth2/v2.0", "/discovery/v2.0/keys"
	}
	origin, _ := url.Parse(base) // validated at start
	writeJSON(w, "public, max-age=3600", document{
		Issuer:                token.Issuer(base, issuerID, v2),
		AuthorizationEndpoint: base + "/" + id + path + "/authorize",
		TokenEndpoint:         base + "/" + id + path + "/token",
		JWKSURI:               base + "/" + id + keys,
		AuthMethods:           s.authMethods(compat),
		AuthSigningAlgorithms: federation.Algorithms(compat),
		GrantTypes:            []string{oauth.GrantClientCredentials},
		ResponseTypes:         []string{"none"}, // nobody signs in here,
		SubjectTypes:          []string{"public"},
		IDTokenAlgorithms:     []string{"RS256", "ES256"},
		Scopes:                []string{"openid", "profile", "email", "offline_access"},
		Claims:                []string{"aud", "iss", "iat", "nbf", "exp", "azp", "azpacr", "appid", "appidacr", "idp", "idtyp", "oid", "roles", "sub", "tid", "uti", "ver"},
		CloudInstanceName:     origin.Host,
		GraphHost:             origin.Host,
	})
}

// authMethods names the ways to authenticate at the token endpoint; those of
// SVIDs as draft-ietf-oauth-spiffe-client-auth-02 does.
func (s *Server) authMethods(compat directory.Compat) []string {
	methods := []string{"private_key_jwt"}
	if s.opt.SPIFFEClientAuth && compat != directory.Strict {
		methods = append(methods, "spiffe_jwt", "spiffe_x509")
	}
	return methods
}

// serveKeys answers the key set, which is one for all tenants. Verifiers may
// cache it for a quarter of the time that a key is published before it signs;
// for less when this server does not reach the database, since another one may
// have published a key, and not at all once that one may sign.
func (s *Server) serveKeys(w http.ResponseWriter, r *http.Request, params map[string]string) {
	if ref := params["tenant"]; !isShared(ref) {
		if _, refusal := s.endpoint.ResolveTenant(r.Context(), ref); refusal != nil {
			s.refuse(w, r, refusal)
			return
		}
	}
	left := s.ring.GoodFor()
	if left <= 0 {
		s.refuse(w, r, oauth.Refuse(oauth.TransientFailure).After(time.Second))
		return
	}
	seconds := int(min(s.opt.Keys.PublishAhead/4, time.Hour, left).Seconds())
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(seconds))
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(s.ring.JWKS()) // the client may be gone
}

// serveInstance answers MSAL's instance discovery for any Host: the tenant
// comes from the authorization endpoint's path, everything else is the
// configured origin.
func (s *Server) serveInstance(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	query := r.URL.Query()
	endpoint := query.Get("authorization_endpoint")
	u, err := url.Parse(endpoint)
	if endpoint == "" || err != nil || u.Scheme != "https" || u.Host == "" {
		s.refuse(w, r, oauth.Refuse(oauth.UnknownInstance, "authorization_endpoint must be an https URL"))
		return
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	id := tenant
	if !isShared(tenant) {
		found, refusal := s.endpoint.ResolveTenant(r.Context(), tenant)
		if refusal != nil {
			s.refuse(w, r, refusal)
			return
		}
		id = found.ID
	}
	version := query.Get("api-version")
	if version != "1.0" {
		version = "1.1"
	}
	origin, _ := url.Parse(s.opt.BaseURL) // validated at start
	aliases := []string{origin.Host}
	if host := strings.ToLower(u.Host); host != origin.Host && oauth.ShowIssuer(host) == host {
		aliases = append(aliases, host)
	}
	writeJSON(w, "public, max-age=3600", map[string]any{
		"tenant_discovery_endpoint": s.opt.BaseURL + "/" + id + "/v2.0/.well-known/openid-configuration",
		"api-version":               version,
		"metadata":                  []any{map[string]any{"preferred_network": origin.Host, "preferred_cache": origin.Host, "aliases": aliases}},
	})
}

// serveNoSignIn answers the authorize URL, which discovery must name though
// nobody signs in here.
func (s *Server) serveNoSignIn(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	s.refuse(w, r, oauth.Refuse(oauth.UnsupportedGrant, "authorization_code"))
}

// serveErrorPage is where error_uri leads: what a code means, as text.
func (s *Server) serveErrorPage(w http.ResponseWriter, r *http.Request, _ map[string]string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	for _, row := range oauth.Catalogue() {
		if strconv.Itoa(int(row.Code)) == r.URL.Query().Get("code") {
			_, _ = fmt.Fprintf(w, "AADSTS%d (%s, HTTP %d)\n\nCause:  %s\nRemedy: %s\n", row.Code, row.Error, row.Status, row.Cause, row.Remedy)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, "There is no such code here. Ask as in /error?code=700213.\n")
}

// serveRoot tells a person who opened the origin what this is.
func (s *Server) serveRoot(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "cambio: workload identity federation.\nToken endpoint: POST "+s.opt.BaseURL+
		"/{tenant}/oauth2/v2.0/token\nDiscovery:      GET  "+s.opt.BaseURL+"/{tenant}/v2.0/.well-known/openid-configuration\n")
}

// refuse answers with an error object outside the token endpoint.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, refusal *oauth.Error) {
	token.WriteError(w, refusal, token.NewErrorContext(s.opt.BaseURL, r, s.opt.Clock()))
}

func isADFS(ref string) bool { return strings.EqualFold(ref, "adfs") }

// isShared reports the path segments that name no tenant.
func isShared(ref string) bool {
	return strings.EqualFold(ref, "common") || strings.EqualFold(ref, "organizations") || strings.EqualFold(ref, "consumers")
}

var errEncode = errors.New("server: a document could not be encoded")

func writeJSON(w http.ResponseWriter, cache string, v any) {
	body, err := json.Marshal(v, json.Deterministic(true), jsontext.EscapeForHTML(true))
	if err != nil {
		panic(errEncode) // only types of this package are encoded
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", cache)
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body) // the client may be gone
}
