package audit

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Kinds of record, as stored beside the JSON detail.
const (
	KindExchange = "exchange" // a Decision
	KindChange   = "change"   // a Change
)

// Outcomes of a Decision.
const (
	Allowed = "allowed"
	Refused = "refused"
)

// Bounds of a record, in bytes as they are written: a control character takes
// six. The longest value that can match a rule has 600; one that is longer
// than it may be is cut and ends in "…". So refused nonsense cannot fill the
// disk quickly.
const (
	MaxRecord    = 16 << 10 // the record
	MaxString    = 1024     // one string; less once the record is nearly full
	MaxList      = 4096     // a list, beyond which no further string begins
	maxAudiences = 8        // strings in "audiences"; more are counted in "audienceCount"
	maxRoles     = 16       // strings in "roles"; more are counted in "roleCount"
	maxReports   = 16       // strings in "reportOnly"; more are counted in "reportOnlyCount"
)

// Decision is one answer of the token endpoint, allowed or refused. Fields
// that were not known when the decision fell are left zero and do not appear
// in the record.
type Decision struct {
	At             time.Time
	TenantID       string
	ClientID       string
	CorrelationID  string
	TraceID        string
	Allowed        bool
	Code           int // number of the AADSTS error; 0 when allowed
	CredentialID   string
	CredentialName string
	Issuer         string // as presented
	Subject        string // as presented
	Audiences      []string
	KeyID          string // of the assertion
	Algorithm      string // of the assertion
	AssertionHash  [32]byte
	Resource       string
	Roles          []string
	TokenID        string // uti / jti of the issued token
	TokenKeyID     string
	TokenShared    bool // the token was issued for an earlier request of the same
	ExpiresAt      time.Time
	Source         string   // network address of the caller
	Skipped        int      // requests like this one that have no record, since the last one like it that has
	ReportOnly     []string // rules of the tenant's policy that would have refused, if they were enforced
	Explanation    []byte   // one JSON value, or nil
}

// AppendJSON appends the record as one JSON object of at most MaxRecord bytes
// without line breaks.
func (d *Decision) AppendJSON(dst []byte) []byte {
	o := object{dst: dst}
	o.open()
	o.time("at", d.At)
	if d.Allowed {
		o.string("outcome", Allowed)
	} else {
		o.string("outcome", Refused)
	}
	o.int("code", d.Code)
	o.string("tenantId", d.TenantID)
	o.string("clientId", d.ClientID)
	o.string("correlationId", d.CorrelationID)
	o.string("traceId", d.TraceID)
	o.string("credentialId", d.CredentialID)
	o.string("credentialName", d.CredentialName)
	o.string("issuer", d.Issuer)
	o.string("subject", d.Subject)
	o.strings("audiences", "audienceCount", d.Audiences, maxAudiences)
	o.string("keyId", d.KeyID)
	o.string("algorithm", d.Algorithm)
	if d.AssertionHash != ([32]byte{}) {
		o.hash("assertionHash", &d.AssertionHash)
	}
	o.string("resource", d.Resource)
	o.strings("roles", "roleCount", d.Roles, maxRoles)
	o.string("tokenId", d.TokenID)
	o.string("tokenKeyId", d.TokenKeyID)
	if d.TokenShared {
		o.value("tokenShared", []byte("true"))
	}
	o.time("expiresAt", d.ExpiresAt)
	o.string("source", d.Source)
	o.int("skipped", d.Skipped)
	o.strings("reportOnly", "reportOnlyCount", d.ReportOnly, maxReports)
	o.value("explanation", d.Explanation)
	return o.close()
}

// Change is one management write that was committed: who did what to which
// object, through which interface.
type Change struct {
	At            time.Time // set by the store when zero
	TenantID      string
	PrincipalID   string // object id of the caller; empty for the command line
	ClientID      string // of the caller
	Via           string // "graph", "arm", "cli" …
	CorrelationID string
	Action        string // as named by the route table
	Target        string // id of the object
}

// AppendJSON appends the record as one JSON object of at most MaxRecord bytes
// without line breaks.
func (c *Change) AppendJSON(dst []byte) []byte {
	o := object{dst: dst}
	o.open()
	o.time("at", c.At)
	o.string("action", c.Action)
	o.string("target", c.Target)
	o.string("tenantId", c.TenantID)
	o.string("principalId", c.PrincipalID)
	o.string("clientId", c.ClientID)
	o.string("via", c.Via)
	o.string("correlationId", c.CorrelationID)
	return o.close()
}

// valid reports whether b is exactly one JSON value.
func valid(b []byte) bool { return jsontext.Value(b).IsValid() }
