package trustapi

import (
	"net/http"
	"time"

	"cambio/internal/directory"
	"cambio/internal/store"
)

// issuerSetJSON is a set of issuers on the wire.
type issuerSetJSON struct {
	Name      string       `json:"name"`
	Reference string       `json:"reference"` // what a credential has as its issuer
	Members   []memberJSON `json:"members"`
}

type memberJSON struct {
	Issuer    string     `json:"issuer"`
	NotBefore *time.Time `json:"notBefore,omitzero"`
	NotAfter  *time.Time `json:"notAfter,omitzero"`
}

func issuerSetOf(s *directory.IssuerSet) issuerSetJSON {
	out := issuerSetJSON{Name: s.Name, Reference: directory.IssuerSetReference(s.Name)}
	for i := range s.Members {
		m := memberJSON{Issuer: s.Members[i].Issuer}
		if at := s.Members[i].NotBefore; !at.IsZero() {
			m.NotBefore = &at
		}
		if at := s.Members[i].NotAfter; !at.IsZero() {
			m.NotAfter = &at
		}
		out.Members = append(out.Members, m)
	}
	return out
}

func (q *request) listIssuerSets() error {
	sets, err := q.cfg.DB.IssuerSets(q.r.Context(), q.call.Tenant.ID)
	if err != nil {
		return err
	}
	answer := struct {
		Value []issuerSetJSON `json:"value"`
	}{}
	for i := range sets {
		answer.Value = append(answer.Value, issuerSetOf(&sets[i]))
	}
	writeJSON(q.w, http.StatusOK, answer, q.call)
	return nil
}

// putIssuerSet makes a set, or replaces its members in one step.
func (q *request) putIssuerSet() error {
	var in struct {
		Members *[]memberJSON `json:"members"`
	}
	if err := q.body(&in); err != nil {
		return err
	}
	if in.Members == nil {
		return badRequest("The property 'members' is required: the issuers of the set; [] for none.")
	}
	s := directory.IssuerSet{TenantID: q.call.Tenant.ID, Name: q.call.Params["issuerSet"]}
	for _, m := range *in.Members {
		member := directory.IssuerSetMember{Issuer: m.Issuer}
		if m.NotBefore != nil {
			member.NotBefore = m.NotBefore.UTC()
		}
		if m.NotAfter != nil {
			member.NotAfter = m.NotAfter.UTC()
		}
		s.Members = append(s.Members, member)
	}
	if err := directory.ValidateIssuerSet(&s, q.cfg.CheckIssuer); err != nil {
		return err
	}
	status := http.StatusOK
	err := q.writeAs(ActionIssuerSetPut, s.Name, func(tx *store.Tx) error {
		created, err := tx.PutIssuerSet(&s)
		if created {
			status = http.StatusCreated
		}
		return err
	})
	if err != nil {
		return err
	}
	writeJSON(q.w, status, issuerSetOf(&s), q.call)
	return nil
}

func (q *request) deleteIssuerSet() error {
	name := q.call.Params["issuerSet"]
	err := q.writeAs(ActionIssuerSetDelete, name, func(tx *store.Tx) error { return tx.DeleteIssuerSet(q.call.Tenant.ID, name) })
	if err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}
