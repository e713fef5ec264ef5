package explain

import (
	"regexp"
	"slices"
	"strings"

	"cambio/internal/directory"
)

// subjectClass is the class of a subject that is not the credential's.
func (c *comparison) subjectClass(cr *directory.Credential) (Class, string) {
	expected := cr.Subject
	if class := spelling(expected, c.subject); class != "" {
		return class, ""
	}
	wanted := readGitHub(expected)
	if called, calling := c.workflows(); called != "" && !strings.EqualFold(called, calling) && namesWorkflow(expected, wanted, called) {
		return CalledWorkflow, workflowNote(called, calling)
	}
	if wanted != nil && c.github != nil && !wanted.custom() && !c.github.custom() {
		return c.gitHubClass(wanted)
	}
	if isGitHub(c.issuer) && isGitHub(cr.Issuer) {
		return c.customClass(expected, wanted)
	}
	return serviceAccountClass(expected, c.subject)
}

// acrossFields finds what shows in issuer and subject together.
func (c *comparison) acrossFields(cr *directory.Credential, out *Candidate) {
	if cr.Expression != nil || !azurePair(cr.Subject, c.subject) {
		return
	}
	for i := range out.Fields {
		if f := &out.Fields[i]; !f.Verdict.holds() && (f.Name == FieldIssuer || f.Name == FieldSubject) {
			f.Class = AzurePipelinesForm
			out.closeness += weightSubject / 4
		}
	}
}

// githubSubject is a subject of GitHub Actions in one of its default shapes.
type githubSubject struct {
	owner, ownerID, repo, repoID string
	context, value               string // environment, branch, tag, pull_request, ref or custom, and its name
}

var githubShape = regexp.MustCompile(`^repo:([^:/@]+)(?:@([0-9]+))?/([^:/@]+)(?:@([0-9]+))?:(.+)$`)

// The contexts of a GitHub subject.
const (
	contextEnvironment = "environment"
	contextBranch      = "branch"
	contextTag         = "tag"
	contextPullRequest = "pull_request"
	contextRef         = "ref"
	contextCustom      = "custom"
)

func readGitHub(subject string) *githubSubject {
	m := githubShape.FindStringSubmatch(subject)
	if m == nil {
		return nil
	}
	g := &githubSubject{owner: m[1], ownerID: m[2], repo: m[3], repoID: m[4], context: contextCustom, value: m[5]}
	for _, shape := range []struct{ prefix, context string }{
		{"environment:", contextEnvironment}, {"ref:refs/heads/", contextBranch}, {"ref:refs/tags/", contextTag}, {"ref:refs/pull/", contextPullRequest}, {"ref:", contextRef}} {
		if rest, ok := strings.CutPrefix(m[5], shape.prefix); ok {
			g.context, g.value = shape.context, rest
			break
		}
	}
	if m[5] == contextPullRequest {
		g.context, g.value = contextPullRequest, ""
	}
	return g
}

func (g *githubSubject) custom() bool { return g.context == contextCustom }

func (g *githubSubject) name() string { return g.owner + "/" + g.repo }

// sameNames reports whether both name one repository. GitHub ignores case.
func (g *githubSubject) sameNames(o *githubSubject) bool {
	return strings.EqualFold(g.name(), o.name())
}

func (g *githubSubject) sameContext(o *githubSubject) bool {
	return g.context == o.context && g.value == o.value
}

func (g *githubSubject) say() string {
	if g.value == "" {
		return g.context
	}
	return g.context + " " + g.value
}

// gitHubClass compares two default shapes: names, then ids, then contexts.
func (c *comparison) gitHubClass(wanted *githubSubject) (Class, string) {
	has := c.github
	ownerID, repoID := has.ownerID, has.repoID
	if ownerID == "" { // the claims say the ids even where the subject does not
		ownerID, repoID = c.id("repository_owner_id"), c.id("repository_id")
	}
	pinned, known := wanted.ownerID != "", ownerID != "" && repoID != ""
	sameIDs := pinned && known && wanted.ownerID == ownerID && wanted.repoID == repoID
	switch {
	case !wanted.sameNames(has) && !(sameIDs && wanted.sameContext(has)):
		return "", "another repository"
	case pinned && known && !sameIDs:
		return OtherOwner, "the credential pins owner " + wanted.ownerID + " and repository " + wanted.repoID + "; the token has " + ownerID + " and " + repoID
	case !wanted.sameContext(has):
		return contextClass(wanted, has)
	case !wanted.sameNames(has):
		return NameOrIDForm, "the repository of these ids was renamed from " + wanted.name() + " to " + has.name()
	case pinned:
		return NameOrIDForm, "the credential has the form with ids, the token the one with names"
	}
	return NameOrIDForm, "the token has the form with ids, the credential the one with names"
}

// contextClass compares contexts of one repository.
func contextClass(wanted, has *githubSubject) (Class, string) {
	note := "the credential wants " + wanted.say() + ", the token has " + has.say()
	switch {
	case wanted.context == has.context:
		return "", note
	case wanted.context == contextEnvironment || has.context == contextEnvironment:
		return EnvironmentOrRef, note
	}
	return OtherContext, note
}

// id is a claim that some send as a string and others as a number.
func (c *comparison) id(name string) string {
	value, kind := c.in.Token.claim(name)
	if kind != kindString && kind != "a number" {
		return ""
	}
	return value
}

// isGitHub reports whether an issuer is GitHub's or a GitHub Enterprise
// Server's.
func isGitHub(issuer string) bool {
	return issuer == githubIssuer || strings.HasPrefix(issuer, githubIssuer+"/") || strings.HasSuffix(issuer, "/_services/token")
}

const githubIssuer = "https://token.actions.githubusercontent.com"

