package explain

import (
	"slices"
	"strings"

	"cambio/internal/directory"
)

// Bounds of a comparison.
const (
	maxCompared   = 1000 // credentials of one client that are looked at
	maxCandidates = 3    // that are shown, the closest
)

// comparison compares one token with credentials.
type comparison struct {
	in        *Input
	issuer    string
	subject   string
	audiences []string
	github    *githubSubject // of the subject; nil: it is none
}

func newComparison(in *Input) *comparison {
	c := &comparison{in: in}
	c.issuer, c.subject = in.Token.text("iss"), in.Token.text("sub")
	c.audiences = in.Token.audiences()
	c.github = readGitHub(c.subject)
	return c
}

// compare fills in the candidates.
func (e *Explanation) compare(in *Input) {
	if in.Client == nil || in.Token == nil {
		return
	}
	e.Of = len(in.Client.Credentials)
	c := newComparison(in)
	if in.Credential != nil {
		e.Candidates = []Candidate{c.candidate(in.Credential)}
		e.Compared = 1
		return
	}
	chosen, among := c.selection()
	e.Compared = among
	all := make([]Candidate, len(chosen))
	for i, cr := range chosen {
		all[i] = c.candidate(cr)
	}
	e.Candidates = closest(all)
}

// closest are the candidates to show: the closest one, and others that come
// near or trust the issuer.
func closest(all []Candidate) []Candidate {
	slices.SortStableFunc(all, func(a, b Candidate) int {
		if n := b.closeness - a.closeness; n != 0 {
			return n
		}
		return strings.Compare(a.Name, b.Name)
	})
	n := 0
	for n < min(len(all), maxCandidates) && (n == 0 || all[n].Class != "" || all[n].Fields[0].Verdict.holds()) {
		n++
	}
	return all[:n]
}

// maxExamined is how many credentials are compared in full. Which ones is
// found out at a glance, since a client may have very many.
const maxExamined = 24

// selection is which credentials are compared in full, and among how many they
// were chosen.
func (c *comparison) selection() (chosen []*directory.Credential, among int) {
	client := c.in.Client
	all := client.Match(c.issuer, c.subject)
	all = all[:min(len(all), maxExamined)]
	exact := len(all)
	type glance struct {
		*directory.Credential
		alike int
	}
	among = min(len(client.Credentials), maxCompared)
	glances := make([]glance, 0, among)
	for i := range among {
		if cr := &client.Credentials[i]; !slices.Contains(all[:exact], cr) {
			glances = append(glances, glance{cr, c.glance(cr)})
		}
	}
	slices.SortStableFunc(glances, func(a, b glance) int { return b.alike - a.alike })
	chosen = slices.Clone(all)
	for _, g := range glances[:min(len(glances), maxExamined-exact)] {
		chosen = append(chosen, g.Credential)
	}
	return chosen, among
}

// glance is how much issuer and subject have in common at both ends.
func (c *comparison) glance(cr *directory.Credential) int {
	n := commonPrefix(c.issuer, cr.Issuer) + 2*commonPrefix(c.subject, cr.Subject) + commonSuffix(c.subject, cr.Subject)
	if cr.Issuer == c.issuer || slices.Contains(c.in.Sets, cr.Issuer) {
		n += weightSubject
		if cr.Expression != nil {
			n += weightAudience
		}
	}
	return n
}

// candidate compares all fields of one credential.
func (c *comparison) candidate(cr *directory.Credential) Candidate {
	out := Candidate{ID: cr.ID, Name: cr.Name}
	issuer, closeness := c.compareIssuer(cr)
	out.Fields, out.closeness = append(out.Fields, issuer), closeness
	subject, closeness := c.compareSubject(cr)
	out.Fields, out.closeness = append(out.Fields, subject...), out.closeness+closeness
	audience, closeness := c.compareAudience(cr)
	out.Fields, out.closeness = append(out.Fields, audience), out.closeness+closeness
	c.acrossFields(cr, &out)
	if len(out.differing()) == 0 {
		out.State = c.state(cr)
	}
	out.Class = out.class()
	return out
}

// class is that of the first field that has one, if every field that differs
// has one: a credential that differs in a way that no class explains is not
// near.
func (c *Candidate) class() Class {
	differing := c.differing()
	if len(differing) == 0 && c.State != "" {
		return CredentialState
	}
	var class Class
	for _, f := range differing {
		switch {
		case f.Class == OtherOwner:
			return OtherOwner // the one that must not be overlooked
		case f.Class == "":
			return ""
		case class == "":
			class = f.Class
		}
	}
	return class
}

// Weights of what is alike.
const (
	weightIssuer   = 400
	weightSubject  = 300
	weightAudience = 60
	weightPrefix   = 40 // for what subjects have in common at their beginning
)

// weigh gives a field that is near most of its weight.
func weigh(f *Field, weight int) int {
	switch {
	case f.Verdict.holds():
		return weight
	case f.Class != "":
		return weight * 3 / 4
	}
	return 0
}

