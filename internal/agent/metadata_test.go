package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"cambio/cambiotest"
	"cambio/workload"
)

const secret = "the-secret"

// endpoints are the agent's beside a real server.
func endpoints(t *testing.T) (address string, s *cambiotest.Server) {
	t.Helper()
	s, err := cambiotest.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(t.Context()) })
	client, err := workload.New(workload.Config{Authority: s.Info.BaseURL, ClientID: s.Info.ClientID, CAFile: s.Info.CAFile,
		Source: func(context.Context, string) (string, error) { return s.Provider.Mint(nil, nil) }})
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, &Metadata{Client: client, ClientID: s.Info.ClientID, Secret: secret, IMDS: true}), s
}

func serve(t *testing.T, m *Metadata) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.Handler().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	m.Hosts = HostsOf(server.Listener.Addr())
	return server.Listener.Addr().String()
}

func get(t *testing.T, address, path, host string, header ...string) (int, map[string]string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	body := map[string]string{}
	if err := json.Unmarshal(raw, &body); err != nil {
		body["error_description"] = string(raw)
	}
	return resp.StatusCode, body
}

func TestShapes(t *testing.T) {
	address, s := endpoints(t)
	_, port, _ := net.SplitHostPort(address)
	const resource = "?resource=api://cambio-dev"
	for name, c := range map[string]struct {
		path   string
		header []string
		status int
		want   string // in the description of a refusal
	}{
		"machine":                {imdsPath + resource + "&api-version=2018-02-01", []string{"Metadata", "true"}, 200, ""},
		"machine, True":          {imdsPath + resource, []string{"metadata", "True"}, 200, ""},
		"machine, client":        {imdsPath + resource + "&client_id=" + strings.ToUpper(s.Info.ClientID), []string{"Metadata", "true"}, 200, ""},
		"machine, scope":         {imdsPath + resource + "/.default", []string{"Metadata", "true"}, 200, ""},
		"App Service":            {appServicePath + resource + "&api-version=2019-08-01", []string{"X-IDENTITY-HEADER", secret}, 200, ""},
		"App Service 2017":       {appServicePath + "/" + resource + "&api-version=2017-09-01&clientid=" + s.Info.ClientID, []string{"secret", secret}, 200, ""},
		"no metadata header":     {imdsPath + resource, nil, 400, "Metadata: true"},
		"false metadata header":  {imdsPath + resource, []string{"Metadata", "false"}, 400, "Metadata: true"},
		"no resource":            {imdsPath, []string{"Metadata", "true"}, 400, "resource is missing"},
		"another client":         {imdsPath + resource + "&client_id=another", []string{"Metadata", "true"}, 400, "Identity not found"},
		"object id":              {imdsPath + resource + "&object_id=x", []string{"Metadata", "true"}, 400, "by client_id only, not by object_id"},
		"no secret":              {appServicePath + resource, []string{"Metadata", "true"}, 401, "IDENTITY_HEADER"},
		"another secret":         {appServicePath + resource, []string{"X-IDENTITY-HEADER", "x"}, 401, "IDENTITY_HEADER"},
		"forwarded":              {imdsPath + resource, []string{"Metadata", "true", "X-Forwarded-For", "10.0.0.1"}, 403, "forwarded"},
		"refused":                {imdsPath + "?resource=api://none", []string{"Metadata", "true"}, 403, "AADSTS500011"},
		"another path":           {"/metadata/instance", []string{"Metadata", "true"}, 404, ""},
		"ready":                  {"/readyz", nil, 200, ""},
		"token through app path": {"/msi/token/x" + resource, []string{"X-IDENTITY-HEADER", secret}, 404, ""},
	} {
		status, body := get(t, address, c.path, "", c.header...)
		if status != c.status || !strings.Contains(body["error_description"], c.want) {
			t.Errorf("%s: status %d, %v; want %d, %q", name, status, body, c.status, c.want)
		}
		if status == 200 && name != "ready" && (strings.Count(body["access_token"], ".") != 2 || body["token_type"] != "Bearer" || len(body["expires_on"]) != 10 ||
			len(body["expires_in"]) != 4 || body["client_id"] != s.Info.ClientID || !strings.HasPrefix(body["resource"], "api://cambio-dev")) {
			t.Errorf("%s: %v", name, body)
		}
	}
	for host, want := range map[string]int{"localhost:" + port: 200, "LocalHost:" + port: 200, "127.0.0.1": 403, "evil.example:" + port: 403, "evil.example": 403} {
		if status, _ := get(t, address, imdsPath+resource, host, "Metadata", "true"); status != want {
			t.Errorf("Host %s: status %d, want %d", host, status, want)
		}
	}
}

// Without --imds nothing is given without the secret.
func TestOnlyWithTheSecret(t *testing.T) {
	address := serve(t, &Metadata{Secret: secret})
	if status, _ := get(t, address, imdsPath+"?resource=r", "", "Metadata", "true"); status != 404 {
		t.Errorf("status %d", status)
	}
}

func TestUnavailable(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{errors.New("connection refused"), 503}, {workload.Settingsf("no permission"), 403},
		{&workload.PlatformError{Status: 500}, 503}, {&workload.PlatformError{Status: 403}, 403},
	} {
		client, err := workload.New(workload.Config{Authority: "https://sts.example.net", ClientID: "c", Source: func(context.Context, string) (string, error) { return "", c.err }})
		if err != nil {
			t.Fatal(err)
		}
		address := serve(t, &Metadata{Client: client, Secret: secret})
		if status, _ := get(t, address, appServicePath+"?resource=r", "", "X-IDENTITY-HEADER", secret); status != c.want {
			t.Errorf("%v: status %d, want %d", c.err, status, c.want)
		}
	}
}

func TestOnlyThisMachine(t *testing.T) {
	for address, good := range map[string]bool{"127.0.0.1:0": true, "[::1]:80": true, "localhost:4004": true, "169.254.169.254:80": true,
		"0.0.0.0:80": false, ":80": false, "10.0.0.1:80": false, "example.net:80": false, "127.0.0.1": false} {
		if err := CheckListen(address); (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		}
	}
	for remote, good := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "169.254.169.254:1": true, "10.0.0.2:1": false, "": false} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = remote
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(169, 254, 169, 254).To4(), Port: 80}))
		if isLocal(r) != good {
			t.Errorf("%q: %t", remote, !good)
		}
	}
	if got := strings.Join(HostsOf(&net.TCPAddr{IP: net.IPv4(169, 254, 169, 254).To4(), Port: 80}), " "); got != "169.254.169.254:80 169.254.169.254" {
		t.Error(got)
	}
}
