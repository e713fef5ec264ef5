package admin

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"cambio/internal/directory"
)

// Credential is a federated identity credential: which token of which identity
// provider is trusted. Its JSON form is Graph's.
type Credential struct {
	ID          string      `json:"id,omitempty"`
	Name        string      `json:"name"`
	Issuer      string      `json:"issuer"`
	Subject     string      `json:"subject,omitempty"` // empty when there is an expression
	Audiences   []string    `json:"audiences"`
	Description string      `json:"description,omitempty"`
	Expression  *Expression `json:"claimsMatchingExpression,omitempty"`

	Ceilings *directory.Ceilings `json:"ceilings,omitempty"` // nil: none, or as they are

	Raw jsontext.Value `json:"-"` // as the API shows it
}

// Expression is a claims matching expression (Graph's
// federatedIdentityExpression).
type Expression struct {
	Value           string `json:"value"`
	LanguageVersion int    `json:"languageVersion"`
}

// Differences names the properties in which another credential differs.
func (c *Credential) Differences(other *Credential) []string {
	var names []string
	for _, p := range []struct{ name, a, b string }{
		{"issuer", c.Issuer, other.Issuer}, {"subject", c.Subject, other.Subject},
		{"description", c.Description, other.Description},
		{"claimsMatchingExpression", c.expression(), other.expression()},
	} {
		if p.a != p.b {
			names = append(names, p.name)
		}
	}
	if !slices.Equal(slices.Sorted(slices.Values(c.Audiences)), slices.Sorted(slices.Values(other.Audiences))) {
		names = append(names, "audiences")
	}
	if !c.Ceilings.Equal(other.Ceilings) {
		names = append(names, "ceilings")
	}
	return names
}

func (c *Credential) expression() string {
	if c.Expression == nil {
		return ""
	}
	return c.Expression.Value
}

// Holder is what a credential belongs to: an application or a managed
// identity.
type Holder struct {
	Name      string // for people
	app       string // path of the application below the version
	principal string // path of the managed identity
}

// ApplicationHolder finds the application whose credentials are meant. With a
// bootstrap token, which is good for one request, nothing is looked up: ref
// must be the appId.
func (c *Client) ApplicationHolder(ctx context.Context, ref string) (Holder, error) {
	if c.SingleUse() {
		if !IsGUID(ref) {
			return Holder{}, settingsErrorf("a bootstrap token is good for one request, so nothing can be looked up: name the application by its appId (client id), not %q", ref)
		}
		return Holder{Name: ref, app: "/applications(appId='" + ref + "')"}, nil
	}
	a, err := c.FindApplication(ctx, ref)
	return Holder{Name: a.DisplayName, app: "/applications/" + a.ID}, err
}

// IdentityHolder finds the managed identity whose credentials are meant; see
// FindManagedIdentity.
func (c *Client) IdentityHolder(ctx context.Context, group, ref string) (Holder, error) {
	if c.SingleUse() {
		return Holder{}, settingsErrorf("a bootstrap token is good for one request, and a managed identity must be looked up first; use it for an application's credential")
	}
	m, err := c.FindManagedIdentity(ctx, group, ref)
	if err != nil {
		return Holder{}, err
	}
	path, err := c.identityPath(ctx, m.Group(), m.Name)
	return Holder{Name: m.Name, principal: path}, err
}

// HasDescription reports whether credentials of the holder keep a description.
func (h Holder) HasDescription() bool { return h.principal == "" }

// armFlexible is the api-version with expressions.
const armFlexible = "2025-01-31-preview"

// list is where the credentials are read. Only the beta version of Graph and
// a preview of ARM show expressions.
func (h Holder) list() string {
	if h.principal != "" {
		return versioned(h.principal+"/federatedIdentityCredentials", armFlexible)
	}
	return "/beta" + h.app + "/federatedIdentityCredentials"
}

// one addresses a credential by name. flexible asks for the version of the
// API that knows expressions.
func (h Holder) one(name string, flexible bool) string {
	if h.principal != "" {
		version := armVersion
		if flexible {
			version = armFlexible
		}
		return versioned(h.principal+"/federatedIdentityCredentials/"+url.PathEscape(name), version)
	}
	return keyed(h.graph(flexible), "name", name)
}

func (h Holder) graph(flexible bool) string {
	version := "/v1.0"
	if flexible {
		version = "/beta"
	}
	return version + h.app + "/federatedIdentityCredentials"
}

// armCredential is a credential as the ARM-shaped API shows it.
type armCredential struct {
	Name       string     `json:"name"`
	Properties Credential `json:"properties"`
}

func (h Holder) read(raw jsontext.Value) (Credential, error) {
	if h.principal == "" {
		var c Credential
		err := decode(raw, &c)
		c.Raw = raw
		return c, err
	}
	var a armCredential
	err := decode(raw, &a)
	c := a.Properties
	c.Name, c.Raw = a.Name, raw
	return c, err
}

// Credentials lists the credentials of a holder.
func (c *Client) Credentials(ctx context.Context, h Holder) ([]Credential, error) {
	return listOf(ctx, c, h.list(), h.read)
}

