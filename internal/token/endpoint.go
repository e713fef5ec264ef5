package token

import (
	"context"
	"errors"
	"net/http"
	"time"

	"cambio/internal/audit"
	"cambio/internal/directory"
	"cambio/internal/federation"
	"cambio/internal/limit"
	"cambio/internal/oauth"

	"golang.org/x/time/rate"
)

// Errors that a Directory returns; any other means that it cannot be read.
var (
	ErrNotFound  = errors.New("token: no such object")
	ErrThrottled = errors.New("token: too many look-ups")
)

// ErrOutdated is a Recorder's answer to a decision that rests on what the
// directory no longer holds.
var ErrOutdated = errors.New("token: the decision rests on an older state")

// Directory is what the endpoint reads. Positive answers may come from a
// cache; ErrNotFound never does.
type Directory interface {
	// Tenant finds a tenant by GUID, domain name or "adfs".
	Tenant(ctx context.Context, ref string) (*directory.TenantRecord, error)
	Client(ctx context.Context, tenantID, clientID string) (*directory.ClientRecord, error)
	// Resource finds a protected resource by identifier URI or appId.
	Resource(ctx context.Context, tenantID, identifier string) (*directory.ResourceRecord, error)
}

// Signer signs access tokens with the current key of an algorithm.
type Signer interface {
	// Sign appends the compact JWS over claims to dst. Typ is the header's.
	Sign(dst []byte, algorithm, typ string, claims []byte) (token []byte, keyID string, err error)
	// Active is the id of the current key of an algorithm.
	Active(algorithm string) string
}

// Recorder makes a decision durable before it returns. With a basis it does so
// only if that is not stale at the moment of recording, and else returns
// ErrOutdated; from then on the Directory gives what the database holds.
type Recorder interface {
	RecordDecision(ctx context.Context, d *audit.Decision, basis interface{ Stale() bool }) error
	// History is a basis that is stale once the database may have lost what
	// it held when History was called, as in a failover.
	History() interface{ Stale() bool }
}

// Outcome is what an observer learns of one request.
type Outcome struct {
	Code          oauth.Code // 0: allowed
	Status        int        // of the answer
	Limited       string     // which allowance had run out, so that the request was not examined
	Skipped       int64      // requests like it, before it, that were not recorded
	Unrecorded    bool       // it is one that was not
	Reason        string     // of a refusal, as shown to the caller
	Algorithm     string     // of the issued token
	Duration      time.Duration
	TenantID      string
	ClientID      string // as sent
	KnownClient   bool   // the directory has it
	Source        string // network address
	TraceID       string
	CorrelationID string
	Credential    string
	ReportOnly    []string // rules of the tenant's policy that would have refused
}

// Config is what an Endpoint needs. All members are required.
type Config struct {
	BaseURL   string // public origin, without a trailing slash
	Directory Directory
	Verifier  *federation.Verifier
	Signer    Signer
	Recorder  Recorder
	Clock     func() time.Time
	Lifetime  func() time.Duration       // of the next token
	Source    func(*http.Request) string // the network address that a request came from
	Gate      *limit.Gate
	SVIDs     bool          // whether SVIDs authenticate clients, as draft-ietf-oauth-spiffe-client-auth says
	Share     time.Duration // for how long equal requests get one token; 0: each gets its own
	Observe   func(context.Context, Outcome)
}

// Endpoint is the token endpoint. It is safe for concurrent use.
type Endpoint struct {
	cfg        Config
	shared     *shared
	explaining *rate.Limiter
}

// How many refusals are explained when they are recorded. An explanation costs
// more than the refusal: a flood of them must not take from others what it
// takes. Refusals beyond keep a record without candidates.
const (
	explainRate  = 20 // each second
	explainBurst = 200
)

// New makes an Endpoint.
func New(cfg Config) *Endpoint {
	return &Endpoint{cfg, newShared(cfg.Share), rate.NewLimiter(explainRate, explainBurst)}
}

// Door is one of the endpoint's URLs: what it calls the resource, and which
// form its answers have.
type Door struct {
	Scope, Resource bool // which parameters it knows
	Strings         bool // v1 answers: numbers as strings, and four more members
}

// The doors: v2.0, v1, and the AD FS alias, whose clients send either
// parameter and expect the v2 form.
var (
	V2   = Door{Scope: true}
	V1   = Door{Scope: true, Resource: true, Strings: true}
	ADFS = Door{Scope: true, Resource: true}
)
