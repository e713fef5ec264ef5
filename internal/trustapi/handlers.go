package trustapi

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cambio/internal/directory"
	"cambio/internal/lint"
	"cambio/internal/management"
	"cambio/internal/store"
	"cambio/internal/strictjson"
	"cambio/internal/trust"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// Bounds of a request: a document with what stands around it. Ten thousand
// credentials are about 2 MiB with 80,000 values; a value costs about 200 bytes
// of memory while it is read.
const (
	maxBody   = trust.MaxBytes + 1024
	maxValues = 1 << 18
)

// How many documents arrive at a time, which bounds the memory that they take,
// and how many of those are worked on; others wait. A sender that is slow
// keeps a place of the first kind only.
const (
	maxArriving  = 8
	maxDocuments = 2
)

// enter waits for a place.
func (q *request) enter(places chan struct{}) (leave func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-q.r.Context().Done():
		return nil, q.r.Context().Err()
	}
}

// input is the body of a plan or of an application.
type input struct {
	document *trust.Document
	prune    bool
	hash     [sha256.Size]byte // of the body
}

// work reads the body, waits for the document's turn and does the step.
func (q *request) work(step func(input) error) error {
	leave, err := q.enter(q.arriving)
	if err != nil {
		return err
	}
	defer leave()
	raw, err := management.ReadJSONBodyUpTo(q.w, q.r, maxBody)
	if err != nil {
		return err
	}
	done, err := q.enter(q.documents)
	if err != nil {
		return err
	}
	defer done()
	in, err := parseInput(raw)
	if err != nil {
		return err
	}
	return step(in)
}

func parseInput(raw []byte) (in input, err error) {
	in.hash = sha256.Sum256(raw)
	body, err := strictjson.ParseObject(raw, strictjson.Limits{Bytes: maxBody, Depth: trust.MaxDepth + 1, Members: maxValues})
	if err != nil {
		return in, err
	}
	for name, value := range body.All() {
		switch {
		case name == "document":
			if in.document, err = trust.ParseJSON(value); err != nil {
				return in, err
			}
		case name == "prune" && (string(value) == "true" || string(value) == "false"):
			in.prune = string(value) == "true"
		case name == "prune":
			return in, badRequest("The property 'prune' must be true or false.")
		default:
			return in, badRequest("The request body may hold the properties 'document' and 'prune' only.")
		}
	}
	if in.document == nil {
		return in, badRequest("The property 'document' is required: a trust configuration.")
	}
	return in, nil
}

// state is what a tenant has at one moment.
type state struct {
	tenant   directory.Tenant
	contents *directory.Contents
	mark     store.Mark
}

func (q *request) state() (s state, err error) {
	s.tenant, s.contents, s.mark, err = q.cfg.DB.Contents(q.r.Context(), q.call.Tenant.ID)
	return s, err
}

// etag is the entity tag (RFC 9110 §8.8.3) of contents.
func (q *request) etag(c *directory.Contents) string {
	return `"` + trust.Fingerprint(trust.Export(c, q.managementAppID)) + `"`
}

