// Package rehearsal runs test cases against a trust configuration without a
// server: it presents claims to the clients of a document and compares what
// the token path's own matching decides with what each case expects.
//
// It decides nothing about real tokens: nobody's signature is looked at.
package rehearsal

import (
	"encoding/base64"
	"fmt"
	"strings"

	"cambio/internal/directory"
	"cambio/internal/explain"
	"cambio/internal/federation"
	"cambio/internal/oauth"
	"cambio/internal/token"
	"cambio/internal/trust"
)

// Result is the outcome of a case.
type Result struct {
	Name   string
	Passed bool
	Want   string // what the case expects
	Got    string // what was decided
	Class  string // of the near miss, when that is a refusal: NM1 to NM24; empty: none
	Why    string // what the refusal is about, and what to change
}

// Run presents each case to its client. A case whose client the document does
// not have fails.
func Run(clients []trust.Client, cases *trust.Cases) []Result {
	byName := index(clients)
	policy := directory.FederationPolicy{}
	for _, r := range cases.RequiredClaims {
		policy.RequiredClaims = append(policy.RequiredClaims, directory.RequiredClaim{Issuer: r.Issuer, Claim: r.Claim, Values: r.Values})
	}
	results := make([]Result, len(cases.List))
	for i := range cases.List {
		c := &cases.List[i]
		client := byName.find(c.Client)
		if client == nil {
			results[i] = Result{Name: c.Name, Want: want(c), Got: "no client of the trust configuration is called '" + c.Client + "'; write its uniqueName or appId, resourceGroup/name or clientId, or a displayName that only one has"}
			continue
		}
		credential, refusal := Decide(client, c.Claims, &policy)
		results[i] = judge(c, credential, refusal)
		if refusal != nil && !results[i].Passed {
			results[i].explain(client, c.Claims, &policy, refusal)
		}
	}
	return results
}

// names finds clients: by a name as it is written or, where that is only one
// client's, in any case. Two applications may have uniqueNames that differ in
// case alone.
type names struct {
	exact, folded map[string]*directory.ClientRecord
}

func index(clients []trust.Client) names {
	n := names{map[string]*directory.ClientRecord{}, map[string]*directory.ClientRecord{}}
	add := func(to map[string]*directory.ClientRecord, name string, r *directory.ClientRecord) {
		if other, known := to[name]; known && other != r {
			r = nil // of two clients: nobody's
		}
		to[name] = r
	}
	for _, c := range clients {
		for _, name := range c.Names {
			add(n.exact, name, c.Record)
			add(n.folded, strings.ToLower(name), c.Record)
		}
	}
	return n
}

func (n names) find(name string) *directory.ClientRecord {
	if r, known := n.exact[name]; known {
		return r
	}
	return n.folded[strings.ToLower(name)]
}

// explain adds why a case was refused.
func (r *Result) explain(client *directory.ClientRecord, claims []byte, policy *directory.FederationPolicy, refusal *oauth.Error) {
	e := explain.Explain(&explain.Input{Code: refusal.Code, Token: explain.ReadToken(compact(claims)), Client: client, Policy: policy})
	r.Class, r.Why = string(e.Class), e.Summary
	if e.Fix != nil {
		r.Why += " " + e.Fix.Text
	}
}

// compact is a token with these claims that nobody signed.
func compact(claims []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims) + "." + encode(make([]byte, 256))
}

// Decide is what the token path decides about a token with these claims, a
// JSON object, but for its signature and times.
func Decide(client *directory.ClientRecord, claims []byte, policy *directory.FederationPolicy) (*directory.Credential, *oauth.Error) {
	assertion, refusal := federation.Parse(compact(claims))
	if refusal != nil {
		return nil, refusal
	}
	if refusal = token.Usable(client); refusal != nil {
		return nil, refusal
	}
	credential, refusal := federation.Match(client, assertion)
	if refusal == nil {
		refusal, _ = federation.CheckIssuer(assertion, policy)
	}
	if refusal == nil {
		refusal, _ = federation.CheckClaims(assertion, policy)
	}
	if refusal != nil {
		return nil, refusal
	}
	return credential, nil
}

func want(c *trust.Case) string {
	switch {
	case c.Refused == nil:
		return "credential " + c.Credential
	case c.Message == "":
		return fmt.Sprintf("AADSTS%d", *c.Refused)
	}
	return fmt.Sprintf("AADSTS%d: …%s…", *c.Refused, c.Message)
}

func judge(c *trust.Case, credential *directory.Credential, refusal *oauth.Error) Result {
	r := Result{Name: c.Name, Want: want(c)}
	if refusal == nil {
		r.Got = "credential " + credential.Name
		r.Passed = c.Refused == nil && credential.Name == c.Credential
		return r
	}
	r.Got = refusal.Error()
	r.Passed = c.Refused != nil && int(refusal.Code) == *c.Refused && strings.Contains(refusal.Error(), c.Message)
	return r
}
