package rehearsal

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/internal/audit"
	"cambio/internal/directory"
	"cambio/internal/explain"
	"cambio/internal/federation"
	"cambio/internal/oauth"
	"cambio/internal/token"
	"cambio/internal/trust"
)

// Backtest decides recorded decisions again with changed clients. It goes by
// what a trust configuration says: issuers, subjects, expressions, audiences,
// and whether the client can sign in. Signature, times, ceilings, the tenant's
// policy and roles are as they were.
type Backtest struct {
	Replayed    int          `json:"replayed"`    // decided again; the others are counted below
	Differences []Difference `json:"differences"` // in the order of the records
	Other       int          `json:"other"`       // refusals that rest on something else, as that of an expired token
	Undecided   int          `json:"undecided"`   // the record does not hold what the changed rules compare
	Unknown     int          `json:"unknown"`     // of clients that neither configuration has

	today, changed names
}

// Difference is a recorded decision that would be another one.
type Difference struct {
	Record        int64     `json:"record"`
	At            time.Time `json:"at"`
	CorrelationID string    `json:"correlationId"`
	Client        string    `json:"client"` // as the configuration calls it
	ClientID      string    `json:"clientId"`
	Issuer        string    `json:"issuer"`
	Subject       string    `json:"subject"`
	Was           Outcome   `json:"was"`
	Would         Outcome   `json:"would"`
	AlreadyToday  bool      `json:"alreadyToday"` // today's configuration decides so, too: the change is not the reason
}

// Outcome is a decision: either the name of a credential or a refusal.
type Outcome struct {
	Allowed    bool   `json:"allowed"`
	Credential string `json:"credential,omitempty"`
	Code       int    `json:"code,omitempty"`
	Reason     string `json:"reason,omitempty"` // text of the refusal, with the field that it is about; not known of recorded ones
}

// String is the outcome for people.
func (o Outcome) String() string {
	switch {
	case o.Allowed:
		return "allowed by " + o.Credential
	case o.Reason == "":
		return fmt.Sprintf("refused with AADSTS%d", o.Code)
	}
	return "refused: " + o.Reason
}

// NewBacktest compares today's clients with changed ones.
func NewBacktest(today, changed []trust.Client) *Backtest {
	return &Backtest{Differences: []Difference{}, today: index(today), changed: index(changed)}
}

// decision is an audit record of a decision, as far as it is needed.
type decision struct {
	ID     int64     `json:"id"`
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"`
	Detail struct {
		Outcome        string   `json:"outcome"`
		Code           int      `json:"code"`
		ClientID       string   `json:"clientId"`
		CorrelationID  string   `json:"correlationId"`
		CredentialName string   `json:"credentialName"`
		Issuer         string   `json:"issuer"`
		Subject        string   `json:"subject"`
		Audiences      []string `json:"audiences"`
		AudienceCount  int      `json:"audienceCount"` // there were more than are recorded
		Explanation    struct {
			Claims explain.Claims `json:"claims"`
			Issuer struct {
				Sets []string `json:"sets"`
			} `json:"issuer"`
		} `json:"explanation"`
	} `json:"detail"`
}

// restsOnTrust are the refusals that a trust configuration can change.
var restsOnTrust = []oauth.Code{oauth.ClientDisabled, oauth.NoServicePrincipal, oauth.NoFederatedCredential, oauth.IssuerMismatch,
	oauth.AudienceMismatch, oauth.SubjectMismatch, oauth.CaseMismatch}

// Replay decides a record again: JSON as `cambio audit` prints it. Records of
// changes, and those before since, are passed over.
func (b *Backtest) Replay(record []byte, since time.Time) error {
	var d decision
	if err := json.Unmarshal(record, &d); err != nil {
		return fmt.Errorf("this is no record of the audit trail: %w", err)
	}
	if d.Kind != audit.KindExchange || d.At.Before(since) {
		return nil
	}
	was := Outcome{Allowed: d.Detail.Outcome == audit.Allowed, Credential: d.Detail.CredentialName, Code: d.Detail.Code}
	if !was.Allowed && !slices.Contains(restsOnTrust, oauth.Code(was.Code)) {
		b.Other++
		return nil
	}
	today, changed := b.today.find(d.Detail.ClientID), b.changed.find(d.Detail.ClientID)
	if today == nil && changed == nil {
		b.Unknown++
		return nil
	}
	would, sure := d.decide(changed)
	if !sure {
		b.Undecided++
		return nil
	}
	b.Replayed++
	if would.Allowed == was.Allowed {
		return nil
	}
	now, sure := d.decide(today)
	known := changed
	if known == nil {
		known = today
	}
	b.Differences = append(b.Differences, Difference{Record: d.ID, At: d.At, CorrelationID: d.Detail.CorrelationID, Client: known.DisplayName, ClientID: d.Detail.ClientID,
		Issuer: d.Detail.Issuer, Subject: d.Detail.Subject, Was: was, Would: would, AlreadyToday: sure && now.Allowed == would.Allowed})
	return nil
}

// decide is what the token path's matching says of a record's claims; sure is
// false where that depends on what the record does not hold.
func (d *decision) decide(client *directory.ClientRecord) (would Outcome, sure bool) {
	if client == nil {
		return Outcome{Code: int(oauth.ClientNotFound)}, true
	}
	if refusal := token.Usable(client); refusal != nil {
		return refused(refusal), true
	}
	claims := d.claims()
	raw, err := json.Marshal(claims)
	if err != nil {
		return would, false
	}
	assertion, refusal := federation.Parse(compact(raw))
	if refusal != nil {
		return would, false // what was presented was cut when it was recorded
	}
	complete := whole(d.Detail.Issuer) && whole(d.Detail.Subject)
	sets := d.sets()
	credential, refusal := federation.Match(client, assertion, sets...)
	if refusal == nil {
		return Outcome{Allowed: true, Credential: credential.Name}, complete
	}
	return refused(refusal), complete && d.Detail.AudienceCount == 0 && !d.lacks(client, claims, sets)
}

func refused(refusal *oauth.Error) Outcome {
	return Outcome{Code: int(refusal.Code), Reason: refusal.Error()}
}

// claims are those that were recorded as they were presented.
func (d *decision) claims() map[string]any {
	claims := map[string]any{}
	for name, value := range d.Detail.Explanation.Claims {
		if faithful(value) {
			claims[name] = value
		}
	}
	claims["iss"], claims["sub"], claims["aud"] = d.Detail.Issuer, d.Detail.Subject, d.Detail.Audiences
	return claims
}

// sets are references to the sets that the issuer was in.
func (d *decision) sets() []string {
	var references []string
	for _, name := range d.Detail.Explanation.Issuer.Sets {
		references = append(references, directory.IssuerSetReference(name))
	}
	return references
}

// lacks reports whether an expression that might match compares a claim that
// the record does not hold.
func (d *decision) lacks(client *directory.ClientRecord, known map[string]any, sets []string) bool {
	for _, issuer := range append([]string{d.Detail.Issuer}, sets...) {
		for _, c := range client.Flexible(issuer) {
			for _, t := range c.Expression.Terms() {
				if _, there := known[t.Claim]; !there {
					return true
				}
			}
		}
	}
	return false
}

// whole reports whether a value was recorded to its end.
func whole(value string) bool { return !strings.HasSuffix(value, "…") }

// faithful reports whether a claim was recorded as it was presented: not cut,
// hashed or of another type. One that looks as if it were is not.
func faithful(value string) bool {
	return whole(value) && !strings.HasPrefix(value, "sha256:") && !(strings.HasSuffix(value, ")") && strings.Contains(value, " (a"))
}