// Credential returns a credential by its name.
func (c *Client) Credential(ctx context.Context, h Holder, name string) (Credential, error) {
	raw, err := c.Get(ctx, h.one(name, true))
	if IsNotFound(err) {
		err = NotFoundf("%s has no federated identity credential named %q", h.Name, name)
	}
	if err != nil {
		return Credential{}, err
	}
	return h.read(raw)
}

// Outcome is what became of a credential that was to be there.
type Outcome string

// What became of a credential.
const (
	Created   Outcome = "created"
	Updated   Outcome = "updated"
	Unchanged Outcome = "unchanged" // it is as it is wanted already
	Kept      Outcome = "kept"      // another definition has its name, and was to be left alone
)

// Existing says what to do about a credential that has the name already, and
// another definition.
type Existing int

// What to do about a credential of another definition.
const (
	Refuse  Existing = iota // an error of kind Conflict
	Keep                    // leave it as it is
	Replace                 // make it what is wanted
)

// EnsureCredential creates a credential unless it is there already. The same
// definition a second time changes nothing.
func (c *Client) EnsureCredential(ctx context.Context, h Holder, want Credential, existing Existing) (Credential, Outcome, error) {
	if c.SingleUse() { // which leaves no request to look first
		made, err := c.createCredential(ctx, h, want)
		return made, Created, err
	}
	have, err := c.Credential(ctx, h, want.Name)
	if IsNotFound(err) {
		made, createErr := c.createCredential(ctx, h, want)
		if !isConflict(createErr) {
			return made, Created, createErr
		}
		// Another request created it in between, or the rule has another name.
		if have, err = c.Credential(ctx, h, want.Name); err != nil {
			return have, "", createErr
		}
	}
	if err != nil {
		return have, "", err
	}
	if want.Ceilings == nil {
		want.Ceilings = have.Ceilings
	}
	different := want.Differences(&have)
	switch {
	case len(different) == 0:
		return have, Unchanged, nil
	case existing == Keep:
		return have, Kept, nil
	case existing == Refuse:
		return have, "", Conflictf("%s has a federated identity credential %q already, with another %s; give the new one another --name, change that one with `cambio credential update` or --replace, or leave it with --if-missing",
			h.Name, want.Name, strings.Join(different, ", "))
	}
	return c.UpdateCredential(ctx, h, have, want)
}

func (c *Client) createCredential(ctx context.Context, h Holder, want Credential) (Credential, error) {
	flexible := want.Expression != nil
	var raw jsontext.Value
	var err error
	if h.principal != "" {
		body := armBody(want)
		raw, err = c.Change(ctx, http.MethodPut, h.one(want.Name, flexible), body, armCredential{want.Name, want})
	} else {
		raw, err = c.Change(ctx, http.MethodPost, h.graph(flexible), want, want)
	}
	if err != nil {
		return want, err
	}
	return h.read(raw)
}

// armBody is a credential as a PUT of the ARM-shaped API wants it.
func armBody(c Credential) map[string]any {
	properties := map[string]any{"issuer": c.Issuer, "audiences": c.Audiences}
	if c.Expression != nil {
		properties["claimsMatchingExpression"] = c.Expression
	} else {
		properties["subject"] = c.Subject
	}
	if c.Ceilings != nil {
		properties["ceilings"] = c.Ceilings
	}
	return map[string]any{"properties": properties}
}

// UpdateCredential makes a credential what is wanted.
func (c *Client) UpdateCredential(ctx context.Context, h Holder, have, want Credential) (Credential, Outcome, error) {
	different := want.Differences(&have)
	if len(different) == 0 {
		return have, Unchanged, nil
	}
	flexible := want.Expression != nil || have.Expression != nil
	var err error
	if h.principal != "" {
		_, err = c.Change(ctx, http.MethodPut, h.one(have.Name, flexible), armBody(want), nil)
	} else {
		_, err = c.Change(ctx, http.MethodPatch, h.one(have.Name, flexible), patchOf(want, different), nil)
	}
	if err != nil || c.IsDryRun() {
		return want, Updated, err
	}
	now, err := c.Credential(ctx, h, have.Name)
	return now, Updated, err
}

// patchOf is the PATCH of the named properties; what is empty now is null.
func patchOf(want Credential, names []string) map[string]any {
	all := map[string]any{"issuer": want.Issuer, "audiences": want.Audiences, "subject": nil, "description": nil, "claimsMatchingExpression": nil, "ceilings": want.Ceilings}
	if want.Subject != "" {
		all["subject"] = want.Subject
	}
	if want.Description != "" {
		all["description"] = want.Description
	}
	if want.Expression != nil {
		all["claimsMatchingExpression"] = want.Expression
	}
	patch := map[string]any{}
	for _, name := range names {
		patch[name] = all[name]
	}
	return patch
}

// DeleteCredential deletes a credential.
func (c *Client) DeleteCredential(ctx context.Context, h Holder, name string) error {
	path := h.one(name, false)
	if h.principal != "" { // ARM answers a missing one with success
		if _, err := c.Credential(ctx, h, name); err != nil {
			return err
		}
	}
	err := c.Delete(ctx, path)
	if e, ok := err.(*Error); ok && e.Kind() == NotFound {
		return NotFoundf("%s has no federated identity credential named %q", h.Name, name)
	}
	return err
}
