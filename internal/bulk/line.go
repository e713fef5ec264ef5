package bulk

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cambio/internal/directory"
	"cambio/internal/store"
	"cambio/internal/strictjson"
)

// limits bound one line.
var limits = strictjson.Limits{Bytes: MaxLine, Depth: 8, Members: 100_000}

// MaxLine bounds a line, in bytes.
const MaxLine = 4 << 20

// object is a JSON object of which every member must be known. The first
// mistake is kept.
type object struct {
	strictjson.Object
	where string // the path to it, for messages
	err   error
}

func parse(doc []byte, where string, known ...string) *object {
	o := &object{where: where}
	o.Object, o.err = strictjson.ParseObject(doc, limits)
	if o.err != nil {
		return o
	}
	for name := range o.All() {
		if !slices.Contains(known, name) {
			o.err = fmt.Errorf("%sthe member %.60q is not known here; there are %s", where, name, strings.Join(known, ", "))
		}
	}
	return o
}

func (o *object) text(name string) string {
	value, _, err := o.String(name)
	o.keep(err)
	return value
}

func (o *object) texts(name string) []string {
	values, _, err := o.Strings(name)
	o.keep(err)
	return values
}

func (o *object) array(name string) [][]byte {
	elements, _, err := o.Array(name)
	o.keep(err)
	return elements
}

func (o *object) keep(err error) {
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("%s%w", o.where, err)
	}
}

// role is what an assignment names.
type role struct{ resource, value string }

// parseLine reads one application. roles is what it is to be assigned.
func parseLine(line []byte) (c store.NewClient, roles []role, err error) {
	o := parse(line, "", "displayName", "appId", "uniqueName", "description", "tags", "credentials", "assignments")
	if o.err != nil {
		return c, nil, o.err
	}
	app := &c.Application
	app.DisplayName, app.AppID, app.UniqueName, app.Description = o.text("displayName"), o.text("appId"), o.text("uniqueName"), o.text("description")
	app.Tags, app.SignInAudience = o.texts("tags"), "AzureADMyOrg"
	c.Principal = directory.ServicePrincipal{DisplayName: app.DisplayName, Kind: directory.KindApplication, AccountEnabled: true}
	for i, raw := range o.array("credentials") {
		credential, err := parseCredential(raw, fmt.Sprintf("credentials[%d]: ", i))
		o.keep(err)
		c.Credentials = append(c.Credentials, credential)
	}
	for i, raw := range o.array("assignments") {
		a := parse(raw, fmt.Sprintf("assignments[%d]: ", i), "resource", "role")
		if a.err == nil {
			roles = append(roles, role{a.text("resource"), a.text("role")})
		}
		o.keep(a.err)
	}
	return c, roles, o.err
}

func parseCredential(raw []byte, where string) (c directory.FederatedIdentityCredential, err error) {
	o := parse(raw, where, "name", "issuer", "subject", "audiences", "description", "claimsMatchingExpression")
	if o.err != nil {
		return c, o.err
	}
	c = directory.FederatedIdentityCredential{Name: o.text("name"), Issuer: o.text("issuer"), Subject: o.text("subject"),
		Audiences: o.texts("audiences"), Description: o.text("description")}
	if inner, given := o.Raw("claimsMatchingExpression"); given {
		e := parse(inner, where+"claimsMatchingExpression: ", "value", "languageVersion")
		if e.err != nil {
			return c, e.err
		}
		version, _, err := e.Number("languageVersion")
		e.keep(err)
		c.Expression = &directory.ClaimsMatchingExpression{Value: e.text("value"), LanguageVersion: int(version)}
		if e.err == nil && float64(c.Expression.LanguageVersion) != version {
			e.err = errors.New(where + "claimsMatchingExpression.languageVersion must be 1")
		}
		o.keep(e.err)
	}
	return c, o.err
}

// check holds a client to the rules of the management APIs.
func (l *Loader) check(c *store.NewClient) error {
	app := &c.Application
	if app.AppID != "" && !directory.IsGUID(app.AppID) {
		return errors.New("appId must be a GUID; leave it out to have one made")
	}
	if err := directory.ValidateApplication(app, nil, &l.tenant); err != nil {
		return err
	}
	if err := directory.ValidateServicePrincipal(&c.Principal); err != nil {
		return err
	}
	if len(c.Credentials) > directory.MaxStrictCredentials && l.tenant.Compat == directory.Strict {
		return fmt.Errorf("an application of a tenant with compat strict may have %d credentials", directory.MaxStrictCredentials)
	}
	type trust struct{ issuer, subject, expression string }
	names, trusts, flexible := map[string]bool{}, map[trust]bool{}, 0
	for i := range c.Credentials {
		x := &c.Credentials[i]
		if err := directory.ValidateCredential(x, l.tenant.Compat, l.issuerAllowed); err != nil {
			return fmt.Errorf("credentials[%d]: %w", i, err)
		}
		t := trust{issuer: x.Issuer, subject: x.Subject}
		if x.Expression != nil {
			t.expression = x.Expression.Value
			flexible++
		}
		if names[x.Name] || trusts[t] {
			return fmt.Errorf("credentials[%d]: its name, or its issuer and subject or expression, stand in another one of this application", i)
		}
		names[x.Name], trusts[t] = true, true
	}
	if flexible > directory.MaxFlexibleCredentials {
		return fmt.Errorf("an application may have %d credentials with a claims matching expression", directory.MaxFlexibleCredentials)
	}
	return nil
}
