package trust

import (
	"strings"

	"cambio/internal/directory"
)

// Client is a client of a document as the token path sees it.
type Client struct {
	Names  []string // by which test cases call it
	Record *directory.ClientRecord
}

// Clients compiles the clients of a document that lists their credentials, as
// the server does of what it has stored. It needs no server: objects that the
// document only refers to need not exist. The error is of type Problems.
func (d *Document) Clients(level directory.Compat) ([]Client, error) {
	var problems Problems
	var list []Client
	add := func(names []string, kind string, disabled bool, sp *directory.ServicePrincipal, credentials []Credential) {
		r := &directory.ClientRecord{ClientID: names[0], DisplayName: names[0], Kind: kind, Disabled: disabled, ServicePrincipal: sp}
		for i := range credentials {
			c := &credentials[i]
			full := directory.FederatedIdentityCredential{Name: c.Name, Issuer: c.Issuer, Subject: c.Subject, Expression: c.expression(), Audiences: c.Audiences, Description: c.Description}
			if err := directory.ValidateCredential(&full, level, func(string) error { return nil }); err != nil {
				problems.add(c.at, c.path, "%s", err.Error())
			}
			compiled := directory.Credential{ID: c.Name, Name: c.Name, Issuer: c.Issuer, Subject: c.Subject, Audiences: c.Audiences}
			if c.Expression != nil {
				compiled.Expression, _ = directory.ParseExpression(c.Expression.Value) // refused above if it cannot be read
			}
			r.Credentials = append(r.Credentials, compiled)
		}
		list = append(list, Client{names, r.Compile()})
	}
	for i := range d.Applications {
		a := &d.Applications[i]
		names := present(a.UniqueName, a.AppID)
		if len(names) == 0 {
			problems.add(a.at, a.path, "an application needs a uniqueName, or an appId if it has none")
			continue
		}
		sp := a.ServicePrincipal.offline()
		if a.NoServicePrincipal {
			sp = nil
		}
		add(names, directory.KindApplication, a.Disabled != nil && *a.Disabled, sp, a.Credentials)
	}
	for i := range d.ManagedIdentities {
		m := &d.ManagedIdentities[i]
		names := present(strings.ToLower(m.ResourceGroup+"/"+m.Name), m.ClientID)
		add(names, directory.KindManagedIdentity, false, m.ServicePrincipal.offline(), m.Credentials)
	}
	d.nickname(list)
	return list, problems.err()
}

// nickname adds the names by which commands find a client, too: its display
// name, or that of the identity without its resource group, where only one has
// it. An export has no unique names unless somebody gave some.
func (d *Document) nickname(list []Client) {
	taken := map[string]int{}
	for _, c := range list {
		for _, name := range c.Names {
			taken[strings.ToLower(name)]++
		}
	}
	names := make([]string, 0, len(list)) // in the order of list, but for what has problems
	for i := range d.Applications {
		a := &d.Applications[i]
		switch {
		case a.UniqueName == "" && a.AppID == "":
		case a.DisplayName == nil:
			names = append(names, "")
		default:
			names = append(names, *a.DisplayName)
		}
	}
	for i := range d.ManagedIdentities {
		names = append(names, d.ManagedIdentities[i].Name)
	}
	own := func(i int) bool { return strings.EqualFold(names[i], list[i].Names[0]) }
	for i, name := range names {
		if !own(i) {
			taken[strings.ToLower(name)]++
		}
	}
	for i, name := range names {
		if name != "" && !own(i) && taken[strings.ToLower(name)] == 1 {
			list[i].Names = append(list[i].Names, name)
		}
	}
}

// offline is the service principal that a document describes; one that it says
// nothing of is enabled.
func (d *ServicePrincipal) offline() *directory.ServicePrincipal {
	sp := &directory.ServicePrincipal{AccountEnabled: true}
	if d == nil {
		return sp
	}
	return d.over(sp)
}

func present(values ...string) []string {
	var list []string
	for _, v := range values {
		if v != "" {
			list = append(list, v)
		}
	}
	return list
}
