package development

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/net/netutil"

	"cambio/internal/config"
	"cambio/internal/directory"
	"cambio/internal/jose"
	"cambio/internal/keys"
	"cambio/internal/oidc"
	"cambio/internal/server"
	"cambio/internal/store"
	"cambio/internal/tracing"
)

// Config is what a development instance needs. Dir and Listen are required.
type Config struct {
	Dir              string           // state folder; made when it is missing
	Listen           string           // address and port; port 0 takes a free one
	Compat           directory.Compat // of the tenant; empty leaves it as it is, relaxed at first
	IssuerCAFile     string           // further certificate authorities of issuers
	AllowAddresses   []netip.Prefix   // private addresses that issuers may be on
	SPIFFEClientAuth bool             // SVIDs authenticate clients
	Rehearse         []string         // issuers whose keys are replaced by the provider's
	Log              *slog.Logger

	keys   keys.Policy     // the zero value is the production policy; tests compress it
	tracer *tracing.Tracer // of tests
}

// Info is what a developer needs to use the instance. Its JSON form is the
// line that `cambio dev --json` writes.
type Info struct {
	BaseURL        string   `json:"base_url"`
	CAFile         string   `json:"ca_file"`
	TenantID       string   `json:"tenant_id"`
	ClientID       string   `json:"client_id"`
	ClientObjectID string   `json:"client_object_id"`
	Scope          string   `json:"scope"`
	ResourceAppID  string   `json:"resource_app_id"`
	AdminToken     string   `json:"admin_token"`
	IDP            Provider `json:"idp"`
}

// Provider is where the built-in identity provider is.
type Provider struct {
	Issuer  string `json:"issuer"`
	MintURL string `json:"mint_url"`
}

// adminTokenLifetime is a working day, so that a shell that holds the token
// need not renew it.
const adminTokenLifetime = 12 * time.Hour

// Instance is a running development server. Close it.
type Instance struct {
	Info     Info
	Provider *IdentityProvider

	dir    string
	seeded seed
	lock   io.Closer // held while the instance runs
	db     *store.DB
	server *server.Server
	http   *http.Server
	failed chan error // capacity 1
}

// Start opens the state folder, seeds it if it is empty, and serves.
func Start(ctx context.Context, cfg Config) (*Instance, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("the state folder cannot be made: %w", err)
	}
	lock, err := store.LockServer(databasePath(cfg.Dir)) // each would point the seeded credential at its own provider
	if err != nil {
		return nil, fmt.Errorf("%w; or choose another state folder with --state", err)
	}
	i := &Instance{dir: cfg.Dir, lock: lock, failed: make(chan error, 1)}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		i.closeParts()
		return nil, fmt.Errorf("cannot listen on %s: %w; choose another address and port with --listen, as in 127.0.0.1:8444", cfg.Listen, err)
	}
	if err := i.start(ctx, cfg, listener); err != nil {
		_ = listener.Close()
		i.closeParts()
		return nil, err
	}
	return i, nil
}

func databasePath(dir string) string { return filepath.Join(dir, "cambio.db") }

func (i *Instance) start(ctx context.Context, cfg Config, listener net.Listener) error {
	now := time.Now()
	ca, err := loadAuthority(cfg.Dir, now)
	if err != nil {
		return err
	}
	host, base := origin(cfg.Listen, listener.Addr())
	if i.Provider, err = loadProvider(cfg.Dir, base+"/idp"); err != nil {
		return err
	}
	if i.db, err = store.Open(store.Config{Path: databasePath(cfg.Dir), Logger: cfg.Log}); err != nil {
		return err
	}
	seeded, err := ensureSeed(ctx, i.db, i.Provider.Issuer(), cfg.Compat, now)
	if err != nil {
		return err
	}
	opt, err := i.options(cfg, base, ca, listener.Addr())
	if err != nil {
		return err
	}
	if i.server, err = server.New(ctx, opt); err != nil {
		return err
	}
	i.seeded = seeded
	admin, err := i.AdminToken(ctx)
	if err != nil {
		return err
	}
	certificate, err := ca.serverCertificate(host, now)
	if err != nil {
		return err
	}
	i.Info = Info{BaseURL: base, CAFile: ca.file, TenantID: seeded.tenantID, ClientID: seeded.clientID, ClientObjectID: seeded.clientObjectID,
		Scope: ResourceURI + "/.default", ResourceAppID: seeded.resourceAppID, AdminToken: admin,
		IDP: Provider{Issuer: i.Provider.Issuer(), MintURL: i.Provider.Issuer() + "/mint"}}
	i.http = server.NewHTTPServer(i.server.Handler(), cfg.Log)
	i.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
	if cfg.SPIFFEClientAuth {
		server.AskForCertificates(i.http.TLSConfig)
	}
	limited := netutil.LimitListener(listener, config.Default().Public.MaxConnections)
	go func() { i.failed <- i.http.ServeTLS(limited, "", "") }()
	return nil
}

