package explain

import (
	"time"

	"cambio/internal/directory"
	"cambio/internal/oauth"
	"cambio/internal/strictjson"
)

// Token is what was presented, as far as it could be read. Nothing of it is
// verified.
type Token struct {
	Algorithm string
	KeyID     string
	Claims    strictjson.Object
}

// Input is everything that a decision rested on, and what is known beside it.
// Members that are not known are left zero.
type Input struct {
	At     time.Time
	Code   oauth.Code // of the refusal; 0: allowed
	Token  *Token     // nil: it could not be read
	Source string     // network address of the caller

	Client     *directory.ClientRecord // nil: there is none
	Credential *directory.Credential   // that was used, or came closest
	Compat     directory.Compat
	Policy     *directory.FederationPolicy
	Managed    *directory.IssuerRecord // the token's issuer as the tenant manages it
	Sets       []string                // references to sets that the issuer is in now
	ClosedSets []string                // and to those that it is in at other times
	Algorithms []string                // that are accepted
	OwnIssuer  bool                    // the token's issuer is this server

	Signature string               // one of the Signature constants
	Fetch     *Fetch               // what kept the issuer's keys from being had
	Keys      []KeySeen            // history of the issuer's keys
	Earlier   time.Time            // when the same token, or one of the same run, was accepted before
	Elsewhere *Elsewhere           // another identity of the tenant that trusts issuer and subject
	Created   map[string]time.Time // of credentials, by id, where a decision is looked at later
}

// Subject is the token's, "" if it has none.
func (in *Input) Subject() string {
	if in.Token == nil {
		return ""
	}
	return in.Token.text("sub")
}

// What became of the signature.
const (
	SignatureValid      = "valid"
	SignatureInvalid    = "invalid"
	SignatureNotChecked = "not checked"
)

// Fetch is a failed request for an issuer's documents.
type Fetch struct {
	URL       string `json:"url,omitzero"`
	Document  string `json:"document,omitzero"` // discovery or jwks
	Reason    string `json:"reason,omitzero"`   // such as tls, unreachable, status
	Text      string `json:"text,omitzero"`
	Temporary bool   `json:"temporary,omitzero"`
}

// KeySeen is a key that the issuer was seen to publish.
type KeySeen struct {
	Thumbprint string
	KeyID      string
	FirstSeen  time.Time
	LastSeen   time.Time
	Current    bool
}

// Elsewhere is a credential of another identity. Identity and Credential are
// empty when the reader may not know them.
type Elsewhere struct {
	ClientID   string `json:"clientId,omitzero"`
	Identity   string `json:"identity,omitzero"`
	Credential string `json:"credential,omitzero"`
}

// Explanation is the outcome. Its JSON form is that of the API and of the
// audit record, which leaves out what it can be filled in with again.
type Explanation struct {
	Allowed bool   `json:"allowed"`
	Code    int    `json:"code,omitzero"` // AADSTS number
	Class   Class  `json:"class,omitzero"`
	Field   string `json:"field,omitzero"` // what to look at: issuer, subject, audience, claims['…'], exp …
	Summary string `json:"summary,omitzero"`
	Fix     *Fix   `json:"fix,omitzero"`

	Decision   *Decision   `json:"decision,omitzero"` // which one it is, of the audit trail
	Client     Client      `json:"client,omitzero"`
	Issuer     Issuer      `json:"issuer,omitzero"`
	Key        Key         `json:"key,omitzero"`
	Signature  string      `json:"signature,omitzero"`
	Times      Times       `json:"times,omitzero"`
	Claims     Claims      `json:"claims,omitempty"`
	Candidates []Candidate `json:"candidates,omitempty"` // the closest first
	Compared   int         `json:"compared,omitzero"`    // credentials that were looked at
	Of         int         `json:"of,omitzero"`          // that the client has
	Source     string      `json:"source,omitzero"`
	Elsewhere  *Elsewhere  `json:"elsewhere,omitzero"`
	Policy     string      `json:"policy,omitzero"`    // which rule of the tenant's federation policy refused
	Accepted   []string    `json:"accepted,omitempty"` // what would have been: algorithms, values of a required claim
	Earlier    time.Time   `json:"earlier,omitzero"`   // when the same token was accepted before
}

