package spiffe_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	api "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"cambio/cambiotest"
	"cambio/workload"
	"cambio/workload/spiffe"
)

const (
	api1 = "spiffe://td.example/ns/shop/sa/api"
	job1 = "spiffe://td.example/ns/shop/sa/job"
)

// authority is a Workload API whose SVIDs are tokens of the server's own
// provider: ES256, as SPIRE signs them.
type authority struct {
	api.UnimplementedSpiffeWorkloadAPIServer
	provider *cambiotest.IdentityProvider
	ids      []string
}

func (a *authority) FetchJWTSVID(ctx context.Context, r *api.JWTSVIDRequest) (*api.JWTSVIDResponse, error) {
	if md, _ := metadata.FromIncomingContext(ctx); !slices.Equal(md.Get("workload.spiffe.io"), []string{"true"}) {
		return nil, status.Error(codes.InvalidArgument, "security header missing from request")
	}
	var svids []*api.JWTSVID
	for _, id := range a.ids {
		if r.SpiffeId != "" && r.SpiffeId != id {
			continue
		}
		svid, err := a.provider.Mint(map[string]any{"sub": id, "aud": r.Audience, "nbf": nil, "jti": nil, "exp": time.Now().Add(5 * time.Minute).Unix()}, map[string]any{"alg": "ES256"})
		if err != nil {
			return nil, err
		}
		svids = append(svids, &api.JWTSVID{SpiffeId: id, Svid: svid})
	}
	if svids == nil {
		return nil, status.Error(codes.PermissionDenied, "no identity issued")
	}
	return &api.JWTSVIDResponse{Svids: svids}, nil
}

func serve(t *testing.T, a *authority) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "spiffe") // a test's own folder has too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "api.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	api.RegisterSpiffeWorkloadAPIServer(server, a)
	go func() { _ = server.Serve(l) }() // it ends with the test
	t.Cleanup(func() { server.Stop(); _ = os.RemoveAll(dir) })
	return "unix://" + l.Addr().String()
}

// trust makes the server trust a SPIFFE ID.
func trust(t *testing.T, s *cambiotest.Server, client *http.Client, id string) {
	t.Helper()
	body := fmt.Sprintf(`{"name":"spiffe","issuer":%q,"subject":%q,"audiences":["api://AzureADTokenExchange"]}`, s.Provider.Issuer(), id)
	req, err := http.NewRequest(http.MethodPost, s.Info.BaseURL+"/v1.0/applications/"+s.Info.ClientObjectID+"/federatedIdentityCredentials", bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + s.Info.AdminToken}, "Content-Type": {"application/json"}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("status %d", resp.StatusCode)
	}
}

func TestExchange(t *testing.T) {
	s, err := cambiotest.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(t.Context()) }()
	client, err := workload.NewHTTPClient(s.Info.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	trust(t, s, client, job1)
	v := map[string]string{"SPIFFE_ENDPOINT_SOCKET": serve(t, &authority{provider: s.Provider, ids: []string{api1, job1}})}
	e := workload.Environment{Getenv: func(name string) string { return v[name] }, ReadFile: func(string) ([]byte, error) { return nil, os.ErrNotExist }}
	p, _, err := workload.Detect(e, append(workload.Platforms(), spiffe.Platform()))
	if err != nil || p.Name != "spiffe" {
		t.Fatalf("detected %q (%v)", p.Name, err)
	}
	c, err := workload.New(workload.Config{Authority: s.Info.BaseURL, ClientID: s.Info.ClientID, Scope: s.Info.Scope, CAFile: s.Info.CAFile, Source: p.Source(e)})
	if err != nil {
		t.Fatal(err)
	}
	// The first SPIFFE ID is not the one that is trusted.
	if _, err := c.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "AADSTS700213") {
		t.Errorf("with the first SPIFFE ID: %v", err)
	}
	v["CAMBIO_SPIFFE_ID"] = job1
	if token, err := c.Token(t.Context()); err != nil || time.Until(token.Expires) < 50*time.Minute {
		t.Errorf("%+v: %v", token, err)
	}
}

func TestWhatIsMissing(t *testing.T) {
	provider, err := cambiotest.NewIdentityProvider("https://oidc.td.example")
	if err != nil {
		t.Fatal(err)
	}
	socket := serve(t, &authority{provider: provider, ids: []string{api1}})
	for _, c := range []struct {
		v    map[string]string
		want string
	}{
		{map[string]string{}, "SPIFFE_ENDPOINT_SOCKET is not set"},
		{map[string]string{"SPIFFE_ENDPOINT_SOCKET": "unix:///none/api.sock"}, "cannot be reached; is the agent running"},
		{map[string]string{"SPIFFE_ENDPOINT_SOCKET": socket, "CAMBIO_SPIFFE_ID": "td.example/x"}, "CAMBIO_SPIFFE_ID: "},
		{map[string]string{"SPIFFE_ENDPOINT_SOCKET": socket, "CAMBIO_SPIFFE_ID": job1}, "no SPIFFE ID is registered for this workload"},
	} {
		e := workload.Environment{Getenv: func(name string) string { return c.v[name] }}
		if _, err := spiffe.Platform().Source(e)(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.v, err, c.want)
		}
	}
}