// export answers with the tenant's document.
func (q *request) export() error {
	asked, err := management.ReadPreconditions(q.r.Header)
	if err != nil {
		return err
	}
	text, tag, err := q.exported()
	if err != nil {
		return err
	}
	q.w.Header().Set("ETag", tag)
	if asked.NotModified(tag) {
		q.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	writeBody(q.w, http.StatusOK, text, q.call)
	return nil
}

// exported is the tenant's document with its entity tag. Making it takes as
// much as a plan does.
func (q *request) exported() (text []byte, tag string, err error) {
	leave, err := q.enter(q.documents)
	if err != nil {
		return nil, "", err
	}
	defer leave()
	s, err := q.state()
	if err != nil {
		return nil, "", err
	}
	d := trust.Export(s.contents, q.managementAppID)
	return d.JSON(), `"` + trust.Fingerprint(d) + `"`, nil
}

func (q *request) diff(s state, in input) (*trust.Plan, error) {
	q.passed = nil
	return trust.Diff(s.contents, in.document, trust.Options{Tenant: s.tenant, Prune: in.prune, CheckIssuer: q.cfg.CheckIssuer, Lint: q.lint(s),
		ManagementAppID: q.managementAppID, CallerID: q.call.Caller.PrincipalID, NewID: identifiers(s, in)})
}

// lint holds credentials against the rules, and notes the reasons for which
// findings pass.
func (q *request) lint(s state) func(*directory.FederatedIdentityCredential, []string, map[string]string) error {
	return func(c *directory.FederatedIdentityCredential, roles []string, reasons map[string]string) error {
		passed, err := lint.Gate(&s.tenant, c, func() ([]string, error) { return roles, nil }, reasons, time.Now())
		for _, action := range lint.OverrideDetails(passed) {
			q.passed = append(q.passed, override{action, c.ParentID, c.Name})
		}
		return err
	}
}

// identifiers chooses those of new objects, so that a plan shows the ones that
// its application will use: the same request, in the same state, gets the same
// ones. Whatever uses them changes the state.
func identifiers(s state, in input) func() string {
	space := uuid.MustParse(s.tenant.ID) // a tenant's id is a GUID
	n := 0
	return func() string {
		n++
		return uuid.NewHash(sha256.New(), space, fmt.Appendf(nil, "%x %s %d", in.hash, s.mark, n), 8).String()
	}
}

// plan answers with what a document would change.
func (q *request) plan() error { return q.work(q.planInput) }

func (q *request) planInput(in input) error {
	s, err := q.state()
	if err != nil {
		return err
	}
	plan, err := q.diff(s, in)
	if err != nil {
		return err
	}
	objects, clients := chosen(plan)
	if err := q.cfg.DB.CheckIDs(q.r.Context(), objects, clients); err != nil {
		return err
	}
	return q.answer(plan, q.etag(s.contents))
}

// chosen are the identifiers that a plan gives to new objects, and those by
// which it names new clients. Only the database knows those of deleted objects
// and of other tenants, which are refused.
func chosen(plan *trust.Plan) (objects, clients []string) {
	for i := range plan.Changes {
		if plan.Changes[i].Action != trust.Create {
			continue
		}
		switch o := plan.Changes[i].Object.(type) {
		case *directory.Application:
			objects, clients = append(objects, strings.ToLower(o.ID)), append(clients, strings.ToLower(o.AppID))
		case *directory.ServicePrincipal:
			objects = append(objects, strings.ToLower(o.ID))
		case *directory.ManagedIdentity:
			objects, clients = append(objects, strings.ToLower(o.PrincipalID)), append(clients, strings.ToLower(o.ClientID))
		}
	}
	return objects, clients
}

type planJSON struct {
	ETag    string       `json:"etag"` // of the contents before a plan, or after an application
	Changes []changeJSON `json:"changes"`
	Kept    []string     `json:"kept"`
}

type changeJSON struct {
	Action     string         `json:"action"`
	Kind       string         `json:"kind"`
	Name       string         `json:"name"`
	Properties []propertyJSON `json:"properties"`
}

type propertyJSON struct {
	Name string         `json:"name"`
	Old  jsontext.Value `json:"old,omitzero"`
	New  jsontext.Value `json:"new,omitzero"`
}

func (q *request) answer(plan *trust.Plan, etag string) error {
	answer := planJSON{ETag: etag, Changes: make([]changeJSON, len(plan.Changes)), Kept: plan.Kept}
	for i := range plan.Changes {
		c := &plan.Changes[i]
		properties := make([]propertyJSON, len(c.Properties))
		for j, p := range c.Properties {
			properties[j] = propertyJSON{p.Name, value(p.Old), value(p.New)}
		}
		answer.Changes[i] = changeJSON{c.Action, c.Kind, c.Name, properties}
	}
	q.w.Header().Set("ETag", etag)
	writeJSON(q.w, http.StatusOK, answer, q.call)
	return nil
}

// value is a member's JSON; nil leaves the member out.
func value(json string) jsontext.Value {
	if json == "" {
		return nil
	}
	return jsontext.Value(json)
}

// errChanged says that the tenant changed since it was compared.
var errChanged = errors.New("the tenant has changed")

// attempts is how often a comparison is made outside the write, where nobody
// waits for it; if the tenant changed each time, the last one is made inside.
const attempts = 3

// apply makes the changes, all of them in one transaction. With If-Match it
// does so only to the contents that had that entity tag.
func (q *request) apply() error { return q.work(q.applyInput) }

func (q *request) applyInput(in input) error {
	for attempt := 1; ; attempt++ {
		s, err := q.state()
		if err != nil {
			return err
		}
		if err := q.checkMatch(s.contents); err != nil {
			return err
		}
		plan, err := q.diff(s, in)
		if err != nil {
			return err
		}
		if len(plan.Changes) > 0 {
			err = q.write(func(tx *store.Tx) error {
				plan, err = q.confirmed(tx, s, in, plan, attempt >= attempts)
				if err != nil {
					return err
				}
				for _, o := range q.passed {
					tx.RecordDetail(o.action, o.parent+"/federatedIdentityCredentials/"+o.name)
				}
				return execute(tx, plan)
			})
		}
		if errors.Is(err, errChanged) {
			continue
		}
		if err != nil {
			return err
		}
		return q.answer(plan, q.etag(plan.Result))
	}
}

// confirmed returns the plan if the tenant is as it was compared. If not, it
// is compared again on the last attempt.
func (q *request) confirmed(tx *store.Tx, s state, in input, plan *trust.Plan, last bool) (*trust.Plan, error) {
	mark, err := tx.Mark(q.r.Context(), s.tenant.ID)
	if err != nil || mark == s.mark {
		return plan, err
	}
	if !last {
		return nil, errChanged
	}
	s.mark = mark
	if s.tenant, err = tx.Tenant(q.r.Context(), s.tenant.ID); err != nil {
		return nil, err
	}
	if s.contents, err = tx.Contents(s.tenant.ID); err != nil {
		return nil, err
	}
	if err := q.checkMatch(s.contents); err != nil {
		return nil, err
	}
	return q.diff(s, in)
}

// checkMatch answers to If-Match and If-None-Match (RFC 9110 §13.1).
func (q *request) checkMatch(c *directory.Contents) error {
	asked, err := management.ReadPreconditions(q.r.Header)
	if err != nil || !asked.Any() || asked.Hold(q.etag(c)) {
		return err
	}
	return &problem{status: http.StatusPreconditionFailed, code: management.CodePreconditionFailed,
		message: "The tenant has changed since the plan was made. Make a new plan and look at it again."}
}

// write runs fn as one transaction with its audit rows.
func (q *request) write(fn func(*store.Tx) error) error {
	return q.writeAs(ActionApply, "tenants/"+q.call.Tenant.ID, fn)
}

// writeAs is write for another action and target.
func (q *request) writeAs(action, target string, fn func(*store.Tx) error) error {
	if check := q.call.StillAllowed; check != nil {
		if err := check(q.r.Context()); err != nil {
			return err
		}
	}
	err := q.cfg.DB.Write(q.r.Context(), store.Change{
		TenantID: q.call.Tenant.ID, PrincipalID: q.call.Caller.PrincipalID, ClientID: q.call.Caller.AppID,
		Via: "trust", CorrelationID: q.call.CorrelationID, Action: action, Target: target,
	}, fn)
	if err == nil && q.written != nil {
		q.written()
	}
	return err
}