// Decision names the decision in the audit trail.
type Decision struct {
	Record        string    `json:"record"` // id of the audit record
	At            time.Time `json:"at"`
	CorrelationID string    `json:"correlationId"`
	TraceID       string    `json:"traceId"`
	Resource      string    `json:"resource,omitzero"`
	Roles         []string  `json:"roles,omitempty"`
}

// Fix is what to change.
type Fix struct {
	Text    string `json:"text"`
	Command string `json:"command,omitzero"` // for a shell; empty where a person must decide first
}

// Client is whom the token was presented for.
type Client struct {
	ID    string `json:"id,omitzero"`
	Name  string `json:"name,omitzero"`
	Kind  string `json:"kind,omitzero"`
	Known bool   `json:"known,omitzero"`
}

// How an issuer's keys were had, beside the modes of managed issuers.
const NotManaged = "discovery"

// Issuer is how the token's issuer was resolved.
type Issuer struct {
	Presented string    `json:"presented,omitzero"`
	Keys      string    `json:"keys,omitzero"`   // discovery, or the mode of a managed issuer: discover, pin, push, bundle
	KeysAt    time.Time `json:"keysAt,omitzero"` // when pinned or pushed keys came
	Sets      []string  `json:"sets,omitempty"`  // names of sets that it is in
	Fetch     *Fetch    `json:"fetch,omitzero"`
}

// Key is the key that the token names.
type Key struct {
	ID        string    `json:"kid,omitzero"`
	Algorithm string    `json:"alg,omitzero"`
	FirstSeen time.Time `json:"firstSeen,omitzero"` // of the key's history
	LastSeen  time.Time `json:"lastSeen,omitzero"`
	State     string    `json:"state,omitzero"` // published, withdrawn, never seen; empty: there is no history
}

// The states of a key.
const (
	KeyPublished = "published"
	KeyWithdrawn = "withdrawn"
	KeyNeverSeen = "never seen"
)

// Times are those of the token and of the decision.
type Times struct {
	Now       time.Time `json:"now,omitzero"`
	IssuedAt  time.Time `json:"iat,omitzero"`
	NotBefore time.Time `json:"nbf,omitzero"`
	Expires   time.Time `json:"exp,omitzero"`
	Verdict   string    `json:"verdict,omitzero"`
}

// Verdicts on times.
const (
	TimesHold      = "valid"
	TimesExpired   = "expired"
	TimesNotYet    = "not yet valid"
	TimesTooLong   = "lifetime too long"
	TimesNoExpiry  = "no exp"
	TimesNoIssueAt = "no iat"
)

// Claims are what is kept of the token's claims, by name.
type Claims map[string]string

// Verdict says what a comparison came to.
type Verdict string

// The verdicts.
const (
	Equal       Verdict = "equal"
	Matches     Verdict = "matches" // an expression's term, or a set of issuers
	Differs     Verdict = "differs"
	Absent      Verdict = "absent"
	OtherType   Verdict = "other type"
	NotCompared Verdict = "not compared"
)

func (v Verdict) holds() bool { return v == Equal || v == Matches }

// Names of fields.
const (
	FieldIssuer   = "issuer"
	FieldSubject  = "subject"
	FieldAudience = "audience"
	FieldState    = "credential"
)

// Field is one comparison.
type Field struct {
	Name      string  `json:"field"`
	Operator  string  `json:"operator,omitzero"` // of an expression's term: eq or matches
	Presented string  `json:"presented,omitzero"`
	Expected  string  `json:"expected,omitzero"`
	Verdict   Verdict `json:"verdict"`
	Class     Class   `json:"class,omitzero"`
	Note      string  `json:"note,omitzero"` // what of it differs
}

// Candidate is a credential beside the token.
type Candidate struct {
	ID     string  `json:"id,omitzero"`
	Name   string  `json:"name,omitzero"`
	Class  Class   `json:"class,omitzero"`
	Fields []Field `json:"fields"`
	State  string  `json:"state,omitzero"` // why it does not count although it matches; empty: it does

	closeness int
}

// differing returns the fields that do not hold.
func (c *Candidate) differing() []*Field {
	var out []*Field
	for i := range c.Fields {
		if !c.Fields[i].Verdict.holds() {
			out = append(out, &c.Fields[i])
		}
	}
	return out
}
