package explain

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"cambio/internal/directory"
	"cambio/internal/oauth"
)

// Advise says in words what the explanation holds, and what to change. It
// depends on nothing else, so that it can be done again for one that was
// stored.
func (e *Explanation) Advise() {
	e.Summary, e.Fix = "", nil
	if e.Allowed {
		e.Summary = "Allowed."
		if len(e.Candidates) > 0 {
			e.Summary = "Allowed by the credential " + e.Candidates[0].Name + "."
		}
		return
	}
	if advise, ok := advices[e.Class]; ok {
		advise(e)
		return
	}
	e.plain()
}

// say sets the summary and the fix; the command may be empty.
func (e *Explanation) say(summary, fix, command string) {
	e.Summary, e.Fix = summary, &Fix{fix, command}
}

var advices = map[Class]func(*Explanation){
	CaseOnly: func(e *Explanation) {
		e.differs("differs in upper and lower case only", "Write it as the token has it")
	},
	IssuerSpelling: func(e *Explanation) { e.differs("is the same URL in another spelling", "Write it as the token has it") },
	LookAlike: func(e *Explanation) {
		e.differs("looks the same and has other characters", "Copy it from the token, unless the token's value is the odd one")
	},
	NameOrIDForm: (*Explanation).adviseForm,
	OtherOwner:   (*Explanation).adviseOwner,
	EnvironmentOrRef: func(e *Explanation) {
		e.differs("names another context of the same repository", "Change the job; or, if jobs like this one are to be trusted instead, the credential")
	},
	OtherContext: func(e *Explanation) {
		e.differs("names another kind of ref of the same repository", "Run the job where the credential says; or, if jobs like this one are to be trusted instead, change the credential. Pull requests run their authors' code")
	},
	CustomSubject: func(e *Explanation) {
		e.differs("is customised by the repository", "Write it as the token has it, or reset the repository's subject to the default")
	},
	CalledWorkflow: func(e *Explanation) {
		e.differs("names the calling repository, the credential that of the reusable workflow", "Name the calling repository; an expression on job_workflow_ref says which workflow")
	},
	OtherAudience: (*Explanation).adviseAudience,
	OtherIdentity: (*Explanation).adviseElsewhere,
	OtherCluster:  (*Explanation).adviseCluster,
	ServiceAccountParts: func(e *Explanation) {
		e.differs("is the service account in other parts", "Write system:serviceaccount:NAMESPACE:NAME, as the token has it")
	},
	EnterpriseIssuer: func(e *Explanation) {
		e.differs("differs by the enterprise at its end", "Write the issuer that is in the tokens")
	},
	AzurePipelinesForm: (*Explanation).adviseAzure,
	Expired:            (*Explanation).adviseExpired,
	LifetimeOrTimes:    (*Explanation).adviseLifetime,
	UnknownKey:         (*Explanation).adviseKey,
	FetchFailed:        (*Explanation).adviseFetch,
	AlgorithmRefused:   (*Explanation).adviseAlgorithm,
	ClaimType:          (*Explanation).adviseType,
	CredentialState:    (*Explanation).adviseState,
	TenantPolicy:       (*Explanation).advisePolicy,
	OwnToken:           (*Explanation).adviseOwnToken,
}

// best is the closest credential and its field that the class is about.
func (e *Explanation) best() (*Candidate, *Field) {
	if len(e.Candidates) == 0 {
		return nil, nil
	}
	c := &e.Candidates[0]
	for i := range c.Fields {
		if c.Fields[i].Name == e.Field && !c.Fields[i].Verdict.holds() {
			return c, &c.Fields[i]
		}
	}
	return c, nil
}

// differs is the advice to set the field as the token has it.
func (e *Explanation) differs(how, fix string) {
	c, f := e.best()
	if f == nil {
		e.plain()
		return
	}
	note := ""
	if f.Note != "" {
		note = " (" + f.Note + ")"
	}
	e.say("The "+f.Name+" of the token "+how+note+", beside the credential "+c.Name+".", fix+".", e.update(c))
}

// update is the command that gives a credential what the token has, in every
// field that differs. It is empty when that cannot be said: the field is a
// claim of an expression, the value was cut off, or the token has it in a form
// that a shell would not keep.
func (e *Explanation) update(c *Candidate) string {
	args := []string{"cambio", "credential", "update", c.Name}
	args = append(args, e.holder()...)
	for _, f := range c.differing() {
		flag := map[string]string{FieldIssuer: "--issuer", FieldSubject: "--subject", FieldAudience: "--audience"}[f.Name]
		value := f.Presented
		if f.Name == FieldAudience {
			value, _, _ = strings.Cut(value, ", ")
		}
		switch {
		case flag == "", value == "", strings.HasSuffix(value, cutMark), f.Name == FieldIssuer && directory.IsIssuerSetReference(f.Expected):
			return ""
		case f.Class == LookAlike && odd(value), f.Class == OtherOwner:
			return "" // the token's value is the one to wonder about
		case f.Class == OtherContext && strings.HasSuffix(value, ":"+contextPullRequest):
			return "" // whoever can open a pull request would be trusted
		}
		args = append(args, flag, value)
	}
	return shell(args)
}

