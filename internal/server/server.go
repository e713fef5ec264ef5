package server

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cambio/internal/arm"
	"cambio/internal/directory"
	"cambio/internal/federation"
	"cambio/internal/graph"
	"cambio/internal/keys"
	"cambio/internal/limit"
	"cambio/internal/management"
	"cambio/internal/metrics"
	"cambio/internal/oidc"
	"cambio/internal/store"
	"cambio/internal/token"
	"cambio/internal/tracing"
	"cambio/internal/trustapi"
)

// Options is what a Server is made of. Issuers and Records have usable zero
// values; all else down to the lifetimes is required, the rest is optional.
type Options struct {
	BaseURL string // public origin, https, without a trailing slash
	DB      *store.DB
	KEK     *keys.EncryptionKey
	Keys    keys.Policy
	Issuers oidc.Config
	// TenantAddresses are the private addresses that tenants may permit for
	// issuers that they manage.
	TenantAddresses []netip.Prefix
	// Proxies are those that tenants may choose for issuers that they manage,
	// by name.
	Proxies map[string]*url.URL
	Records store.RecordsConfig
	Clock   func() time.Time
	Log     *slog.Logger

	LifetimeMin, LifetimeMax time.Duration

	// Refusals are what refused token requests may cost. The zero value is no
	// bound.
	Refusals limit.Refusals
	// TrustedProxies are the addresses of proxies whose X-Forwarded-For counts.
	TrustedProxies []netip.Prefix

	// AssertionBytes is how much is remembered of verified assertions; 0:
	// nothing.
	AssertionBytes int
	// ShareTokens is for how long equal requests get one access token; 0: each
	// gets its own.
	ShareTokens time.Duration

	// Management is how many requests one caller of the management APIs may
	// send. The zero value stands for DefaultManagementLimits.
	Management ManagementLimits

	// LogRequests says which requests are logged.
	LogRequests RequestLog
	// Tracer traces requests; nil for none.
	Tracer *tracing.Tracer

	// Version is what the metrics say it is.
	Version string
	// CertificateExpiry is when the TLS certificate expires; nil if it is not
	// known.
	CertificateExpiry func() time.Time

	// ManagementURIs are further identifiers of the management resource.
	ManagementURIs []string
	// Mounts are further routes without authentication.
	Mounts []Mount
	// IssuedAtOptional lists issuers whose tokens may lack iat.
	IssuedAtOptional []string
	// SPIFFEClientAuth lets SVIDs authenticate clients at the token endpoint. For
	// X.509-SVIDs the listener must ask for certificates: AskForCertificates.
	SPIFFEClientAuth bool
	// Rehearsal replaces the keys of some issuers; development only.
	Rehearsal *Rehearsal
}

// ManagementLimits is what one caller of the management APIs may do in a
// second; four seconds' worth may come at once.
type ManagementLimits struct{ Reads, Writes int }

// DefaultManagementLimits leave room for a caller that registers thousands of
// credentials, and for the others beside it.
func DefaultManagementLimits() ManagementLimits { return ManagementLimits{Reads: 1000, Writes: 500} }

func (l ManagementLimits) allowances(now func() time.Time) map[management.RateClass]*limit.Limiters {
	if l == (ManagementLimits{}) {
		l = DefaultManagementLimits()
	}
	allow := func(perSecond int) *limit.Limiters { return limit.New(float64(perSecond), 4*perSecond, now) }
	return map[management.RateClass]*limit.Limiters{management.RateRead: allow(l.Reads), management.RateWrite: allow(l.Writes)}
}

// Mount is a route that is added to the table.
type Mount struct {
	Method, Pattern string
	Handler         http.Handler
}

// Server is a running server without its listeners. It is safe for
// concurrent use.
type Server struct {
	opt            Options
	origin         place
	mounted        []place // issuers of others on the same origin
	managementURIs []string
	directory      *tokenDirectory
	ring           *keys.Ring
	issuers        *oidc.KeySets
	seen           sightings
	endpoint       *token.Endpoint
	graph          *graph.API
	arm            *arm.API
	trust          *trustapi.API
	metrics        *metrics.Metrics
	router         *router
	allowances     map[management.RateClass]*limit.Limiters
	pacer          *pacer
	source         func(*http.Request) string // the network address that a request came from
	keysChanged    <-chan struct{}            // wakes followKeys
	keysRead       chan struct{}              // capacity 1: wakes maintain
	keysUnread     atomic.Bool                // the last reading of the signing keys failed
	stop           context.CancelFunc
	background     sync.WaitGroup
}

