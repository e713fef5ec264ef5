package trust

import (
	"cambio/internal/directory"
	"cambio/internal/strictjson"
)

// Cases are sample claim sets with the outcome that each must have.
type Cases struct {
	RequiredClaims []RequiredClaim // the tenant's policy
	List           []Case
}

// RequiredClaim is a rule of a tenant's policy; see directory.RequiredClaim.
type RequiredClaim struct {
	place
	Issuer, Claim string
	Values        []string
}

// Case presents claims for a client. Either Credential is the name of the
// credential that must match, or Refused the number of the refusal.
type Case struct {
	place
	Name, Client string
	Claims       []byte // a JSON object
	Credential   string
	Refused      *int
	Message      string // part of the refusal's text
}

// ParseCases reads test cases in YAML, or in JSON when they begin with a
// brace. The error is of type Problems.
func ParseCases(file string, raw []byte) (*Cases, error) {
	n, err := parse(file, raw)
	if err != nil {
		return nil, err
	}
	var d decoder
	c := &Cases{}
	d.object(&n, "", c.fields())
	seen := map[string]bool{}
	for i := range c.List {
		x := &c.List[i]
		if (x.Credential == "") == (x.Refused == nil) {
			d.problems.add(x.at, x.path, "say either which credential must match or with which number it must be refused")
		}
		if x.Message != "" && x.Refused == nil {
			d.problems.add(x.at, x.path, "message is part of a refusal; it needs the key refused")
		}
		if seen[x.Name] {
			d.problems.add(x.at, join(x.path, "name"), "the name %q is used twice", shorten(x.Name))
		}
		seen[x.Name] = true
	}
	if err := d.problems.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// CasesSchema is the JSON Schema (draft 2020-12) of test cases.
func CasesSchema() []byte {
	return schemaOfTable("cambio trust configuration tests", new(Cases).fields())
}

func (c *Cases) fields() []field {
	return []field{
		version(),
		many("requiredClaims", &c.RequiredClaims, directory.MaxRequiredClaims, (*RequiredClaim).fields, func(r *RequiredClaim) *place { return &r.place },
			"The tenant's policy: claims that every token of an issuer must have."),
		many("cases", &c.List, 0, (*Case).fields, func(x *Case) *place { return &x.place }, "Claim sets with their outcomes.").must(),
	}
}

func (r *RequiredClaim) fields() []field {
	return []field{
		plain("issuer", &r.Issuer, rule{min: 1, max: directory.MaxIssuer}, "Issuer, byte for byte.").must(),
		plain("claim", &r.Claim, rule{min: 1, max: 120}, "Name of the claim.").must(),
		texts("values", &r.Values, directory.MaxRequiredClaims, rule{min: 1, max: 600}, "Values that it may have.").must(),
	}
}

func (x *Case) fields() []field {
	return []field{
		plain("name", &x.Name, rule{min: 1, max: 200}, "What the case shows.").must(),
		plain("client", &x.Client, rule{min: 1, max: directory.MaxUniqueName}, "uniqueName or appId of an application, resourceGroup/name or clientId of a managed identity, or a displayName or name that only one of them has.").must(),
		claims("claims", &x.Claims, "Claims of the token, iss, sub and aud among them. Signature and times are not looked at.").must(),
		plain("credential", &x.Credential, rule{min: 1, max: directory.MaxCredentialName}, "Name of the credential that must match."),
		refusal("refused", &x.Refused),
		plain("message", &x.Message, rule{min: 1, max: 600}, "Part of the text of the refusal."),
	}
}

// claims is any JSON object.
func claims(name string, to *[]byte, doc string) field {
	return field{name: name, doc: doc, schema: func() node { return schemaOf("object") },
		read: func(d *decoder, n *node, path string) {
			if !d.want(n, path, object) {
				return
			}
			n.plainJSON()
			raw := n.appendJSON(nil)
			if err := strictjson.Check(raw, strictjson.Claims); err != nil {
				d.fail(n, path, "cannot be claims of a token: %v; write numbers as JSON does", err)
				return
			}
			*to = raw
		},
		write: func() (node, bool) { return node{}, false },
	}
}

// refusal is the number of a refusal.
func refusal(name string, to **int) field {
	const least, most = 10000, 99999999
	return field{name: name, doc: "Number of the refusal, as in 700213.",
		schema: func() node {
			n := schemaOf("integer")
			n.put("minimum", integer(least))
			n.put("maximum", integer(most))
			return n
		},
		read: func(d *decoder, n *node, path string) {
			value := 0
			for _, c := range []byte(n.text) {
				if c < '0' || c > '9' || value > most {
					value = 0
					break
				}
				value = value*10 + int(c-'0')
			}
			if n.kind != number || value < least || value > most {
				d.fail(n, path, "must be the number of a refusal, as in 700213")
				return
			}
			*to = &value
		},
		write: func() (node, bool) { return node{}, false },
	}
}
