package lint

import "slices"

// Rule is one thing that is looked for.
type Rule struct {
	ID     string // L1 to L27
	Title  string
	Level  Level // unless the tenant grades it otherwise
	Remedy string
	Needs  string // what must be known beside the configuration; empty: nothing
	check  func(*subject) []hit
}

const (
	needsRoles  = "app roles of the client"
	needsUsage  = "recorded decisions"
	needsIssuer = "issuers of the tenant"
)

// Rules lists the rules in their order. They are not the caller's to change.
func Rules() []Rule { return rules }

// Find returns the rule with an id, nil if there is none.
func Find(id string) *Rule {
	if i := slices.IndexFunc(rules, func(r Rule) bool { return r.ID == id }); i >= 0 {
		return &rules[i]
	}
	return nil
}

var rules = []Rule{
	{"L1", "Shared issuer, and nothing says whose token", Block, "Compare a claim that only your organisation can have, best by its immutable id.", "", sharedIssuer},
	{"L2", "Wildcard crosses the owner's boundary", Block, "Write the owner's whole name up to the next separator, as in repo:acme/shop:*.", "", crossesOwner},
	{"L3", "All repositories of an owner", Warn, "Name the repository or project, or a claim that only the right ones have.", "", wholeOwner},
	{"L4", "Names only, though immutable ids exist", Warn, "Let the subject hold the ids, or compare them too; docs/profiles.md says how.", "", nameOnly},
	{"L5", "Pull requests with more than read rights", Block, "Give pull requests an identity of their own that can only read, or bind the credential to a branch or environment.", needsRoles, pullRequests},
	{"L6", "pull_request_target", Block, "Leave pull_request_target out.", "", pullRequestTargets},
	{"L7", "Environment whose protection is not known", Info, "Make sure that the environment has required reviewers or allowed branches.", "", unknownProtection},
	{"L8", "Wildcard for branches with more than read rights", Warn, "Name the branch, or bind the credential to an environment.", needsRoles, branchWildcard},
	{"L9", "Reusable workflow by branch or tag", Warn, "Name the reusable workflow by the whole hash of a commit.", "", floatingWorkflow},
	{"L10", "Service account default", Warn, "Give the workload a service account of its own.", "", defaultServiceAccount},
	{"L11", "Wildcard for namespaces", Warn, "Name the namespace.", "", wildcardNamespace},
	{"L12", "Nothing but names that people choose", Block, "Compare an id, or what the platform assigns, as well.", "", mutableOnly},
	{"L13", "Self-hosted runners not excluded", Info, "Compare runner_environment with github-hosted in an expression, unless self-hosted runners are meant.", needsRoles, selfHosted},
	{"L14", "Unprotected branches or merge requests of GitLab", Warn, "Compare ref_protected with true in an expression.", needsRoles, unprotectedRef},
	{"L15", "Audience of other services", Warn, "Ask the platform for tokens with the audience api://AzureADTokenExchange, and name that.", "", sharedAudience},
	{"L16", "Pattern where a value must stand", Block, "Write the value as the tokens have it.", "", patternForValue},
	{"L17", "Regular expression that is none", Block, "Make one credential for each alternative, or use * and ?.", "", regularExpression},
	{"L18", "Issuer on plain http, on a private address, or this server", Block, "Name an issuer on https. For a private one, let the issuer be managed and allow its addresses: docs/issuers.md.", needsIssuer, doubtfulIssuer},
	{"L19", "Pinned keys that are old or not those published", Warn, "Upload the issuer's present keys: `cambio issuer keys`.", needsIssuer, oldKeys},
	{"L20", "Keys of the issuer that are weak, doubled or too many", Warn, "Let whoever runs the issuer correct its key set: `cambio issuer check` says what is wrong.", needsIssuer, weakKeys},
	{"L21", "Same tokens for clients of very different rights", Warn, "Give the two workloads subjects of their own.", needsRoles, differentPrivilege},
	{"L22", "Not used", Warn, "Delete it, if nobody waits for it.", needsUsage, unused},
	{"L23", "Same name, other id", Block, "Find out who has the name now, and compare the id.", needsUsage, changedIdentity},
	{"L24", "Claim that no token has", Warn, "Check how the claim is written, and whether the platform still sends it.", needsUsage, neverPresent},
	{"L25", "Narrowing claim that is ignored", Info, "Compare it too.", needsUsage, ignoredClaim},
	{"L26", "Broader than all that was seen", Info, "Narrow it.", needsUsage, broaderThanSeen},
	{"L27", "Contained in another", Info, "Delete one of them.", "", contained},
}