func (c *comparison) compareIssuer(cr *directory.Credential) (Field, int) {
	f := Field{Name: FieldIssuer, Presented: c.issuer, Expected: cr.Issuer, Verdict: Differs}
	switch {
	case cr.Issuer == c.issuer:
		f.Verdict = Equal
	case slices.Contains(c.in.Sets, cr.Issuer):
		f.Verdict = Matches
	case slices.Contains(c.in.ClosedSets, cr.Issuer):
		f.Class, f.Note = CredentialState, "the issuer is a member of this set, but not at this time"
	case enterpriseOf(cr.Issuer, c.issuer) || enterpriseOf(c.issuer, cr.Issuer):
		f.Class = EnterpriseIssuer
	case cr.Expression == nil && cr.Subject == c.subject && strings.HasPrefix(c.subject, serviceAccountPrefix):
		if f.Class = spelling(cr.Issuer, c.issuer); f.Class == "" {
			f.Class = OtherCluster
		}
	default:
		f.Class = spelling(cr.Issuer, c.issuer)
	}
	return f, weigh(&f, weightIssuer)
}

func (c *comparison) compareSubject(cr *directory.Credential) ([]Field, int) {
	if cr.Expression != nil {
		return c.compareTerms(cr)
	}
	f := Field{Name: FieldSubject, Presented: c.subject, Expected: cr.Subject, Verdict: Differs}
	if cr.Subject == c.subject {
		f.Verdict = Equal
		return []Field{f}, weightSubject
	}
	f.Class, f.Note = c.subjectClass(cr)
	n := weigh(&f, weightSubject)
	return []Field{f}, n + min(weightPrefix, commonPrefix(c.subject, cr.Subject))
}

// compareTerms compares each term of an expression.
func (c *comparison) compareTerms(cr *directory.Credential) ([]Field, int) {
	terms := cr.Expression.Terms()
	out := make([]Field, len(terms))
	n := 0
	for i, t := range terms {
		f := &out[i]
		*f = Field{Name: "claims['" + t.Claim + "']", Operator: t.Operator, Expected: t.Comparand, Verdict: Differs}
		value, kind := c.in.Token.claim(t.Claim)
		f.Presented = value
		switch {
		case kind == kindAbsent:
			f.Verdict = Absent
		case kind != kindString:
			f.Verdict, f.Class, f.Note = OtherType, ClaimType, "the claim is "+kind+", and only strings are compared"
		case t.SatisfiedBy(value):
			f.Verdict = Equal
			if t.Operator == "matches" {
				f.Verdict = Matches
			}
		default:
			f.Class, f.Note = c.termClass(t, value)
		}
		n += weigh(f, weightSubject/len(terms))
	}
	return out, n
}

// termClass is the class of a term that a string does not satisfy.
func (c *comparison) termClass(t directory.ExpressionTerm, value string) (Class, string) {
	if t.Operator == "matches" {
		switch {
		case t.Foldable(value):
			return CaseOnly, ""
		case t.SatisfiedBy(cleaned(value)):
			return LookAlike, ""
		}
	} else if class := spelling(t.Comparand, value); class != "" {
		return class, ""
	}
	called, calling := c.workflows()
	switch {
	case called == "" || strings.EqualFold(called, calling):
	case t.Claim == "repository" && strings.EqualFold(strings.Trim(t.Comparand, "*?"), called),
		t.Claim == "job_workflow_ref" && strings.HasPrefix(strings.ToLower(t.Comparand), strings.ToLower(calling)+"/"),
		t.Claim == "sub" && strings.HasPrefix(strings.ToLower(t.Comparand), "repo:"+strings.ToLower(called)+":"):
		return CalledWorkflow, workflowNote(called, calling)
	}
	return "", ""
}

func (c *comparison) compareAudience(cr *directory.Credential) (Field, int) {
	f := Field{Name: FieldAudience, Presented: strings.Join(c.audiences, ", "), Expected: strings.Join(cr.Audiences, ", "), Verdict: Differs}
	for _, a := range c.audiences {
		if slices.Contains(cr.Audiences, a) {
			f.Verdict = Equal
			return f, weightAudience
		}
	}
	for _, a := range c.audiences {
		for _, want := range cr.Audiences {
			if class := spelling(want, a); class != "" && f.Class == "" {
				f.Class = class
			}
		}
	}
	if f.Class == "" {
		f.Class, f.Note = audienceClass(c.audiences)
	}
	return f, weigh(&f, weightAudience)
}

// state says why a credential that matches does not count.
func (c *comparison) state(cr *directory.Credential) string {
	if made := c.in.Created[cr.ID]; !made.IsZero() && made.After(c.in.At) {
		return "it was created at " + stamp(made) + ", after the request"
	}
	l := cr.Ceilings
	switch {
	case l == nil:
		return ""
	case l.Disabled:
		return StateDisabled
	case c.in.At.Before(l.NotBefore):
		return "it is valid from " + stamp(l.NotBefore) + " on"
	case !l.Open(c.in.At):
		return "it was valid until " + stamp(l.NotAfter)
	case l.ReportOnly:
		return StateReportOnly
	}
	return ""
}

// StateDisabled is the state of a credential that is disabled.
const StateDisabled = "it is disabled"

// StateReportOnly is that of one that only reports: but for it, the token would
// have been accepted.
const StateReportOnly = "it only reports"

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func commonSuffix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}