func (i *Instance) options(cfg Config, base string, ca *authority, addr net.Addr) (server.Options, error) {
	kekFile := filepath.Join(cfg.Dir, "key-encryption.key")
	if _, err := keys.CreateEncryptionKeyFile(kekFile); err != nil {
		return server.Options{}, err
	}
	kek, err := keys.LoadEncryptionKey(kekFile)
	if err != nil {
		return server.Options{}, err
	}
	roots, err := os.ReadFile(ca.file)
	if err != nil {
		return server.Options{}, err
	}
	if cfg.IssuerCAFile != "" {
		more, err := os.ReadFile(cfg.IssuerCAFile)
		if err != nil {
			return server.Options{}, fmt.Errorf("the issuers' certificate authorities cannot be read: %w", err)
		}
		roots = append(append(roots, '\n'), more...)
	}
	set, err := jose.ParseKeySet(i.Provider.KeySet(), 16)
	if err != nil {
		return server.Options{}, err
	}
	policy := cfg.keys
	if policy == (keys.Policy{}) {
		policy = keys.Policy{RotateEvery: 90 * 24 * time.Hour, PublishAhead: 48 * time.Hour, RetireAfter: 25 * time.Hour}
	}
	provider := func(method, path string) server.Mount {
		return server.Mount{Method: method, Pattern: "/idp" + path, Handler: i.Provider}
	}
	requests := server.LogRefused
	if cfg.Log.Enabled(context.Background(), slog.LevelDebug) {
		requests = server.LogAll
	}
	return server.Options{
		LogRequests:    requests,
		Tracer:         cfg.tracer,
		AssertionBytes: int(config.Default().Cache.AssertionBytes),
		BaseURL:        base, DB: i.db, KEK: kek, Clock: time.Now, Log: cfg.Log,
		Keys:        policy,
		LifetimeMin: time.Hour, LifetimeMax: 90 * time.Minute,
		Issuers: oidc.Config{ExtraRootsPEM: roots, AllowedPrefixes: cfg.AllowAddresses,
			Issuers: []oidc.IssuerPolicy{{Issuer: i.Provider.Issuer(), AllowAddrPorts: ownAddresses(addr)}}},
		Mounts:           []server.Mount{provider("GET", "/.well-known/openid-configuration"), provider("GET", "/keys"), provider("POST", "/mint")},
		ManagementURIs:   azureResources(),
		SPIFFEClientAuth: cfg.SPIFFEClientAuth,
		Rehearsal:        &server.Rehearsal{Issuers: cfg.Rehearse, Keys: set},
	}, nil
}

// azureResources are what unconfigured Azure clients ask for; in development
// they all mean this server's management resource.
func azureResources() []string {
	return []string{"https://graph.microsoft.com", "https://graph.microsoft.com/", "https://management.azure.com", "https://management.azure.com/",
		"https://management.core.windows.net", "https://management.core.windows.net/"}
}

// origin is the host and public origin for a listener: the address as the
// person wrote it, or 127.0.0.1 where that names every interface.
func origin(listen string, addr net.Addr) (host, base string) {
	host, _, _ = net.SplitHostPort(listen)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	_, port, _ := net.SplitHostPort(addr.String())
	if port == "443" {
		return host, "https://" + hostInURL(host)
	}
	return host, "https://" + net.JoinHostPort(host, port)
}

func hostInURL(host string) string {
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return "[" + host + "]"
	}
	return host
}

// ownAddresses are where the built-in provider listens: the only private
// addresses that are dialled without permission, and for that issuer alone.
func ownAddresses(addr net.Addr) []netip.AddrPort {
	own, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return nil
	}
	if !own.Addr().IsUnspecified() {
		return []netip.AddrPort{netip.AddrPortFrom(own.Addr().Unmap(), own.Port())}
	}
	return []netip.AddrPort{
		netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), own.Port()),
		netip.AddrPortFrom(netip.IPv6Loopback(), own.Port()),
	}
}

func loadProvider(dir, issuer string) (*IdentityProvider, error) {
	path := filepath.Join(dir, "idp-keys.pem")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if raw, err = GenerateProviderKeys(); err == nil {
			err = writeFile(path, raw)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the keys of the built-in provider: %w", err)
	}
	return LoadIdentityProvider(issuer, time.Now, raw)
}

// writeFile puts a private file in place as a whole.
func writeFile(path string, raw []byte) error {
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// AdminToken issues a new access token of the tenant's administrator, valid
// for a working day.
func (i *Instance) AdminToken(ctx context.Context) (string, error) {
	return i.server.ManagementToken(ctx, i.seeded.tenantID, i.seeded.adminClientID, adminTokenLifetime)
}

// Failed delivers the error that ended serving, if one does.
func (i *Instance) Failed() <-chan error { return i.failed }

// Close ends serving, waits for requests under way, and closes the database.
func (i *Instance) Close(ctx context.Context) error {
	err := i.http.Shutdown(ctx)
	i.closeParts()
	return err
}

func (i *Instance) closeParts() {
	if i.server != nil {
		i.server.Close()
	}
	if i.db != nil {
		_ = i.db.Close() // every acknowledged write is durable already
	}
	_ = i.lock.Close() // which also unlocks
}
