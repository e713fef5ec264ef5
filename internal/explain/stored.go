package explain

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// cutMark ends a value that was cut.
const cutMark = "…"

// cut shortens a value to so many bytes.
func cut(value string, most int) string {
	if len(value) <= most {
		return value
	}
	n := most - len(cutMark)
	for n > 0 && !utf8.RuneStart(value[n]) {
		n--
	}
	return value[:n] + cutMark
}

// Bounds of the stored form.
const (
	maxStored = 4096 // bytes of all of it
	maxValue  = 600  // of one value of a comparison: the longest that a credential can have
)

// claimName is the claim that a field compares, "" for none.
func claimName(field string) string {
	if name, ok := strings.CutPrefix(field, "claims['"); ok {
		return strings.TrimSuffix(name, "']")
	}
	return ""
}

// Stored is the form that an audit record holds: without what the record says
// itself and what Restore can say again. It is at most 4 KiB, and 1 KiB as a
// rule.
func (e *Explanation) Stored() []byte {
	s := *e
	s.Summary, s.Fix, s.Decision, s.Code, s.Source = "", nil, nil, 0, ""
	s.Client.ID, s.Issuer.Presented, s.Key.ID, s.Key.Algorithm, s.Times.Now = "", "", "", "", time.Time{}
	if s.Issuer.Keys == NotManaged {
		s.Issuer.Keys = ""
	}
	s.Candidates = slices.Clone(s.Candidates)
	for i, c := range s.Candidates {
		c.Fields = slices.Clone(c.Fields)
		for j := range c.Fields {
			f := &c.Fields[j]
			if f.Verdict == Equal {
				f.Expected = ""
			}
			f.Expected, f.Note = cut(f.Expected, maxValue), cut(f.Note, maxValue/2)
			if name := claimName(f.Name); name == "" || s.Claims[name] == f.Presented {
				f.Presented = ""
			} else {
				f.Presented = cut(f.Presented, maxValue)
			}
		}
		s.Candidates[i] = c
	}
	for {
		raw, err := json.Marshal(&s, json.Deterministic(true))
		switch {
		case err == nil && len(raw) <= maxStored:
			return raw
		case err == nil && len(s.Candidates) > 1:
			s.Candidates = s.Candidates[:len(s.Candidates)-1]
		case err == nil && len(s.Claims) > 0:
			s.Claims = nil
		case err == nil && len(s.Candidates) > 0:
			s.Candidates = nil
		default:
			return nil // what is left always fits
		}
	}
}

// Recorded is what an audit record says of a decision beside its explanation.
type Recorded struct {
	Decision  Decision
	Allowed   bool
	Code      int
	ClientID  string
	Issuer    string
	Subject   string
	Audiences []string
	KeyID     string
	Algorithm string
	Source    string

	// Of an allowed one, whose explanation has no candidates.
	CredentialID   string
	CredentialName string
}

// Restore makes the explanation of a record again. stored is what the record
// holds of it; empty for decisions of versions that recorded none.
func Restore(r *Recorded, stored []byte) (*Explanation, error) {
	e := &Explanation{}
	if len(stored) > 0 {
		if err := json.Unmarshal(stored, e); err != nil {
			return nil, err
		}
	}
	e.Allowed, e.Code, e.Source, e.Decision = r.Allowed, r.Code, r.Source, &r.Decision
	e.Client.ID, e.Issuer.Presented, e.Key.ID, e.Key.Algorithm, e.Times.Now = r.ClientID, r.Issuer, r.KeyID, r.Algorithm, r.Decision.At
	if e.Issuer.Keys == "" && r.Issuer != "" {
		e.Issuer.Keys = NotManaged
	}
	if r.Allowed {
		e.restoreAllowed(r)
	}
	for i := range e.Candidates {
		for j := range e.Candidates[i].Fields {
			e.restoreField(&e.Candidates[i].Fields[j], r)
		}
	}
	e.Advise()
	return e, nil
}

// restoreAllowed: all fields were equal, or matched.
func (e *Explanation) restoreAllowed(r *Recorded) {
	e.Signature = SignatureValid
	e.Client.Known = true
	e.Times.Verdict = TimesHold
	e.Candidates = []Candidate{{ID: r.CredentialID, Name: r.CredentialName, Fields: []Field{
		{Name: FieldIssuer, Verdict: Equal}, {Name: FieldSubject, Verdict: Matches}, {Name: FieldAudience, Verdict: Equal}}}}
	e.Compared = 1
}

func (e *Explanation) restoreField(f *Field, r *Recorded) {
	switch name := claimName(f.Name); {
	case name != "" && f.Presented == "":
		f.Presented = e.Claims[name]
	case f.Name == FieldIssuer:
		f.Presented = r.Issuer
	case f.Name == FieldSubject:
		f.Presented = r.Subject
	case f.Name == FieldAudience:
		f.Presented = strings.Join(r.Audiences, ", ")
	}
	if f.Verdict == Equal && f.Expected == "" {
		f.Expected = f.Presented
	}
}
