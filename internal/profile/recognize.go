package profile

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"cambio/internal/directory"
	"cambio/internal/jose"
)

// Recognize proposes the credential that a token would match: with the token's
// issuer and subject byte for byte, in the profile whose shapes they have. now
// is for notes about the token's times.
//
// An audience that tokens for other services have is not taken over; the
// proposal then has the profile's own, and a note says so. The error tells why
// no credential can match the token.
func Recognize(c Claims, now time.Time) (Proposal, error) {
	if c.Issuer == "kubernetes/serviceaccount" {
		return Proposal{}, fmt.Errorf("this is a service account token of the old kind, which has no issuer's URL and never expires; make one with `kubectl create token NAME --audience %s`, or project one into the pod", DefaultAudience)
	}
	if why := wrongURL(c.Issuer); why != "" {
		return Proposal{}, fmt.Errorf("the token's issuer %q: %s", c.Issuer, why)
	}
	out, ok := known(c)
	if !ok {
		out = unknownShape(c)
	}
	out.Credential.Issuer, out.Credential.Subject = c.Issuer, c.Subject
	out.Credential.Description = out.Profile.Title
	out.audience(c)
	out.Notes = append(out.Notes, tokenNotes(c, now)...)
	return out, Validate(&out.Credential)
}

// known tries all shapes of all profiles but the last, "other". An issuer that
// belongs to a platform is that platform's whatever the subject looks like.
func known(c Claims) (Proposal, bool) {
	profiles := all()[:len(all())-1]
	if i := slices.IndexFunc(profiles, func(p *Profile) bool { return matchesAny(p.known, c.Issuer) }); i >= 0 {
		profiles = profiles[i : i+1]
	}
	for _, p := range profiles {
		if out, ok := p.recognize(c); ok {
			return out, true
		}
	}
	return Proposal{}, false
}

// recognize reads issuer and subject backwards. Of several shapes that fit the
// first that no claim contradicts is meant.
func (p *Profile) recognize(c Claims) (Proposal, bool) {
	var first Proposal
	found := false
	for i := range p.Issuers {
		for j := range p.Subjects {
			out, ok := p.try(c, &p.Issuers[i], &p.Subjects[j])
			if !ok {
				continue
			}
			contradictions := p.contradictions(c, out.Parameters)
			out.Notes = append(contradictions, out.Notes...)
			if len(contradictions) == 0 {
				return out, true
			}
			if !found {
				first, found = out, true
			}
		}
	}
	return first, found
}

// try reads the token with one pair of templates and makes sure that filling
// them in gives the token's values again.
func (p *Profile) try(c Claims, issuer, subject *Alternative) (Proposal, bool) {
	v := values{}
	if !issuer.parsed.read(c.Issuer, v) || !subject.parsed.read(c.Subject, v) {
		return Proposal{}, false
	}
	for _, name := range slices.Concat(issuer.When, subject.When) {
		if p.Parameter(name).IsFlag() {
			v[name] = "true"
		}
	}
	for _, param := range p.Parameters {
		if text, ok := c.first(param.Claim); ok && param.FromToken && p.wants(param.Name, v) {
			v[param.Name] = text
		}
	}
	out, err := p.Propose(v)
	if err != nil || out.Credential.Issuer != c.Issuer || out.Credential.Subject != c.Subject {
		return Proposal{}, false
	}
	out.Notes = p.notes(out.Parameters, fromToken)
	return out, true
}

// wants reports whether a parameter that is not given goes together with one
// that is.
func (p *Profile) wants(name string, v values) bool {
	return slices.ContainsFunc(p.Rules, func(r Rule) bool {
		return slices.Contains(r.Together, name) && slices.ContainsFunc(r.Together, func(other string) bool { return v[other] != "" })
	})
}

// first is a claim as text; of a list its only element.
func (c *Claims) first(name string) (string, bool) {
	if list, present, err := c.Object.Strings(name); present && err == nil && len(list) == 1 {
		return list[0], list[0] != ""
	}
	return "", false
}

// contradictions are claims that say something else than the subject does.
func (p *Profile) contradictions(c Claims, v values) []Note {
	var out []Note
	for i := range p.Parameters {
		param := &p.Parameters[i]
		if param.Claim == "" || v[param.Name] == "" {
			continue
		}
		claim, ok := c.scalar(param.Claim)
		if ok && claim != v[param.Name] && claim != unescaped(v[param.Name]) {
			out = append(out, Note{Warning, fmt.Sprintf("The subject says %q for %s, and the claim %s says %q. The subject was customised or the token forged: find out which before you trust it.", v[param.Name], param.Name, param.Claim, claim)})
		}
	}
	return out
}

// unescaped undoes percent-encoding, which subjects have and claims have not.
func unescaped(value string) string {
	if plain, err := url.PathUnescape(value); err == nil {
		return plain
	}
	return value
}