// New opens the signing keys and wires the server. Close it.
func New(ctx context.Context, opt Options) (*Server, error) {
	s := &Server{opt: opt, source: sourceOf(opt.TrustedProxies), metrics: metrics.New(), keysRead: make(chan struct{}, 1)}
	s.managementURIs = append([]string{opt.BaseURL, opt.BaseURL + "/"}, opt.ManagementURIs...)
	var err error
	if s.origin, err = placeOf(opt.BaseURL); err != nil {
		return nil, err
	}
	if s.mounted, err = mountedIssuers(opt); err != nil {
		return nil, err
	}
	ring, err := keys.Open(ctx, keys.Config{DB: opt.DB, KEK: opt.KEK, Policy: opt.Keys, Clock: opt.Clock})
	if err != nil {
		return nil, err
	}
	s.ring = ring
	issuers := opt.Issuers
	issuers.OnFetch = s.observeFetch
	s.seen = make(sightings, maxSightings)
	if s.issuers, err = oidc.New(issuers); err != nil {
		return nil, err
	}
	s.directory = &tokenDirectory{db: opt.DB, records: opt.DB.Records(opt.Records), managementURIs: s.managementURIs}
	s.endpoint = token.New(token.Config{BaseURL: opt.BaseURL, Directory: s.directory, Verifier: s.verifier(),
		Signer: ring, Recorder: recorder{opt.DB, ring}, Clock: opt.Clock, Lifetime: s.lifetime, Observe: s.observeExchange,
		Source: s.source, Gate: limit.NewGate(opt.Refusals, opt.Clock), Share: opt.ShareTokens, SVIDs: opt.SPIFFEClientAuth})
	pageKey, err := opt.KEK.Derive("page tokens")
	if err != nil {
		return nil, err
	}
	s.graph = graph.New(graph.Config{DB: opt.DB, BaseURL: opt.BaseURL, CheckIssuer: s.checkIssuer,
		ManagementAppID: s.directory.managementAppID, PageKey: pageKey, Logger: opt.Log, Clock: opt.Clock})
	s.arm = arm.New(arm.Config{DB: opt.DB, BaseURL: opt.BaseURL, CheckIssuer: s.checkIssuer, PageKey: pageKey, Logger: opt.Log})
	s.trust = trustapi.New(trustapi.Config{DB: opt.DB, CheckIssuer: s.checkIssuer, Delegated: directory.Delegated{Addresses: opt.TenantAddresses, Proxies: slices.Sorted(maps.Keys(opt.Proxies))}, ManagementAppID: s.directory.managementAppID, Logger: opt.Log,
		KeysChanged: s.issuerKeysChanged, Health: s.issuerHealth})
	s.measure()
	s.pacer = newPacer()
	s.allowances = opt.Management.allowances(opt.Clock)
	s.router = newRouter(s.routes())
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.keysChanged = opt.DB.SigningKeysChanged()
	s.background.Go(func() { s.followKeys(background) })
	s.background.Go(func() { s.maintain(background) })
	s.background.Go(func() { s.recordIssuerKeys(background) })
	return s, nil
}

// Close stops the background work. The database is the caller's to close.
func (s *Server) Close() {
	s.stop()
	s.background.Wait()
	s.issuers.Close()
}

func (s *Server) verifier() *federation.Verifier {
	optional := map[string]bool{}
	for _, issuer := range s.opt.IssuedAtOptional {
		optional[issuer] = true
	}
	source := keySource{s.issuers, s.opt.Rehearsal, s.opt.TenantAddresses, s.opt.Proxies}
	return federation.New(federation.Config{
		Keys:             source,
		Authorities:      source.authorities,
		Clock:            s.opt.Clock,
		Own:              s.ownIssuer,
		IssuedAtOptional: func(issuer string) bool { return optional[issuer] },
		Remember:         s.opt.AssertionBytes,
	})
}

