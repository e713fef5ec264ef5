package platforms

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"cambio/test/httpclient"
	"cambio/test/pki"
	"cambio/test/spiffe"
)

const trustDomain = "spiffe://example.org"

// trustDomainOf starts an authority. The bundle endpoint has the certificate
// that httptest gives every server.
func trustDomainOf(t *testing.T, withIssuer bool) (a *spiffe.Authority, socket string, endpoint *httptest.Server) {
	t.Helper()
	a, err := spiffe.New("example.org")
	if err != nil {
		t.Fatal(err)
	}
	endpoint = httptest.NewUnstartedServer(nil)
	if withIssuer {
		a.Issuer = "https://" + endpoint.Listener.Addr().String() + "/" + t.Name()
	}
	endpoint.Config.Handler = http.StripPrefix("/"+t.Name(), a.Handler()) // ports come back, and the server remembers
	endpoint.StartTLS()
	t.Cleanup(endpoint.Close)
	dir, err := os.MkdirTemp("", "spiffe") // a test's own folder has too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "api.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := a.WorkloadAPI()
	go func() { _ = server.Serve(l) }() // it ends with the test
	t.Cleanup(server.Stop)
	return a, "unix://" + l.Addr().String(), endpoint
}

// cambio runs the program as an administrator of the shared server.
func cambio(t *testing.T, more []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(shared.tools, "cambio"), args...) // also while the test cleans up
	cmd.Env = append([]string{"HOME=" + t.TempDir(), "CAMBIO_AUTHORITY=" + shared.server.BaseURL, "CAMBIO_CA_FILE=" + shared.server.CAFile,
		"CAMBIO_ACCESS_TOKEN=" + shared.server.AdminToken}, more...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// manage makes the shared server read the keys of an issuer from its bundle,
// until the test ends.
func manage(t *testing.T, issuer string, endpoint *httptest.Server) {
	t.Helper()
	manageWith(t, issuer, endpoint, "--bundle-endpoint", endpoint.URL+"/"+t.Name()+"/bundle")
}

func manageWith(t *testing.T, issuer string, endpoint *httptest.Server, flags ...string) {
	t.Helper()
	if out, err := cambio(t, nil, append([]string{"issuer", "create", issuer, "--ca-file", authorityFile(t, endpoint)}, flags...)...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := cambio(t, nil, "issuer", "delete", issuer, "--yes"); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// obtain has `cambio token` fetch a JWT-SVID with the unmodified go-spiffe and
// exchange it.
func obtain(t *testing.T, socket string, client httpclient.Application) (string, error) {
	return cambio(t, []string{"CAMBIO_ACCESS_TOKEN=", "SPIFFE_ENDPOINT_SOCKET=" + socket, "CAMBIO_TENANT=" + shared.server.TenantID, "CAMBIO_CLIENT_ID=" + client.AppID},
		"token", "--source", "spiffe", "--scope", "api://orders/.default")
}

// own is the SPIFFE ID that the authority gives to this process.
func own(t *testing.T, a *spiffe.Authority, socket string) string {
	t.Helper()
	svid, err := workloadapi.FetchJWTSVID(t.Context(), jwtsvid.Params{Audience: audience}, workloadapi.WithAddr(socket))
	if err != nil {
		t.Fatal(err)
	}
	if svid.ID.TrustDomain() != a.TrustDomain {
		t.Fatalf("the SPIFFE ID is %s", svid.ID)
	}
	return svid.ID.String()
}

// JWT-SVIDs as SPIRE issues them without jwt_issuer: without an iss, and the
// keys in the trust domain's bundle alone.
func TestSPIFFETrustDomain(t *testing.T) {
	a, socket, endpoint := trustDomainOf(t, false)
	manage(t, trustDomain, endpoint)
	client := trusting(t, trustDomain, own(t, a, socket))
	token, err := obtain(t, socket, client)
	if err != nil {
		t.Fatalf("%v: %s", err, token)
	}
	accepted(t, token, client)
	other := trusting(t, trustDomain, a.ID("/ns/shop/sa/api"))
	if out, err := obtain(t, socket, other); err == nil || !strings.Contains(out, "AADSTS700213") {
		t.Errorf("another SPIFFE ID: %v, %s", err, out)
	}
}

// One credential for all workloads of a namespace.
func TestSPIFFEFlexible(t *testing.T) {
	a, socket, endpoint := trustDomainOf(t, false)
	manage(t, trustDomain, endpoint)
	client, err := shared.api.Register(t.Context(), httpclient.Registration{Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.api.Grant(t.Context(), client, shared.resource, "Orders.Read"); err != nil {
		t.Fatal(err)
	}
	if out, err := cambio(t, nil, "credential", "create", "--app", client.AppID, "--name", "all", "--issuer", trustDomain,
		"--claims-matching-expression", "claims['sub'] matches '"+trustDomain+"/uid/*'"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	token, err := obtain(t, socket, client)
	if err != nil {
		t.Fatalf("%v: %s", err, token)
	}
	accepted(t, token, client)
	for name, id := range map[string]string{"another path": a.ID("/ns/shop"), "another trust domain": "spiffe://example.com/uid/0"} {
		svid, err := a.JWTSVID(id, []string{audience}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shared.api.Exchange(t.Context(), client.AppID, "api://orders/.default", svid); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// JWT-SVIDs with an iss, whose keys are still read from the bundle.
func TestSPIFFEIssuerWithBundle(t *testing.T) {
	a, socket, endpoint := trustDomainOf(t, true)
	manage(t, a.Issuer, endpoint)
	client := trusting(t, a.Issuer, own(t, a, socket))
	token, err := obtain(t, socket, client)
	if err != nil {
		t.Fatalf("%v: %s", err, token)
	}
	accepted(t, token, client)
}

// JWT-SVIDs with an iss, whose keys are discovered, as with SPIRE's OIDC
// discovery provider.
func TestSPIFFEIssuerDiscovered(t *testing.T) {
	a, socket, endpoint := trustDomainOf(t, true)
	manageWith(t, a.Issuer, endpoint)
	client := trusting(t, a.Issuer, own(t, a, socket))
	token, err := obtain(t, socket, client)
	if err != nil {
		t.Fatalf("%v: %s", err, token)
	}
	accepted(t, token, client)
}

// What another authority of the same name signs is refused, and so is what
// this one says of another trust domain.
func TestSPIFFERefusals(t *testing.T) {
	a, socket, endpoint := trustDomainOf(t, false)
	manage(t, trustDomain, endpoint)
	id := own(t, a, socket)
	client := trusting(t, trustDomain, id)
	impostor, err := spiffe.New("example.org")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from   *spiffe.Authority
		id     string
		change func(map[string]any)
		want   string
	}{
		"good":                                 {a, id, nil, ""},
		"without iat":                          {a, id, func(c map[string]any) { delete(c, "iat") }, ""},
		"iss is the trust domain":              {a, id, func(c map[string]any) { c["iss"] = trustDomain }, ""},
		"another authority's signature":        {impostor, id, nil, "AADSTS700027"},
		"another trust domain":                 {a, "spiffe://example.com/uid/0", nil, "AADSTS700211"},
		"a trust domain speaks of another one": {a, "spiffe://example.com/uid/0", func(c map[string]any) { c["iss"] = trustDomain }, "AADSTS700213"},
		"expired":                              {a, id, func(c map[string]any) { c["exp"] = 1_700_000_000 }, "AADSTS700024"},
		"another audience":                     {a, id, func(c map[string]any) { c["aud"] = "api://other" }, "AADSTS700212"},
		"the trust domain itself":              {a, trustDomain, nil, "AADSTS90014"},
	} {
		t.Run(name, func(t *testing.T) {
			svid, err := c.from.JWTSVID(c.id, []string{audience}, c.change)
			if err != nil {
				t.Fatal(err)
			}
			token, err := shared.api.Exchange(t.Context(), client.AppID, "api://orders/.default", svid)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want == "":
				accepted(t, token, client)
			case err == nil || !strings.Contains(err.Error(), c.want):
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// Trust domains are not discovered, and not known to Entra.
func TestSPIFFECannotBeRegistered(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no endpoint":        {[]string{"issuer", "create", trustDomain}, "bundleEndpoint"},
		"plain http":         {[]string{"issuer", "create", trustDomain, "--bundle-endpoint", "http://spire.example.org/bundle"}, "https://"},
		"of a link":          {[]string{"issuer", "create", trustDomain, "--bundle-endpoint", "https://169.254.169.254/bundle"}, "bundleEndpoint"},
		"a path in the name": {[]string{"issuer", "create", trustDomain + "/a", "--bundle-endpoint", "https://spire.example.org/bundle"}, "issuer"},
		"pinned keys":        {[]string{"issuer", "create", trustDomain, "--bundle-endpoint", "https://spire.example.org/bundle", "--mode", "pin"}, "mode"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := cambio(t, nil, c.args...); err == nil || !strings.Contains(out, c.want) {
				t.Errorf("%v: %s, want %q", err, out, c.want)
			}
		})
	}
	app, err := shared.api.Register(t.Context(), httpclient.Registration{Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shared.api.Trust(t.Context(), app, "other", trustDomain, "spiffe://example.com/ns/shop/sa/api"); err == nil || !strings.Contains(err.Error(), "of the trust domain") {
		t.Errorf("a subject of another trust domain: %v", err)
	}
}

// authorityFile is a PEM file of who issued the endpoint's certificate.
func authorityFile(t *testing.T, endpoint *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := pki.WritePEM(path, "CERTIFICATE", endpoint.Certificate().Raw); err != nil {
		t.Fatal(err)
	}
	return path
}