// holder are the flags that say whose credential it is.
func (e *Explanation) holder() []string {
	if e.Client.Kind == directory.KindManagedIdentity {
		return []string{"--identity", e.Client.ID}
	}
	return []string{"--app", e.Client.ID}
}

func unseen(r rune) bool { return !unicode.IsPrint(r) }

// odd reports whether a value has characters that a person could take for
// others.
func odd(value string) bool {
	return strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' || r == '%' })
}

// shell writes a command for a POSIX shell; "" when an argument holds what
// does not show.
func shell(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		if strings.ContainsFunc(a, unseen) {
			return ""
		}
		quoted[i] = a
		if a == "" || strings.ContainsFunc(a, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@=,+%", r))
		}) {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

func (e *Explanation) adviseForm() {
	e.differs("names the repository in the other form", "Write the subject as the token has it, after comparing its ids with those of your repository: gh api repos/OWNER/NAME --jq '.owner.id, .id'")
}

// adviseOwner proposes nothing: who changes the credential without a look
// trusts whoever took the name over.
func (e *Explanation) adviseOwner() {
	c, f := e.best()
	note := ""
	if f != nil {
		note = ": " + f.Note
	}
	name := ""
	if c != nil {
		name = c.Name
	}
	e.say("The names are those of the credential "+name+", the immutable ids are not"+note+". The name may have been given to somebody else.",
		"Do not change the credential before you know whose repository it is. If it is yours and was made anew, set the new subject by hand; if it is not, the refusal kept a stranger out.", "")
}

func (e *Explanation) adviseAudience() {
	c, f := e.best()
	if f == nil {
		e.plain()
		return
	}
	e.say(fmt.Sprintf("The token's audience %s is %s; the credential %s has %s.", f.Presented, strings.TrimSuffix(f.Note, "."), c.Name, f.Expected),
		"Let the workload ask its platform for the audience "+f.Expected+". Do not add the other one to the credential: tokens with it are given to others, who could present them here.", "")
}

func (e *Explanation) adviseElsewhere() {
	if e.Elsewhere == nil || e.Elsewhere.ClientID == "" {
		e.say("Issuer and subject are those of a credential of another identity of this tenant, which you may not see.",
			"Send that identity's client_id, or give this one a credential of its own.", "")
		return
	}
	e.say(fmt.Sprintf("Issuer and subject are those of the credential %s of %s (%s); the token was presented for %s.", e.Elsewhere.Credential, e.Elsewhere.Identity, e.Elsewhere.ClientID, e.Client.ID),
		"Send client_id "+e.Elsewhere.ClientID+", or give this identity a credential of its own.", "")
}

func (e *Explanation) adviseCluster() {
	c, f := e.best()
	if f == nil {
		e.plain()
		return
	}
	if directory.IsIssuerSetReference(f.Expected) {
		set := setName(f.Expected)
		e.say(fmt.Sprintf("The service account is that of the credential %s, and its cluster, %s, is no member of the set %s.", c.Name, f.Presented, set),
			"If the cluster is to be trusted, add its issuer to the set; `cambio issuer set put` replaces all members.", "")
		return
	}
	e.say(fmt.Sprintf("The service account is that of the credential %s, of another cluster: %s.", c.Name, f.Presented),
		"If the cluster was rebuilt, name the new issuer. If both clusters are to be trusted, make a set of issuers: `cambio issuer set put`.", e.update(c))
}

func (e *Explanation) adviseAzure() {
	c, f := e.best()
	if f == nil {
		e.plain()
		return
	}
	e.say("Azure Pipelines sends the issuer and subject of its other form; the credential "+c.Name+" was made for the first one.",
		"Copy issuer and subject from the service connection; they are those of the token.", e.update(c))
}

func (e *Explanation) adviseExpired() {
	summary := "The token expired at " + stamp(e.Times.Expires) + ", " + e.Times.Now.Sub(e.Times.Expires).Round(1e9).String() + " before it was presented."
	if !e.Earlier.IsZero() {
		summary += " The same token was accepted at " + stamp(e.Earlier) + "."
	}
	e.say(summary, "Fetch a fresh token just before the exchange. A job that runs for long must fetch another one; a file must be read again each time.", "")
}

func (e *Explanation) adviseLifetime() {
	switch {
	case e.Field == "iat":
		e.say("The token has no iat, which counts as 1970, so that its lifetime is too long.",
			"If the platform sends none (JWT-SVIDs), name the issuer in issuers.issued_at_optional of the server's configuration.", "")
	case e.Times.Expires.IsZero():
		e.say("The token has no exp.", "Let the platform issue tokens that expire.", "")
	default:
		e.say(fmt.Sprintf("The token lives for %s; at most %s are accepted.", e.Times.Expires.Sub(e.Times.IssuedAt), longestLife),
			"Ask the platform for tokens that live for a shorter time; minutes are enough.", "")
	}
}

func (e *Explanation) adviseKey() {
	look := shell([]string{"cambio", "issuer", "check", e.Issuer.Presented})
	if e.Issuer.Keys != NotManaged && e.Issuer.Keys != "" {
		look = shell([]string{"cambio", "issuer", "keys", e.Issuer.Presented})
	}
	kid := "The issuer publishes no key with the kid " + e.Key.ID
	if e.Key.ID == "" {
		kid = "The token names no key, and none fits"
	}
	switch {
	case e.Code == int(oauth.SignatureInvalid):
		kid = "The signature is not that of the key " + e.Key.ID + " that is kept with the issuer"
	case e.Key.State == KeyWithdrawn:
		kid += "; it did until " + stamp(e.Key.LastSeen)
	case e.Key.State == KeyPublished:
		kid = "The key " + e.Key.ID + " waits for approval"
	case e.Issuer.Keys == directory.IssuerPin:
		kid = "The keys that are pinned have none with the kid " + e.Key.ID
	case e.Issuer.Keys == directory.IssuerPush:
		kid = "The keys that were pushed last have none with the kid " + e.Key.ID
	}
	if !e.Issuer.KeysAt.IsZero() {
		kid += " (they are of " + stamp(e.Issuer.KeysAt) + ")"
	}
	fix := "Compare with what the issuer publishes now. A token that is older than the issuer's last rotation must be fetched anew."
	switch {
	case e.Key.State == KeyPublished:
		fix = "Compare the thumbprint with what the issuer's owner says, and approve it with `cambio issuer keys approve`."
	case e.Issuer.Keys == directory.IssuerPin:
		fix = "Compare with what the issuer publishes now; if it changed its keys, pin the new ones: `cambio issuer update --jwks-file`."
	case e.Issuer.Keys == directory.IssuerPush:
		fix = "See whether `cambio issuer push` still runs beside the issuer."
	}
	e.say(kid+".", fix, look)
}

func (e *Explanation) adviseFetch() {
	summary, fix := "The issuer's keys could not be had.", "Let an operator look at it from the server's host."
	if f := e.Issuer.Fetch; f != nil {
		summary = "The issuer's keys could not be had: " + f.Text + "."
		if f.URL != "" {
			summary += " The request was for " + f.URL + "."
		}
		if hint, known := fetchHints[f.Reason]; known {
			fix = hint
		}
	}
	look := []string{"cambio", "issuer", "check", e.Issuer.Presented}
	if e.Issuer.Keys == directory.IssuerBundle {
		look = []string{"cambio", "issuer", "keys", e.Issuer.Presented}
	}
	e.say(summary, fix, shell(look))
}

// fetchHints are by the reason, as package oidc names them.
var fetchHints = map[string]string{
	"unreachable":         "Check the name in DNS, the port, and firewalls or a proxy between the server and the issuer. An issuer that nobody can reach can have its keys pinned or pushed: `cambio issuer create`.",
	"timeout":             "Check firewalls and a proxy between the server and the issuer.",
	"tls":                 "Let the server trust the issuer's certificate authority (issuers.ca_file, or --ca-file of `cambio issuer create`), or mend the certificate.",
	"address_not_allowed": "The issuer is on a private address. Permit it: issuers.allow_addresses in the configuration, or --allow-address of `cambio issuer create`.",
	"redirect":            "Use the issuer's real URL; redirects are not followed.",
	"status":              "Open the URL: the document is not there. Is the issuer written exactly as its documents are published?",
	"invalid_json":        "Open the URL: it answers with something else than the document, often a page in HTML.",
	"issuer_mismatch":     "The document says another issuer than the token. Compare them byte for byte; a slash at the end counts.",
	"invalid_bundle":      "Open the URL: it must be the SPIFFE bundle of the trust domain, which SPIRE serves under federation.bundle_endpoint.",
	"issuer_invalid":      "A SPIFFE trust domain has nothing to discover: `cambio issuer create spiffe://… --bundle-endpoint URL`.",
	"no_usable_keys":      "The key set has no key that is accepted; `cambio issuer check` says why of each.",
}

func (e *Explanation) adviseAlgorithm() {
	e.say(fmt.Sprintf("The token is signed with %s; accepted are %s.", e.Key.Algorithm, strings.Join(e.Accepted, ", ")),
		"Let the issuer sign with one of these. Strict tenants accept RSA only, as Entra does: `cambio tenant update --compat relaxed`; a managed issuer has its own list: `cambio issuer update --alg`.", "")
}

func (e *Explanation) adviseType() {
	c, f := e.best()
	switch {
	case f != nil && c != nil:
		e.say(fmt.Sprintf("The credential %s compares %s, and %s.", c.Name, f.Name, f.Note), "Let the platform send the claim as a string, or compare another claim.", "")
	case e.Policy != "":
		e.say(fmt.Sprintf("A policy of the tenant requires %s to be one of %s; in the token it is no string.", e.Field, strings.Join(e.Accepted, ", ")), "Let the platform send the claim as a string.", "")
	default:
		e.say(fmt.Sprintf("The claim %s is %s and must be %s.", e.Field, e.Claims[e.Field], strings.Join(e.Accepted, " or ")), "Let the platform send what the standard says (RFC 7519 section 4.1).", "")
	}
}

func (e *Explanation) adviseState() {
	c, f := e.best()
	if c == nil {
		e.plain()
		return
	}
	if f != nil {
		e.say(fmt.Sprintf("The credential %s does not count now: %s.", c.Name, f.Note), "Change the time of the member with `cambio issuer set put`.", "")
		return
	}
	args := append([]string{"cambio", "credential", "update", c.Name}, e.holder()...)
	fix, command := "Change its window.", shell(append(slices.Clone(args), "--not-before", "", "--not-after", ""))
	switch {
	case c.State == StateDisabled:
		fix, command = "Enable it, if whoever disabled it agrees.", shell(append(slices.Clone(args), "--enable"))
	case c.State == StateReportOnly:
		fix, command = "But for that the token would be accepted. Let the credential issue tokens, if what it reported is what was meant.", shell(append(slices.Clone(args), "--report-only=false"))
	case strings.Contains(c.State, "created"):
		fix, command = "Try again: it counts from the moment its creation returned.", ""
	}
	e.say(fmt.Sprintf("The credential %s matches, and does not count: %s.", c.Name, c.State), fix, command)
}

func (e *Explanation) advisePolicy() {
	if e.Policy == "federationPolicy.disabled" {
		e.say("Federation is disabled by the tenant's policy.", "An administrator lifts it.", "cambio tenant update --federation enabled")
		return
	}
	if e.Policy == "federationPolicy.allowedIssuers" {
		e.say(fmt.Sprintf("The tenant's policy (%s) allows tokens of these issuers only: %s.", e.Policy, strings.Join(e.Accepted, ", ")),
			"Use a workload of one of them, or have an administrator add the issuer.", "")
		return
	}
	e.say(fmt.Sprintf("The tenant's policy (%s) requires %s to be one of: %s.", e.Policy, e.Field, strings.Join(e.Accepted, ", ")),
		"Let the platform put the claim into its tokens, or have an administrator change federationPolicy of the organization.", "")
}

func (e *Explanation) adviseOwnToken() {
	if strings.EqualFold(e.Issuer.Presented, e.Client.ID) {
		e.say("The client signed the assertion itself; certificates cannot be registered here.", "Present the token of the workload's own platform.", "")
		return
	}
	e.say("The token was issued by this server, whose tokens are never accepted as assertions.", "Present the token of the workload's own platform.", "")
}

// plain is the advice without a class.
func (e *Explanation) plain() {
	c, f := e.best()
	switch {
	case e.Code == int(oauth.NoFederatedCredential):
		e.say("The client has no federated identity credential.", "Create one, or send the client id that has one.",
			shell(append(append([]string{"cambio", "credential", "create"}, e.holder()...), "--from-token", "FILE")))
	case mismatched(oauth.Code(e.Code)) && f != nil:
		note := ""
		if f.Note != "" {
			note = ": " + f.Note
		}
		e.say(fmt.Sprintf("No credential comes near the token; the closest, %s, has another %s%s.", c.Name, f.Name, note), "If this workload is to be trusted, make a credential for it.",
			shell(append(append([]string{"cambio", "credential", "create"}, e.holder()...), "--from-token", "FILE")))
	case e.Code == int(oauth.AssertionOutsideValidity):
		e.say("The token is not valid yet: the server's clock says "+stamp(e.Times.Now)+".", "Compare the clocks of the issuer and of the server.", "")
	case e.Code == int(oauth.SignatureInvalid):
		e.say("The signature does not verify with the issuer's key.", "Send the token unmodified, and see whether it is this issuer's.", shell([]string{"cambio", "issuer", "check", e.Issuer.Presented}))
	case e.Code != 0:
		row := oauth.Lookup(oauth.Code(e.Code))
		e.say(row.Cause, row.Remedy, "")
	}
}
