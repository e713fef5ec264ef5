package explainapi

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cambio/internal/audit"
	"cambio/internal/explain"
	"cambio/internal/store"
)

// detail is what an audit record of a decision says.
type detail struct {
	Outcome        string         `json:"outcome"`
	Code           int            `json:"code"`
	ClientID       string         `json:"clientId"`
	CorrelationID  string         `json:"correlationId"`
	TraceID        string         `json:"traceId"`
	CredentialID   string         `json:"credentialId"`
	CredentialName string         `json:"credentialName"`
	Issuer         string         `json:"issuer"`
	Subject        string         `json:"subject"`
	Audiences      []string       `json:"audiences"`
	KeyID          string         `json:"keyId"`
	Algorithm      string         `json:"algorithm"`
	Resource       string         `json:"resource"`
	Roles          []string       `json:"roles"`
	Source         string         `json:"source"`
	At             time.Time      `json:"at"`
	Explanation    jsontext.Value `json:"explanation"`
}

// restore makes the explanation of a recorded decision.
func restore(r *store.AuditRecord) (*explain.Explanation, error) {
	var d detail
	if err := json.Unmarshal(r.Detail, &d); err != nil {
		return nil, err
	}
	stored := d.Explanation
	if stored.Kind() != '{' {
		stored = nil // it was cut, since the record was full
	}
	return explain.Restore(&explain.Recorded{
		Decision: explain.Decision{Record: strconv.FormatInt(r.ID, 10), At: r.At, CorrelationID: d.CorrelationID, TraceID: d.TraceID, Resource: d.Resource, Roles: d.Roles},
		Allowed:  d.Outcome == audit.Allowed, Code: d.Code, ClientID: d.ClientID, Issuer: d.Issuer, Subject: d.Subject, Audiences: d.Audiences, KeyID: d.KeyID,
		Algorithm: d.Algorithm, Source: d.Source, CredentialID: d.CredentialID, CredentialName: d.CredentialName,
	}, stored)
}

// subjectOf is the subject that was presented.
func subjectOf(r *store.AuditRecord) string {
	var d struct {
		Subject string `json:"subject"`
	}
	_ = json.Unmarshal(r.Detail, &d) // restore has read it
	return d.Subject
}
