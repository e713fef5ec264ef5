package lint

import (
	"fmt"
	"strings"
)

// Markdown is the page of the rules.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Lint: credentials that trust too much

` + "`cambio lint -f trust.yaml`" + ` holds the credentials of a [trust configuration](guides/trust-file.md) against the rules below, without a server; ` + "`cambio lint`" + ` all credentials of the tenant. Each finding says where, what and what to do:

    block  L2   trust.yaml:14: shop-api/ci
                The wildcard in "repo:acme*" on sub begins before the name of the owner ends, so that it takes tokens of others, whose names begin alike.
                → Write the owner's whole name up to the next separator, as in repo:acme/shop:*.

A rule has one of three levels. **block**: others can come by such a token, or it cannot have been meant. **warn**: it trusts more than most want. **info**: worth knowing. ` + "`--level L4=block`" + ` grades a rule otherwise, ` + "`--level L7=off`" + ` leaves it out. The command ends with code 8 when something is graded block; ` + "`--fail-on warn`" + ` is stricter, for CI. ` + "`-o sarif`" + ` writes what code scanners read, with the file and line; ` + "`-o json`" + ` an array.

What a client may do is guessed from the names of its app roles: words such as read, get, list or view are read rights, admin, owner or manage administrative ones, and all others more than read rights. The ceilings of a credential count. What a platform's subjects look like comes from its [profile](profiles.md).

| rule | level | finding | what to do | needs |
|---|---|---|---|---|
`)
	for _, r := range rules {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.ID, r.Level, r.Title, r.Remedy, r.Needs)
	}
	b.WriteString(`
## When a credential is written

What a rule blocks is refused by the management APIs, by ` + "`cambio apply`" + ` and ` + "`cambio credential create`" + `, with the rule and the remedy. Only credentials that are new, or whose issuer, subject, expression, audiences or roles change, are looked at, each by itself (L21 and L27 compare several); those that exist stay, and so does one of which L23 finds that its name belongs to another now. Rules that need recorded decisions or facts about issuers have no say then, L18 among them: whether an issuer may be contacted is decided by the server's configuration. Warnings are not told then either, and L5 goes by the roles that the client holds at that moment: run ` + "`cambio lint`" + ` from time to time.

Whoever means it says why, and the reason goes to the audit trail as ` + "`lint.override L2: …`" + `:

    cambio credential create --app shop-api … --override 'L2=all of acme is ours'

In a trust configuration it is ` + "`lintOverrides: {L2: all of acme is ours}`" + ` beside the credential; ` + "`cambio lint -f`" + ` takes it too. Other clients send the header ` + "`Cambio-Lint-Override: L2=all of acme is ours; L5=reviewed`" + `. The reason is not kept with the credential: ` + "`cambio lint`" + ` of the tenant finds it again, until the rule is graded otherwise.

` + "`cambio tenant policy set --lint report-only`" + ` refuses nothing in a tenant, ` + "`--lint enforce`" + ` what is graded block, ` + "`--lint-level L4=block`" + ` grades a rule. Tenants of the compatibility level strict refuse nothing until their policy says so, since Entra takes such credentials.

## What is known

A rule looks at what it needs as far as that is known. Recorded decisions are looked at with ` + "`cambio lint --since 90d`" + `, which reads the audit trail: L22 to L26 then say which credentials are not used, and which narrower ones would have been enough for all that was seen; try those with [` + "`cambio backtest`" + `](explain.md#a-change-on-the-decisions-of-the-past) before you take them. ` + "`cambio credential usage`" + ` shows the numbers. ` + "`--check-issuers`" + ` looks at the keys of each issuer from this machine, as ` + "`cambio issuer check`" + ` does: L20, and whether pinned keys are those published (L19). A credential that names a [set of issuers](issuers.md) is held only against the rules that need no platform. A file does not say which issuers the tenant manages; app roles by id are known when the file defines them. L5 is a warning where only a wildcard lets pull requests in, and L22 an info for a credential that was never used.
`)
	return b.String()
}
