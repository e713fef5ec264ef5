package lint

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"cambio/internal/profile"
)

func sharedAudience(s *subject) []hit {
	for _, a := range s.credential.Audiences {
		if title, known := profile.SharedAudience(a); known {
			return one(fieldAud, "Tokens of %s for other services have the audience %q too: whoever receives one can present it here.", title, shorten(a))
		}
	}
	return nil
}

func patternForValue(s *subject) []hit {
	if strings.ContainsAny(s.credential.Issuer, "*^$|") {
		return one(fieldIss, "The issuer %q is written as a pattern; issuers are compared byte for byte.", shorten(s.credential.Issuer))
	}
	for _, a := range s.credential.Audiences {
		if strings.ContainsAny(a, "*^|") {
			return one(fieldAud, "The audience %q is written as a pattern; audiences are compared byte for byte.", shorten(a))
		}
	}
	for i := range s.terms {
		if t := &s.terms[i]; (t.claim == "iss" || t.claim == "aud") && t.operator == wildcarded {
			return one(t.field, "%s is compared with the pattern %q.", t.claim, shorten(t.text))
		}
	}
	return nil
}

func regularExpression(s *subject) []hit {
	for i := range s.terms {
		t := &s.terms[i]
		if t.operator == wildcarded && (strings.ContainsAny(t.text, "|^$") || strings.Contains(t.text, "(") && strings.Contains(t.text, ")")) {
			return one(t.field, "%q looks like a regular expression. Only * and ? mean something in a pattern; |, ^, $ and parentheses stand for themselves, and there is no alternative.", shorten(t.text))
		}
	}
	return nil
}

func doubtfulIssuer(s *subject) []hit {
	issuer := s.credential.Issuer
	for _, own := range s.in.Own {
		rest, below := strings.CutPrefix(issuer, own)
		tenant, _, _ := strings.Cut(rest, "/")
		if _, err := uuid.Parse(tenant); below && err == nil { // other paths are not issuers of its tokens
			return one(fieldIss, "%s is this server itself, whose tokens it does not exchange.", shorten(issuer))
		}
	}
	u, err := url.Parse(issuer)
	if err != nil {
		return nil // refused elsewhere
	}
	host := u.Hostname()
	address, err := netip.ParseAddr(host)
	loopback := host == "localhost" || err == nil && address.IsLoopback()
	if s.issuer != nil && s.issuer.Private || loopback && s.inDevelopment() {
		return nil
	}
	switch {
	case u.Scheme == "http":
		return one(fieldIss, "The keys of %s would be fetched without TLS: whoever is on the way can replace them.", shorten(issuer))
	case loopback, err == nil && (address.IsPrivate() || address.IsLinkLocalUnicast() || address.IsUnspecified()):
		return one(fieldIss, "%s is a private address, which the server does not fetch keys from unless it is allowed to.", shorten(issuer))
	}
	return nil
}

// inDevelopment reports whether the server itself is on loopback, as `cambio
// dev` is.
func (s *subject) inDevelopment() bool {
	for _, own := range s.in.Own {
		if u, err := url.Parse(own); err == nil {
			if a, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && a.IsLoopback() {
				return true
			}
		}
	}
	return false
}

// pinnedLimit is how old pinned keys may be.
const pinnedLimit = 90 * 24 * time.Hour

func oldKeys(s *subject) []hit {
	if s.issuer == nil || s.issuer.PinnedAt.IsZero() {
		return nil
	}
	if s.issuer.LiveDiffers {
		return one(fieldIss, "%s publishes other keys than those that are pinned.", s.issuer.Name)
	}
	if age := s.in.Now.Sub(s.issuer.PinnedAt); age > pinnedLimit {
		return one(fieldIss, "The pinned keys of %s are %d days old.", s.issuer.Name, int(age.Hours()/24))
	}
	return nil
}

func weakKeys(s *subject) []hit {
	if s.issuer == nil || len(s.issuer.KeyProblems) == 0 {
		return nil
	}
	return one(fieldIss, "Keys of %s: %s.", s.issuer.Name, strings.Join(s.issuer.KeyProblems, "; "))
}