// ownIssuer reports whether an issuer is this server itself. The development
// provider is another issuer on the same origin, and what resembles it is a
// mistake about that issuer, not about this.
func (s *Server) ownIssuer(issuer string) bool {
	for _, m := range s.mounted {
		if m.holds(issuer) {
			return false
		}
	}
	return s.origin.holds(issuer)
}

// checkIssuer is the rule for the issuer of a new credential.
func (s *Server) checkIssuer(issuer string) error {
	if directory.IsIssuerSetReference(issuer) || directory.IsTrustDomain(issuer) {
		return nil
	}
	if s.ownIssuer(issuer) {
		return errOwnIssuer
	}
	return s.issuers.CheckIssuer(issuer)
}

var errOwnIssuer = errors.New("it is this server itself, whose tokens are never accepted as assertions; name the workload's own identity provider")

// IssuerCheck is the rule for the issuer of a new credential where no server
// is running.
func IssuerCheck(baseURL string, cfg oidc.Config) (func(issuer string) error, error) {
	sets, err := oidc.New(cfg)
	if err != nil {
		return nil, err
	}
	sets.Close()
	origin, err := placeOf(baseURL)
	if err != nil {
		return nil, err
	}
	return func(issuer string) error {
		if directory.IsIssuerSetReference(issuer) || directory.IsTrustDomain(issuer) {
			return nil
		}
		if origin.holds(issuer) {
			return errOwnIssuer
		}
		return sets.CheckIssuer(issuer)
	}, nil
}

// lifetime draws the lifetime of the next token: spreading them keeps a fleet
// from renewing at one moment.
func (s *Server) lifetime() time.Duration {
	spread := s.opt.LifetimeMax - s.opt.LifetimeMin
	if spread <= 0 {
		return s.opt.LifetimeMin
	}
	return s.opt.LifetimeMin + rand.N(spread)
}

// followKeys takes over what happens to the signing keys, here or in another
// process, until the server closes. It reads them at each tick as well: a key
// that another process removed must not sign on because one reading failed.
func (s *Server) followKeys(ctx context.Context) {
	every := min(s.opt.Keys.PublishAhead/8, 10*time.Second)
	tick := time.NewTicker(max(every, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.keysChanged:
		case <-tick.C:
		}
		s.readKeys(ctx)
		select {
		case s.keysRead <- struct{}{}:
		default: // maintain has not come to the last one yet
		}
	}
}

// maintain does what is due with the signing keys each time that they were
// read. It is apart from reading them: what it writes may wait for another
// server's writes, and the removal of a key must not.
func (s *Server) maintain(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.keysRead:
		}
		if err := s.ring.Maintain(ctx); err != nil && ctx.Err() == nil {
			s.opt.Log.Error("signing keys could not be maintained; the next attempt follows", "error", err)
		}
	}
}

func (s *Server) readKeys(ctx context.Context) {
	err := s.ring.Reload(ctx)
	if ctx.Err() != nil {
		return
	}
	s.keysUnread.Store(err != nil)
	if err != nil {
		s.opt.Log.Error("signing keys could not be read again; the next attempt follows", "error", err)
	}
}

func (s *Server) observeFetch(e oidc.FetchEvent) {
	s.metrics.Fetch(e.Document, e.Outcome(), e.Duration)
	if e.Err != nil {
		s.opt.Log.Warn("issuer fetch failed", "issuer", e.Issuer, "url", e.URL, "reason", e.Outcome(), "cause", errors.Unwrap(e.Err))
	} else {
		s.opt.Log.Debug("issuer fetched", "issuer", e.Issuer, "document", e.Document, "keys", e.Keys, "ignored", e.Ignored)
	}
	if e.Err == nil && len(e.Found) > 0 {
		s.seen.offer(e)
	}
}

// ManagementToken issues an access token for the management resource to a
// client of a tenant, without an exchange. The development mode hands one to
// the person who started it.
func (s *Server) ManagementToken(ctx context.Context, tenantID, clientID string, lifetime time.Duration) (string, error) {
	client, err := s.directory.Client(ctx, tenantID, clientID)
	if err != nil {
		return "", err
	}
	resource, err := s.directory.Resource(ctx, tenantID, s.opt.BaseURL)
	if err != nil {
		return "", err
	}
	return s.endpoint.ManagementToken(client, resource, s.opt.BaseURL, lifetime)
}
