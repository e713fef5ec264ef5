package platforms

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"cambio/test/httpclient"
	"cambio/test/spiffe"
)

// Of draft-ietf-oauth-spiffe-client-auth.
const jwtSPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"

// authorizationServer is the issuer identifier, the audience of the draft.
func authorizationServer() string {
	return shared.server.BaseURL + "/" + shared.server.TenantID + "/v2.0"
}

// bySVID registers an application that SVIDs with this SPIFFE ID authenticate,
// under its appId and under the SPIFFE ID.
func bySVID(t *testing.T, id string) httpclient.Application {
	t.Helper()
	app, err := shared.api.Register(t.Context(), httpclient.Registration{Name: t.Name(), IdentifierURI: id})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the identifier is for the next test
		if err := shared.api.Do(context.WithoutCancel(t.Context()), "PATCH", "/v1.0/applications/"+app.ID, map[string]any{"identifierUris": []string{}}, nil); err != nil {
			t.Error(err)
		}
	})
	err = shared.api.Do(t.Context(), "POST", "/v1.0/applications/"+app.ID+"/federatedIdentityCredentials", map[string]any{
		"name": "svid", "issuer": trustDomain, "subject": id, "audiences": []string{authorizationServer()}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.api.Grant(t.Context(), app, shared.resource, "Orders.Read"); err != nil {
		t.Fatal(err)
	}
	return app
}

// presenting is a client that trusts the server as any web client does, and
// presents what the configuration says.
func presenting(t *testing.T, config *tls.Config) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(shared.server.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// ask sends a token request of these parameters, and returns the access token
// or the refusal's description.
func ask(t *testing.T, client *http.Client, form map[string]string) (token, refusal string) {
	t.Helper()
	values := url.Values{"grant_type": {"client_credentials"}, "scope": {"api://orders/.default"}}
	for name, value := range form {
		values.Set(name, value)
	}
	response, err := client.PostForm(shared.server.BaseURL+"/"+shared.server.TenantID+"/oauth2/v2.0/token", values)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Token       string `json:"access_token"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Token, answer.Description
}

// The X.509-SVID and the TLS configuration are those that go-spiffe gives.
func TestX509SVIDAuthenticates(t *testing.T) {
	a, socket, endpoint := trustDomainOf(t, false)
	manage(t, trustDomain, endpoint)
	id := own(t, a, socket)
	app := bySVID(t, id)
	source, err := workloadapi.NewX509Source(t.Context(), workloadapi.WithClientOptions(workloadapi.WithAddr(socket)))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	client := presenting(t, tlsconfig.MTLSWebClientConfig(source, nil))
	for _, name := range []string{id, app.AppID} {
		token, refusal := ask(t, client, map[string]string{"client_id": name})
		if refusal != "" {
			t.Fatalf("client_id %s: %s", name, refusal)
		}
		accepted(t, token, app)
	}
}

func TestX509SVIDRefusals(t *testing.T) {
	a, socket, endpoint := trustDomainOf(t, false)
	manage(t, trustDomain, endpoint)
	id := own(t, a, socket)
	app := bySVID(t, id)
	impostor, err := spiffe.New("example.org")
	if err != nil {
		t.Fatal(err)
	}
	second := func(c *x509.Certificate) {
		c.URIs = append(c.URIs, &url.URL{Scheme: "spiffe", Host: "example.org", Path: "/ns/other"})
	}
	for name, c := range map[string]struct {
		from     *spiffe.Authority
		id       string
		change   func(*x509.Certificate)
		clientID string
		want     string
	}{
		"good":                                 {a, id, nil, id, ""},
		"without extended key usage":           {a, id, func(c *x509.Certificate) { c.ExtKeyUsage = nil }, id, ""},
		"no client_id":                         {a, id, nil, "", "AADSTS900144"},
		"a certificate authority of that name": {impostor, id, nil, id, "AADSTS7002394"},
		"another SPIFFE ID":                    {a, a.ID("/ns/other"), nil, app.AppID, "AADSTS700213"},
		"another SPIFFE ID than client_id":     {a, a.ID("/ns/other"), nil, id, "AADSTS7002394"},
		"another trust domain":                 {a, "spiffe://example.com/uid/0", nil, app.AppID, "AADSTS700211"},
		"nobody's SPIFFE ID":                   {a, a.ID("/ns/other"), nil, a.ID("/ns/other"), "AADSTS700016"},
		"SPIFFE ID in the common name alone":   {a, id, func(c *x509.Certificate) { c.URIs, c.Subject = nil, pkix.Name{CommonName: id} }, app.AppID, "AADSTS7002394"},
		"SPIFFE ID as a DNS name":              {a, id, func(c *x509.Certificate) { c.URIs, c.DNSNames = nil, []string{"example.org"} }, app.AppID, "AADSTS7002394"},
		"two URIs":                             {a, id, second, app.AppID, "AADSTS7002394"},
		"no SPIFFE ID":                         {a, "https://example.org/uid/0", nil, app.AppID, "AADSTS7002394"},
		"the trust domain":                     {a, trustDomain, nil, app.AppID, "AADSTS7002394"},
		"expired": {a, id, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = c.NotBefore.Add(-2*time.Hour), c.NotBefore.Add(-time.Hour)
		}, app.AppID, "AADSTS700024"},
		"not valid yet":             {a, id, func(c *x509.Certificate) { c.NotBefore = c.NotBefore.Add(10 * time.Minute) }, app.AppID, "AADSTS700024"},
		"a certificate authority":   {a, id, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, c.KeyUsage|x509.KeyUsageCertSign }, app.AppID, "AADSTS7002394"},
		"may sign revocation lists": {a, id, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }, app.AppID, "AADSTS7002394"},
		"not for signatures":        {a, id, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }, app.AppID, "AADSTS7002394"},
		"for servers":               {a, id, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, app.AppID, "AADSTS7002394"},
	} {
		t.Run(name, func(t *testing.T) {
			svid, err := c.from.X509SVID(c.id, c.change)
			if err != nil {
				t.Fatal(err)
			}
			form := map[string]string{}
			if c.clientID != "" {
				form["client_id"] = c.clientID
			}
			token, refusal := ask(t, presenting(t, &tls.Config{Certificates: []tls.Certificate{svid}}), form)
			switch {
			case c.want == "" && refusal == "":
				accepted(t, token, app)
			case c.want == "" || !strings.HasPrefix(refusal, c.want+":"):
				t.Errorf("%q, want %q", refusal, c.want)
			}
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		if _, refusal := ask(t, presenting(t, &tls.Config{}), map[string]string{"client_id": app.AppID}); !strings.HasPrefix(refusal, "AADSTS7000218:") {
			t.Error(refusal)
		}
	})
	t.Run("a leaf below a leaf", func(t *testing.T) {
		leaf, err := a.X509SVID(id, nil)
		if err != nil {
			t.Fatal(err)
		}
		below, err := impostor.X509SVID(id, nil)
		if err != nil {
			t.Fatal(err)
		}
		below.Certificate = append(below.Certificate, leaf.Certificate...)
		if _, refusal := ask(t, presenting(t, &tls.Config{Certificates: []tls.Certificate{below}}), map[string]string{"client_id": app.AppID}); !strings.HasPrefix(refusal, "AADSTS7002394:") {
			t.Error(refusal)
		}
	})
}

// An assertion authenticates although the connection has a certificate, and a
// certificate adds nothing to an assertion that does not.
func TestCertificateBesideAssertion(t *testing.T) {
	a, socket, endpoint := trustDomainOf(t, false)
	manage(t, trustDomain, endpoint)
	id := own(t, a, socket)
	app := bySVID(t, id)
	svid, err := a.X509SVID(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := presenting(t, &tls.Config{Certificates: []tls.Certificate{svid}})
	const bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	other := trusting(t, gitLab, gitLabSubject)
	token, refusal := ask(t, client, map[string]string{"client_id": other.AppID, "client_assertion_type": bearer, "client_assertion": mint(t, gitLab, gitLabSubject, gitLabClaims, nil)})
	if refusal != "" {
		t.Fatal(refusal)
	}
	accepted(t, token, other)
	if _, refusal := ask(t, client, map[string]string{"client_id": app.AppID, "client_assertion_type": bearer, "client_assertion": "x"}); !strings.HasPrefix(refusal, "AADSTS50027:") {
		t.Error(refusal)
	}
	if _, refusal := ask(t, client, map[string]string{"client_id": app.AppID, "client_secret": "x"}); !strings.HasPrefix(refusal, "AADSTS7000215:") {
		t.Error(refusal)
	}
}

// The JWT-SVID is the one that go-spiffe fetches for the draft's audience.
func TestJWTSVIDAuthenticates(t *testing.T) {
	_, socket, endpoint := trustDomainOf(t, true) // an iss that counts for nothing here
	manage(t, trustDomain, endpoint)
	svid, err := workloadapi.FetchJWTSVID(t.Context(), jwtsvid.Params{Audience: authorizationServer()}, workloadapi.WithAddr(socket))
	if err != nil {
		t.Fatal(err)
	}
	app := bySVID(t, svid.ID.String())
	client := presenting(t, &tls.Config{})
	for _, name := range []string{"", svid.ID.String(), app.AppID} {
		form := map[string]string{"client_assertion_type": jwtSPIFFE, "client_assertion": svid.Marshal()}
		if name != "" {
			form["client_id"] = name
		}
		token, refusal := ask(t, client, form)
		if refusal != "" {
			t.Fatalf("client_id %q: %s", name, refusal)
		}
		accepted(t, token, app)
	}
}

func TestJWTSVIDRefusals(t *testing.T) {
	a, socket, endpoint := trustDomainOf(t, false)
	manage(t, trustDomain, endpoint)
	id := own(t, a, socket)
	app := bySVID(t, id)
	impostor, err := spiffe.New("example.org")
	if err != nil {
		t.Fatal(err)
	}
	client := presenting(t, &tls.Config{})
	for name, c := range map[string]struct {
		from     *spiffe.Authority
		id       string
		change   func(map[string]any)
		clientID string
		want     string
	}{
		"good":                              {a, id, nil, app.AppID, ""},
		"without iat":                       {a, id, func(c map[string]any) { delete(c, "iat") }, app.AppID, ""},
		"another authority of that name":    {impostor, id, nil, app.AppID, "AADSTS700027"},
		"another SPIFFE ID":                 {a, a.ID("/ns/other"), nil, app.AppID, "AADSTS700213"},
		"another SPIFFE ID than client_id":  {a, a.ID("/ns/other"), nil, id, "AADSTS7002394"},
		"another trust domain":              {a, "spiffe://example.com/uid/0", nil, app.AppID, "AADSTS700211"},
		"no SPIFFE ID":                      {a, "repo:acme/shop", func(c map[string]any) { c["iss"] = gitLab }, app.AppID, "AADSTS7002394"},
		"the trust domain":                  {a, trustDomain, func(c map[string]any) { c["iss"] = gitLab }, app.AppID, "AADSTS7002394"},
		"the audience of a federated token": {a, id, func(c map[string]any) { c["aud"] = audience }, app.AppID, "AADSTS700212"},
		"two audiences":                     {a, id, func(c map[string]any) { c["aud"] = []string{authorizationServer(), audience} }, app.AppID, "AADSTS700212"},
		"expired":                           {a, id, func(c map[string]any) { c["exp"] = 1_700_000_000 }, app.AppID, "AADSTS700024"},
		"without exp":                       {a, id, func(c map[string]any) { delete(c, "exp") }, app.AppID, "AADSTS700024"},
	} {
		t.Run(name, func(t *testing.T) {
			svid, err := c.from.JWTSVID(c.id, []string{authorizationServer()}, c.change)
			if err != nil {
				t.Fatal(err)
			}
			token, refusal := ask(t, client, map[string]string{"client_id": c.clientID, "client_assertion_type": jwtSPIFFE, "client_assertion": svid})
			switch {
			case c.want == "" && refusal == "":
				accepted(t, token, app)
			case c.want == "" || !strings.HasPrefix(refusal, c.want+":"):
				t.Errorf("%q, want %q", refusal, c.want)
			}
		})
	}
	t.Run("alg none", func(t *testing.T) {
		svid, err := a.JWTSVID(id, []string{authorizationServer()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(svid, ".")
		payload, _, _ := strings.Cut(rest, ".")
		for _, token := range []string{"eyJhbGciOiJub25lIn0." + payload + ".", "eyJhbGciOiJub25lIn0." + payload + ".AAAA"} {
			if _, refusal := ask(t, client, map[string]string{"client_id": app.AppID, "client_assertion_type": jwtSPIFFE, "client_assertion": token}); refusal == "" {
				t.Errorf("%s was accepted", token)
			}
		}
	})
}

// A trust domain whose bundle cannot be had authenticates nobody.
func TestSVIDsOfUnknownTrustDomains(t *testing.T) {
	a, socket, _ := trustDomainOf(t, false)
	id := own(t, a, socket)
	app := bySVID(t, id)
	svid, err := a.X509SVID(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, refusal := ask(t, presenting(t, &tls.Config{Certificates: []tls.Certificate{svid}}), map[string]string{"client_id": app.AppID}); !strings.HasPrefix(refusal, "AADSTS50166:") {
		t.Error(refusal)
	}
	gone := httptest.NewTLSServer(http.NotFoundHandler())
	defer gone.Close()
	manage(t, trustDomain, gone)
	if _, refusal := ask(t, presenting(t, &tls.Config{Certificates: []tls.Certificate{svid}}), map[string]string{"client_id": app.AppID}); !strings.HasPrefix(refusal, "AADSTS50166: Request to the external OIDC endpoint failed: SPIFFE bundle") {
		t.Error(refusal)
	}
}

var correlation = regexp.MustCompile(`Correlation ID: (\S+)`)

// A refused certificate is explained as a refused token is: what it said, and
// what the credential expects.
func TestSVIDsAreExplained(t *testing.T) {
	a, socket, endpoint := trustDomainOf(t, false)
	manage(t, trustDomain, endpoint)
	app := bySVID(t, own(t, a, socket))
	svid, err := a.X509SVID(a.ID("/ns/other"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, refusal := ask(t, presenting(t, &tls.Config{Certificates: []tls.Certificate{svid}}), map[string]string{"client_id": app.AppID})
	found := correlation.FindStringSubmatch(refusal)
	if found == nil {
		t.Fatal(refusal)
	}
	out, err := cambio(t, nil, "explain", found[1])
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	good, err := a.X509SVID(own(t, a, socket), nil)
	if err != nil {
		t.Fatal(err)
	}
	const request = "6a1d0b6e-53c1-4f0a-9d0e-0c6a7f2f4d11"
	if _, refusal := ask(t, presenting(t, &tls.Config{Certificates: []tls.Certificate{good}}), map[string]string{"client_id": app.AppID, "client-request-id": request}); refusal != "" {
		t.Fatal(refusal)
	}
	allowed, err := cambio(t, nil, "explain", request)
	if err != nil || !strings.Contains(allowed, own(t, a, socket)) || !strings.Contains(allowed, "svid") {
		t.Errorf("%v: %s", err, allowed)
	}
	for _, want := range []string{trustDomain, a.ID("/ns/other"), a.ID("/uid/"), "keys from the SPIFFE bundle endpoint"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}
