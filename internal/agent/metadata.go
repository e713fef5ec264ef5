package agent

import (
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/workload"
)

// Paths of the endpoints.
const (
	imdsPath       = "/metadata/identity/oauth2/token"
	appServicePath = "/msi/token"
)

// imdsAddress is where Azure's metadata service is for every program.
var imdsAddress = netip.MustParseAddr("169.254.169.254")

// Metadata answers as Azure's metadata endpoints do.
type Metadata struct {
	Client   *workload.Client
	ClientID string   // of the identity; requests for another one are refused
	Hosts    []string // names and addresses, with port, by which it may be called
	Secret   string   // that App Service's endpoint wants
	IMDS     bool     // also as the metadata service of machines, which wants no secret
}

// CheckListen refuses addresses that others than this machine could reach.
func CheckListen(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return workload.Settingsf("--listen %q must be an address and a port, as in 127.0.0.1:0", address)
	}
	ip, err := netip.ParseAddr(host)
	if host == "localhost" || err == nil && (ip.IsLoopback() || ip == imdsAddress) {
		return nil
	}
	return workload.Settingsf("--listen %s: only loopback addresses are served, and 169.254.169.254 where this machine has it: tokens are for programs on this machine", address)
}

// Environment are the variables by which programs find the endpoints on a
// listener, sorted.
func (m *Metadata) Environment(address string) []string {
	endpoint := "http://" + address + appServicePath
	env := []string{"IDENTITY_ENDPOINT=" + endpoint, "IDENTITY_HEADER=" + m.Secret, "MSI_ENDPOINT=" + endpoint, "MSI_SECRET=" + m.Secret}
	if m.IMDS {
		env = append(env, "AZURE_POD_IDENTITY_AUTHORITY_HOST=http://"+address)
	}
	slices.Sort(env)
	return env
}

// HostsOf are the names by which a listener may be called. A page of a browser
// that had a name of its own resolved to this address has another one.
func HostsOf(address net.Addr) []string {
	at, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return nil
	}
	port := ":" + strconv.Itoa(int(at.Port()))
	hosts := []string{at.String()}
	if at.Addr().IsLoopback() {
		hosts = append(hosts, "localhost"+port)
	}
	if at.Port() == 80 {
		for _, h := range slices.Clone(hosts) {
			hosts = append(hosts, strings.TrimSuffix(h, port))
		}
	}
	return hosts
}

// Handler is the endpoints.
func (m *Metadata) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+appServicePath, m.appService)
	mux.HandleFunc("GET "+appServicePath+"/{$}", m.appService) // older SDKs append a slash
	if m.IMDS {
		mux.HandleFunc("GET "+imdsPath, m.imds)
		mux.HandleFunc("GET "+imdsPath+"/{$}", m.imds) // MSAL for Node appends one
	}
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	return m.guard(mux)
}

// guard lets only programs of this machine in, which named it as themselves
// see it.
func (m *Metadata) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		switch {
		case !isLocal(r):
			refuse(w, http.StatusForbidden, "only this machine is answered")
		case !slices.Contains(m.Hosts, strings.ToLower(r.Host)):
			refuse(w, http.StatusForbidden, "the Host header names another server")
		case r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "":
			refuse(w, http.StatusForbidden, "forwarded requests are not answered")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// isLocal reports whether a connection begins and ends on this machine.
func isLocal(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	if remote.Addr().Unmap().IsLoopback() {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	return err == nil && at.Addr() == remote.Addr()
}

// imds is the metadata service of machines: its header keeps out what cannot
// set one, such as a page that redirects or a server made to fetch a URL.
func (m *Metadata) imds(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Metadata"), "true") {
		refuse(w, http.StatusBadRequest, "the header Metadata: true is missing")
		return
	}
	m.token(w, r, r.URL.Query().Get("client_id"))
}

// appService is the endpoint of App Service, 2019-08-01 and 2017-09-01. Its
// secret keeps other users of the machine out.
func (m *Metadata) appService(w http.ResponseWriter, r *http.Request) {
	secret := r.Header.Get("X-IDENTITY-HEADER")
	if secret == "" {
		secret = r.Header.Get("secret") // 2017-09-01
	}
	if subtle.ConstantTimeCompare([]byte(secret), []byte(m.Secret)) != 1 {
		refuse(w, http.StatusUnauthorized, "the header X-IDENTITY-HEADER is not the value of IDENTITY_HEADER")
		return
	}
	client := r.URL.Query().Get("client_id")
	if client == "" {
		client = r.URL.Query().Get("clientid") // 2017-09-01
	}
	m.token(w, r, client)
}

func (m *Metadata) token(w http.ResponseWriter, r *http.Request, client string) {
	query := r.URL.Query()
	resource := query.Get("resource")
	for _, other := range []string{"object_id", "principal_id", "msi_res_id", "mi_res_id"} {
		if query.Get(other) != "" {
			refuse(w, http.StatusBadRequest, "Identity not found: this agent knows its identity by client_id only, not by "+other)
			return
		}
	}
	switch {
	case resource == "":
		refuse(w, http.StatusBadRequest, "the parameter resource is missing")
		return
	case client != "" && !strings.EqualFold(client, m.ClientID):
		refuse(w, http.StatusBadRequest, "Identity not found: this agent is the client "+m.ClientID)
		return
	}
	t, err := m.Client.TokenFor(r.Context(), scopeOf(resource))
	if err != nil {
		refuseFor(w, err)
		return
	}
	seconds := int64(time.Until(t.Expires) / time.Second)
	write(w, http.StatusOK, map[string]string{"access_token": t.AccessToken, "client_id": m.ClientID, "resource": resource, "token_type": "Bearer",
		"expires_in": strconv.FormatInt(seconds, 10), "expires_on": strconv.FormatInt(t.Expires.Unix(), 10), "not_before": strconv.FormatInt(t.Issued.Unix(), 10)})
}

// scopeOf is the scope for a resource. A resource that ends in a slash keeps
// it: its scope has two.
func scopeOf(resource string) string {
	if strings.HasSuffix(resource, "/.default") {
		return resource
	}
	return resource + "/.default"
}

// refuseFor answers 403 when trying again is of no use, else 503, after which
// clients try again.
func refuseFor(w http.ResponseWriter, err error) {
	var refused *workload.RefusedError
	var settings *workload.SettingsError
	var platform *workload.PlatformError
	status := http.StatusServiceUnavailable
	if errors.As(err, &refused) && refused.Status < 500 || errors.As(err, &settings) || errors.As(err, &platform) && platform.Status < 500 {
		status = http.StatusForbidden
	}
	refuse(w, status, err.Error())
}

func refuse(w http.ResponseWriter, status int, text string) {
	code := "invalid_request"
	if status != http.StatusBadRequest {
		code = "unavailable"
	}
	write(w, status, map[string]string{"error": code, "error_description": text})
}

func write(w http.ResponseWriter, status int, body map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, body, json.Deterministic(true)) // the caller is gone
}
