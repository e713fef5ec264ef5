package profile

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"cambio/internal/directory"
)

// The kinds of parameter.
const (
	kindText    = ""
	kindFlag    = "flag"     // "true" when given
	kindRef     = "ref"      // name of a branch or tag, git-check-ref-format(1)
	kindFullRef = "full-ref" // the same with refs/heads/ or another refs/ before it
	kindHost    = "host"     // host name in lower case, with a port if it is not 443
	kindURL     = "url"      // issuer
)

// patterns of the kinds that have their own. Templates are read backwards
// with them; check says more about a value.
var kindPatterns = map[string]string{
	kindRef:     `[^\s~^:?*\[\\\p{C}]+`,
	kindFullRef: `refs/[^\s~^:?*\[\\\p{C}]+`,
	kindHost:    `[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?`,
	kindURL:     `https?://[^\s\p{C}]+`,
}

// IsFlag reports whether the parameter is only given or not.
func (p *Parameter) IsFlag() bool { return p.Kind == kindFlag }

func (p *Parameter) compile() error {
	if p.Name == "" || p.Description == "" {
		return errors.New("name and description are required")
	}
	for i := range p.Refuse {
		var err error
		if p.Refuse[i].found, err = newPattern(p.Refuse[i].Pattern); err != nil {
			return err
		}
	}
	if p.Kind == kindFlag {
		return nil
	}
	pattern := p.pattern()
	if pattern == "" {
		return fmt.Errorf("kind %q without a pattern", p.Kind)
	}
	var err error
	p.whole, err = whole(pattern)
	return err
}

// pattern is that of the whole value.
func (p *Parameter) pattern() string {
	if p.Kind != kindText {
		return kindPatterns[p.Kind]
	}
	if len(p.Parts) == 0 {
		return p.Pattern
	}
	parts := make([]string, len(p.Parts))
	for i, part := range p.Parts {
		parts[i] = "(?:" + part.Pattern + ")"
	}
	return strings.Join(parts, "/")
}

// part is a piece of a value that was checked.
func (p *Parameter) part(value, name string) string {
	pieces := strings.Split(value, "/")
	for i, part := range p.Parts {
		if part.Name == name && i < len(pieces) {
			return pieces[i]
		}
	}
	return ""
}

// check says what is wrong with a value.
func (p *Parameter) check(value string) error {
	if p.Kind == kindFlag {
		if value != "true" {
			return fmt.Errorf("--%s takes no value", p.Name)
		}
		return nil
	}
	if value == "" {
		return fmt.Errorf("--%s is empty: it is the %s", p.Name, p.Description)
	}
	if utf8.RuneCountInString(value) > directory.MaxSubject {
		return fmt.Errorf("--%s is longer than %d characters", p.Name, directory.MaxSubject)
	}
	for _, r := range p.Refuse {
		if r.found.MatchString(value) {
			return fmt.Errorf("--%s %q: %s", p.Name, value, r.Why)
		}
	}
	if why := p.wrong(value); why != "" {
		return fmt.Errorf("--%s %q: %s", p.Name, value, why)
	}
	return nil
}

// wrong is what the kind and the pattern have against a value.
func (p *Parameter) wrong(value string) string {
	switch p.Kind {
	case kindRef, kindFullRef:
		if strings.HasPrefix(value, "refs/") == (p.Kind == kindRef) {
			return p.Hint
		}
		return wrongRef(value, p.whole.MatchString(value), p.Hint)
	case kindHost:
		return wrongHost(value, p.whole.MatchString(value), p.Example+p.Default)
	case kindURL:
		if why := wrongURL(value); why != "" {
			return why + "; " + p.Hint
		}
		return ""
	}
	if !p.whole.MatchString(value) {
		return p.Hint
	}
	return ""
}

// wrongRef applies the rules of git-check-ref-format(1).
func wrongRef(value string, matches bool, hint string) string {
	switch {
	case strings.ContainsAny(value, "*?"):
		return "a subject is compared byte for byte, so that a wildcard matches nothing; for a pattern use `cambio credential create --claims-matching-expression`"
	case !matches, strings.Contains(value, ".."), strings.Contains(value, "@{"), strings.HasSuffix(value, "."),
		slices.ContainsFunc(strings.Split(value, "/"), wrongComponent):
		return "git has no branch or tag of this name; " + hint
	}
	return ""
}

// wrongComponent is for what stands between two slashes of a ref.
func wrongComponent(name string) bool {
	return name == "" || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".lock")
}

// wrongHost refuses what no issuer has: the URL of one is compared byte for
// byte, and platforms leave the usual port out.
func wrongHost(value string, matches bool, example string) string {
	host, port, hasPort := strings.Cut(value, ":")
	n, err := strconv.Atoi(port)
	switch {
	case !matches, strings.Contains(host, ".."):
		return "write the host alone, in lower case and without https://, as in " + example
	case port == "443":
		return "write it without :443, which tokens leave out"
	case hasPort && (err != nil || n == 0 || n > 65535 || port[0] == '0'):
		return "there is no such port"
	}
	return ""
}

func wrongURL(value string) string {
	u, err := url.Parse(value)
	switch {
	case strings.TrimSpace(value) != value:
		return "it begins or ends with white space"
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "it must be a URL, as in https://idp.example.net"
	case u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(value, "?#"):
		return "an issuer has no query and no fragment"
	case u.User != nil:
		return "an issuer has no user name"
	case strings.HasSuffix(value, "/.well-known/openid-configuration"):
		return "this is the address of the discovery document; the issuer is the part before /.well-known"
	case strings.ContainsAny(value, "*"):
		return "an issuer is compared byte for byte, so that a wildcard matches nothing"
	}
	return ""
}
