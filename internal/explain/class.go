package explain

import "strings"

// Class is a class of near miss, NM1 to NM24; empty: none of them.
type Class string

// The classes. Each is a row of Classes.
const (
	CaseOnly            Class = "NM1"
	IssuerSpelling      Class = "NM2"
	LookAlike           Class = "NM3"
	NameOrIDForm        Class = "NM4"
	OtherOwner          Class = "NM5"
	EnvironmentOrRef    Class = "NM6"
	OtherContext        Class = "NM7"
	CustomSubject       Class = "NM8"
	CalledWorkflow      Class = "NM9"
	OtherAudience       Class = "NM10"
	OtherIdentity       Class = "NM11"
	OtherCluster        Class = "NM12"
	ServiceAccountParts Class = "NM13"
	EnterpriseIssuer    Class = "NM14"
	AzurePipelinesForm  Class = "NM15"
	Expired             Class = "NM16"
	LifetimeOrTimes     Class = "NM17"
	UnknownKey          Class = "NM18"
	FetchFailed         Class = "NM19"
	AlgorithmRefused    Class = "NM20"
	ClaimType           Class = "NM21"
	CredentialState     Class = "NM22"
	TenantPolicy        Class = "NM23"
	OwnToken            Class = "NM24"
)

// ClassRow describes a class in docs/near-misses.md.
type ClassRow struct {
	Class  Class
	Title  string
	Found  string // how it is found out
	Remedy string
}

// Classes returns the rows of all classes. The caller owns the slice.
func Classes() []ClassRow { return append([]ClassRow(nil), classes[:]...) }

// Title is what a class is called; empty for none.
func (c Class) Title() string {
	for i := range classes {
		if classes[i].Class == c {
			return classes[i].Title
		}
	}
	return ""
}

// Markdown renders docs/near-misses.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Near misses\n\nGenerated from the program by `make generate`; do not edit.\n\n" +
		"An explanation ([explain.md](explain.md)) names the class of near miss that a refusal belongs to, if it belongs to one. " +
		"All are found from the stored rules and the presented claims alone. Where a command can mend it, the explanation has that command; it never has one for NM5.\n\n" +
		"| class | what it is | how it is found | what to do |\n|---|---|---|---|\n")
	for _, c := range classes {
		b.WriteString("| " + string(c.Class) + " | " + c.Title + " | " + c.Found + " | " + c.Remedy + " |\n")
	}
	return b.String()
}

// classes is never written to.
var classes = [...]ClassRow{
	{CaseOnly, "upper and lower case", "the values are equal if case is ignored", "Write the value exactly as the token has it."},
	{IssuerSpelling, "spelling of a URL", "the URLs are equal without slashes at the end, double slashes, scheme and default port", "Write the URL exactly as the token has it; a slash at the end counts."},
	{LookAlike, "white space, percent-encoding or look-alike characters", "the values are equal once trimmed, unescaped and brought to one form (Unicode NFKC, and letters that look like Latin ones)", "Copy the value from a token. Ask where a look-alike letter came from."},
	{NameOrIDForm, "names or immutable ids (GitHub)", "both subjects name the same repository, one of them with `@id`", "Set the subject to the form that the repository sends, after comparing the ids with those of your repository."},
	{OtherOwner, "the names are the same, the ids are not (GitHub)", "owner or repository has another id than the credential pins: the name was given to somebody else, or the repository was made anew", "Nothing is proposed. Find out whose repository it is first; it may be an attack."},
	{EnvironmentOrRef, "environment instead of branch, or the reverse", "same repository; one subject names an environment, the other one a ref", "A job with an `environment` sends that and no ref. Change the job, or the credential's subject."},
	{OtherContext, "pull request, branch or tag", "same repository; the subjects name another kind of ref", "Run the job where the credential says, or make a credential of its own. Pull requests run their authors' code."},
	{CustomSubject, "customised subject", "the subject is a chain of claim names and values, and the claims are those of the credential", "Set the credential's subject to the one that is sent, or reset the repository's subject to the default."},
	{CalledWorkflow, "calling or called workflow", "the credential names the repository of the reusable workflow, the subject names the one that called it", "Name the calling repository; `claims['job_workflow_ref']` in an expression says which workflow."},
	{OtherAudience, "audience of another service or cloud", "the audience is GitHub's default, another cloud's, or one that other services take", "Ask the platform for the credential's audience."},
	{OtherIdentity, "the credential is another identity's", "issuer and subject are exactly those of a credential of another application or managed identity of the tenant", "Send the client id of that identity, or give this one a credential of its own."},
	{OtherCluster, "another cluster", "the same service account, of another issuer", "If the new cluster is to be trusted, name its issuer, or put it into a set of issuers."},
	{ServiceAccountParts, "parts of a service account", "namespace and name are swapped, incomplete or prefixed", "Write `system:serviceaccount:NAMESPACE:NAME`."},
	{EnterpriseIssuer, "issuer of a GitHub enterprise", "the issuers differ by the enterprise at the end", "Write the issuer that is in the tokens."},
	{AzurePipelinesForm, "old or new form of Azure Pipelines", "`sc://…` of vstoken.dev.azure.com against `/eid1/…` of login.microsoftonline.com", "Copy issuer and subject from the service connection."},
	{Expired, "expired", "`exp` has passed", "Fetch a fresh token just before the exchange; a long job fetches another one."},
	{LifetimeOrTimes, "lifetime too long, or `exp` or `iat` missing", "arithmetic on the times", "Ask the platform for shorter tokens; allow a missing `iat` for the issuer in the configuration."},
	{UnknownKey, "unknown key", "the issuer does not publish the `kid`, or its pinned keys are older", "Compare the keys: `cambio issuer keys`, or `cambio issuer check`. Pin the new ones."},
	{FetchFailed, "the issuer could not be asked", "the error of the request, with the URL", "`cambio issuer check ISSUER`, on the server's host."},
	{AlgorithmRefused, "algorithm", "the header's `alg` against what tenant and issuer accept", "Let the issuer sign with an algorithm that is accepted."},
	{ClaimType, "type of a claim", "the claim is a number, boolean, list or object where text is compared", "Let the platform send it as a string, or compare another claim."},
	{CredentialState, "disabled, outside of its time, or made afterwards", "the credential matches but for its ceilings, the time of a set's member, or the time of its creation", "Enable the credential, or change its window; or try again."},
	{TenantPolicy, "policy of the tenant", "federation is disabled, the issuer is not allowed, or a required claim is missing", "An administrator changes the tenant's federation policy."},
	{OwnToken, "self-signed, or issued by this server", "`iss` is the client's id, or this server", "Present the token of the workload's own platform."},
}
