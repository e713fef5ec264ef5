package explain

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"cambio/internal/profile"
)

// Bounds of what is kept of claims.
const (
	maxClaims   = 24
	maxClaim    = 200 // bytes of one value
	maxTokenAll = 1200
)

// always are the claims that every explanation has in other places.
var always = []string{"iss", "sub", "aud", "exp", "iat", "nbf"}

// keep returns the claims that the tenant's policy keeps: those that the
// profile of the issuer names, those that expressions of the client's
// credentials and the tenant's policy compare, and those that it adds; less
// what it leaves out.
func keep(in *Input) Claims {
	names := keptNames(in)
	out := Claims{}
	size := 0
	for _, name := range names {
		if _, present := in.Token.Claims.Raw(name); !present {
			continue
		}
		value := in.kept(name)
		if size += len(name) + len(value); len(out) == maxClaims || size > maxTokenAll {
			break
		}
		out[name] = value
	}
	return out
}

// kept is a claim as it is kept.
func (in *Input) kept(name string) string {
	value, kind := in.Token.claim(name)
	switch value = cut(value, maxClaim); {
	case in.hashes(name):
		return hashed(in, name)
	case kind != kindString:
		return value + " (" + kind + ")"
	}
	return value
}

func (in *Input) hashes(name string) bool {
	return in.Policy != nil && slices.Contains(in.Policy.Claims.Hash, name)
}

// keptNames are the names of the claims that are kept whole or hashed.
func keptNames(in *Input) []string {
	names := make([]string, 0, maxClaims)
	add := func(more ...string) {
		for _, name := range more {
			if !slices.Contains(names, name) && !slices.Contains(always, name) && (in.Policy == nil || !slices.Contains(in.Policy.Claims.Omit, name)) {
				names = append(names, name)
			}
		}
	}
	issuer := in.Token.text("iss")
	if in.Policy != nil {
		add(in.Policy.Claims.Keep...)
		add(in.Policy.Claims.Hash...)
		for _, rule := range in.Policy.RequiredClaims {
			if rule.Issuer == issuer {
				add(rule.Claim)
			}
		}
	}
	if in.Client != nil {
		for _, cr := range in.Client.Flexible(issuer) {
			for _, t := range cr.Expression.Terms() {
				add(t.Claim)
			}
		}
	}
	add(profile.IdentifyingClaims(issuer)...)
	return names
}

// hashed stands for a claim that is not shown: equal values of one tenant have
// the same hash.
func hashed(in *Input, name string) string {
	tenant := ""
	if in.Client != nil {
		tenant = in.Client.TenantID
	}
	value, _ := in.Token.claim(name)
	sum := sha256.Sum256([]byte(tenant + "\x00" + name + "\x00" + value))
	return "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:12])
}

// redact takes out of the comparisons what is not kept.
func (e *Explanation) redact(in *Input) {
	if in.Token == nil || in.Policy == nil {
		return
	}
	for i := range e.Candidates {
		for j := range e.Candidates[i].Fields {
			f := &e.Candidates[i].Fields[j]
			name := claimName(f.Name)
			f.Note = withoutClaims(in, f.Note)
			switch {
			case name == "" || slices.Contains(always, name):
			case slices.Contains(in.Policy.Claims.Omit, name):
				f.Presented, f.Note = "(not kept)", ""
			case slices.Contains(in.Policy.Claims.Hash, name):
				f.Presented, f.Note = hashed(in, name), ""
			}
		}
	}
}

// withoutClaims drops a note that repeats a claim which is not kept.
func withoutClaims(in *Input, note string) string {
	for _, name := range slices.Concat(in.Policy.Claims.Omit, in.Policy.Claims.Hash) {
		if value, kind := in.Token.claim(name); kind != kindAbsent && !slices.Contains(always, name) && strings.Contains(note, value) {
			return ""
		}
	}
	return note
}
