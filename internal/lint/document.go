package lint

import (
	"strings"

	"cambio/internal/directory"
	"cambio/internal/trust"
)

// Clients takes the clients of a trust configuration. roles are values of app
// roles by id, beside those that the document itself defines.
func Clients(d *trust.Document, roles map[string]string) []Client {
	values := map[string]string{}
	for id, value := range roles {
		values[strings.ToLower(id)] = value
	}
	for i := range d.Applications {
		for _, r := range d.Applications[i].AppRoles {
			if r.ID != "" {
				values[strings.ToLower(r.ID)] = r.Value
			}
		}
	}
	var out []Client
	add := func(id, name string, credentials []trust.Credential, assignments []trust.Assignment) {
		c := Client{ID: strings.ToLower(id), Name: name}
		for i := range credentials {
			c.Credentials = append(c.Credentials, credential(&credentials[i]))
		}
		for _, a := range assignments {
			role := Role{Resource: a.Resource, Value: a.Role}
			if value, known := values[strings.ToLower(a.Role)]; known {
				role.Value = value
			}
			if role.Resource == trust.ManagementResource {
				role.Resource = "the management APIs"
			}
			c.Roles = append(c.Roles, role)
		}
		out = append(out, c)
	}
	for i := range d.ManagedIdentities {
		m := &d.ManagedIdentities[i]
		add(m.ClientID, m.ResourceGroup+"/"+m.Name, m.Credentials, m.Assignments)
	}
	for i := range d.Applications {
		a := &d.Applications[i]
		add(a.AppID, applicationName(a), a.Credentials, a.Assignments)
	}
	return out
}

// applicationName is how a document's reader knows an application.
func applicationName(a *trust.Application) string {
	switch {
	case a.UniqueName != "":
		return a.UniqueName
	case a.DisplayName != nil:
		return *a.DisplayName
	}
	return a.AppID
}

func credential(c *trust.Credential) Credential {
	at, path := c.Stands()
	out := Credential{Place: Place{File: at.File, Line: at.Line, Path: path}, Overrides: c.LintOverrides}
	out.Name, out.Issuer, out.Subject, out.Audiences, out.Description = c.Name, c.Issuer, c.Subject, c.Audiences, c.Description
	if c.Expression != nil {
		out.Expression = &directory.ClaimsMatchingExpression{Value: c.Expression.Value, LanguageVersion: directory.ExpressionLanguageVersion}
	}
	return out
}