// unknownShape proposes the token's values as they are: for a profile that the
// issuer belongs to, or for none.
func unknownShape(c Claims) Proposal {
	for _, p := range all() {
		if !matchesAny(p.known, c.Issuer) {
			continue
		}
		out := Proposal{Profile: p, Credential: directory.FederatedIdentityCredential{Name: fitName(p.Name + "-" + c.Subject)}}
		out.Notes = append(out.Notes, Note{Warning, fmt.Sprintf("The subject has none of the shapes that %s gives it by itself: it was customised. It is proposed as it is; make sure that nobody else can come by it.", p.Title)})
		if slices.Contains(p.SharedIssuers, c.Issuer) && !p.namesTenant(c) {
			out.Notes = append(out.Notes, Note{Block, fmt.Sprintf("All customers of %s share the issuer %s, and nothing in the subject says whose it is: none of the claims %s is in it. Others can have tokens with the same subject.", p.Title, c.Issuer, strings.Join(p.TenantClaims, ", "))})
		}
		return out
	}
	other := all()[len(all())-1]
	v := values{"issuer": c.Issuer, "subject": c.Subject}
	out := Proposal{Profile: other, Parameters: v, Notes: other.notes(v, fromToken),
		Credential: directory.FederatedIdentityCredential{Name: fitName(c.Subject)}}
	out.Notes = append(out.Notes, Note{Info, "No profile knows this issuer and subject. Find out who else can come by this subject, and whether it can be given to others later."})
	return out
}

var separators = regexp.MustCompile(`[:/@]`)

// namesTenant reports whether a part of the subject is the value of a claim
// that tells customers apart.
func (p *Profile) namesTenant(c Claims) bool {
	parts := separators.Split(c.Subject, -1)
	for _, name := range p.TenantClaims {
		value, ok := c.scalar(name)
		if ok && (slices.Contains(parts, value) || strings.Contains(value, "/") && strings.Contains(":"+c.Subject+":", ":"+value+":")) {
			return true
		}
	}
	return false
}

// commonAudiences are what many services take, whoever the token was made for.
var commonAudiences = []string{"sts.amazonaws.com", "sigstore"}

// audience chooses the audience of the credential.
func (out *Proposal) audience(c Claims) {
	preferred := DefaultAudience
	if len(out.Credential.Audiences) > 0 {
		preferred = out.Credential.Audiences[0]
	}
	for _, a := range []string{preferred, DefaultAudience} {
		if slices.Contains(c.Audiences, a) {
			out.Credential.Audiences = []string{a}
			return
		}
	}
	for _, a := range c.Audiences {
		if !matchesAny(out.Profile.shared, a) && !slices.Contains(commonAudiences, a) {
			out.Credential.Audiences = []string{a}
			if len(c.Audiences) > 1 {
				out.Notes = append(out.Notes, Note{Warning, fmt.Sprintf("The token has %d audiences; the credential names one of them, %q. Request tokens with one audience: whoever receives this one can present it to the others.", len(c.Audiences), a)})
			}
			return
		}
	}
	out.Credential.Audiences = []string{DefaultAudience}
	out.Notes = append(out.Notes, Note{Warning, fmt.Sprintf("The token's audience %q is one that other services take too: whoever receives such a token could present it here. The credential is proposed with the audience %s, so that this very token does not match; request it with that audience, or name another with --audience.", c.Audiences[0], DefaultAudience)})
}

// longestLife of a token, as the token endpoint has it (AADSTS70023).
const longestLife = 25 * time.Hour

// tokenNotes are about the token itself.
func tokenNotes(c Claims, now time.Time) []Note {
	var out []Note
	warn := func(format string, args ...any) { out = append(out, Note{Warning, fmt.Sprintf(format, args...)}) }
	if odd := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return r
		}
		return -1
	}, c.Issuer+c.Subject); odd != "" {
		warn("Issuer or subject hold characters that can look like others or like none: %+q.", odd)
	}
	if !jose.Algorithm(c.Algorithm).Valid() {
		warn("The token is signed with %q; a server accepts RS, PS and ES 256 to 512 and EdDSA only.", c.Algorithm)
	}
	exp, hasExp, expErr := c.Object.Number("exp")
	iat, hasIat, iatErr := c.Object.Number("iat")
	switch {
	case expErr != nil || iatErr != nil:
		warn("The times in the token (exp, iat) are no numbers; a server refuses it.")
	case !hasExp:
		warn("The token has no exp claim; a server refuses it.")
	case !hasIat:
		warn("The token has no iat claim; a server refuses it unless its configuration has issued_at_optional for this issuer.")
	case exp-iat > longestLife.Seconds():
		warn("The token is valid for longer than %d hours; a server refuses it.", int(longestLife.Hours()))
	case exp < float64(now.Unix()):
		out = append(out, Note{Info, "The token has expired. That does not matter for the credential, but it cannot be exchanged."})
	}
	return out
}