// enterpriseOf reports whether an issuer is that of an enterprise of the
// other.
func enterpriseOf(issuer, of string) bool {
	slug, ok := strings.CutPrefix(issuer, githubIssuer+"/")
	return ok && slug != "" && !strings.Contains(slug, "/") && of == githubIssuer
}

// workflows are the repositories of the called workflow and of the one that
// called it; "" if the token does not say.
func (c *comparison) workflows() (called, calling string) {
	ref := c.in.Token.text("job_workflow_ref")
	parts := strings.SplitN(ref, "/", 3)
	calling = c.in.Token.text("repository")
	if len(parts) < 3 || calling == "" {
		return "", ""
	}
	return parts[0] + "/" + parts[1], calling
}

// namesWorkflow reports whether a credential's subject names the repository of
// the called workflow.
func namesWorkflow(expected string, wanted *githubSubject, called string) bool {
	if wanted != nil && strings.EqualFold(wanted.name(), called) {
		return true
	}
	return strings.EqualFold(readChain(expected)["repository"], called)
}

func workflowNote(called, calling string) string {
	return "the workflow is of " + called + ", and " + calling + " calls it"
}

var chainKey = regexp.MustCompile(`^[a-z][a-z_]*$`)

// readChain reads a subject that is made of claim names and values, as
// repository_owner:acme:environment:prod; nil if it is not.
func readChain(subject string) map[string]string {
	parts := strings.Split(subject, ":")
	if len(parts) < 2 || len(parts)%2 != 0 {
		return nil
	}
	chain := map[string]string{}
	for i := 0; i < len(parts); i += 2 {
		if !chainKey.MatchString(parts[i]) {
			return nil
		}
		chain[parts[i]] = parts[i+1]
	}
	return chain
}

// customClass compares subjects of which one is customised by what the claims
// say separately.
func (c *comparison) customClass(expected string, wanted *githubSubject) (Class, string) {
	customised := c.github == nil || c.github.custom()
	if wanted != nil && !wanted.custom() {
		if !customised || !c.saysSame(wanted) {
			return "", ""
		}
		return CustomSubject, "the repository sends a customised subject; its claims are those of the credential"
	}
	chain := readChain(expected)
	if chain == nil || readChain(c.subject) == nil && c.github == nil {
		return "", ""
	}
	var differ []string
	same := 0
	for key, value := range chain {
		switch has, known := c.chainValue(key); {
		case known && has == value:
			same++
		case known:
			differ = append(differ, key)
		}
	}
	slices.Sort(differ)
	switch {
	case slices.ContainsFunc(differ, func(k string) bool { return strings.HasPrefix(k, "repo") }):
		return "", "another repository"
	case len(differ) > 0:
		return "", "the claims differ in " + strings.Join(differ, ", ")
	case same == 0:
		return "", ""
	}
	return CustomSubject, "the subject is made of other claims than the credential's; those that it names have the same values"
}

// chainValue is what the token says of a part of a chain.
func (c *comparison) chainValue(key string) (string, bool) {
	if key == "repo" {
		key = "repository"
	}
	if value := c.id(key); value != "" {
		return value, true
	}
	value, ok := readChain(c.subject)[key]
	return value, ok
}

// saysSame reports whether the claims say what a default subject says.
func (c *comparison) saysSame(wanted *githubSubject) bool {
	if !strings.EqualFold(c.in.Token.text("repository"), wanted.name()) {
		return false
	}
	if id := c.id("repository_id"); wanted.repoID != "" && id != wanted.repoID {
		return false
	}
	switch wanted.context {
	case contextEnvironment:
		return c.in.Token.text("environment") == wanted.value
	case contextBranch:
		return c.in.Token.text("ref") == "refs/heads/"+wanted.value
	case contextTag:
		return c.in.Token.text("ref") == "refs/tags/"+wanted.value
	case contextPullRequest:
		return c.in.Token.text("event_name") == contextPullRequest
	}
	return c.in.Token.text("ref") == wanted.value
}

const serviceAccountPrefix = "system:serviceaccount:"

// serviceAccountClass compares the parts of service accounts.
func serviceAccountClass(expected, presented string) (Class, string) {
	has, ok := strings.CutPrefix(presented, serviceAccountPrefix)
	if !ok {
		return "", ""
	}
	namespace, name, _ := strings.Cut(has, ":")
	parts := strings.FieldsFunc(expected, func(r rune) bool { return r == ':' || r == '/' || r == '.' })
	for len(parts) > 0 && (parts[0] == "system" || strings.HasPrefix(parts[0], "serviceaccount")) {
		parts = parts[1:]
	}
	is := func(want ...string) bool { return slices.Equal(parts, want) }
	switch {
	case is(name, namespace):
		return ServiceAccountParts, "namespace and name are swapped"
	case is(namespace, name):
		return ServiceAccountParts, "the parts are right, and what stands around them is not"
	case is(name), is(namespace):
		return ServiceAccountParts, "a part is missing"
	case is(namespace, namespace+"-"+name), is(namespace, name, namespace), is(namespace, namespace, name), namespace+"-"+name == strings.Join(parts, "-"),
		len(parts) == 2 && parts[0] == namespace && namespace+"-"+parts[1] == name:
		return ServiceAccountParts, "the name is prefixed with the namespace"
	}
	return "", ""
}

// azurePair reports whether one subject has the old form of Azure Pipelines and
// the other one the new.
func azurePair(a, b string) bool {
	old := func(s string) bool { return strings.HasPrefix(s, "sc://") || strings.HasPrefix(s, "p://") }
	entra := func(s string) bool { return strings.HasPrefix(s, "/eid1/") }
	return old(a) && entra(b) || old(b) && entra(a)
}
