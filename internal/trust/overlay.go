package trust

import "slices"

// Overlay returns what a tenant has once a document was applied to it, as far
// as that decides which tokens are accepted. d must be an export, which names
// everything; neither is changed. With prune, clients that the document does
// not name are gone.
func (d *Document) Overlay(change *Document, prune bool) *Document {
	out := &Document{Applications: slices.Clone(d.Applications), ManagedIdentities: slices.Clone(d.ManagedIdentities)}
	for i := range change.Applications {
		c := &change.Applications[i]
		at := slices.IndexFunc(out.Applications, func(a Application) bool { return a.is(c) })
		if at < 0 {
			out.Applications = append(out.Applications, *c)
			continue
		}
		a := &out.Applications[at]
		if c.Disabled != nil {
			a.Disabled = c.Disabled
		}
		if c.Credentials != nil {
			a.Credentials = c.Credentials
		}
		if c.NoServicePrincipal || c.ServicePrincipal != nil {
			a.NoServicePrincipal = c.NoServicePrincipal
			a.ServicePrincipal = a.ServicePrincipal.changed(c.ServicePrincipal)
		}
	}
	for i := range change.ManagedIdentities {
		c := &change.ManagedIdentities[i]
		at := slices.IndexFunc(out.ManagedIdentities, func(m ManagedIdentity) bool { return m.is(c) })
		if at < 0 {
			out.ManagedIdentities = append(out.ManagedIdentities, *c)
			continue
		}
		m := &out.ManagedIdentities[at]
		if c.Credentials != nil {
			m.Credentials = c.Credentials
		}
		m.ServicePrincipal = m.ServicePrincipal.changed(c.ServicePrincipal)
	}
	if prune {
		out.Applications = slices.DeleteFunc(out.Applications, func(a Application) bool {
			return !slices.ContainsFunc(change.Applications, func(c Application) bool { return a.is(&c) })
		})
		out.ManagedIdentities = slices.DeleteFunc(out.ManagedIdentities, func(m ManagedIdentity) bool {
			return !slices.ContainsFunc(change.ManagedIdentities, func(c ManagedIdentity) bool { return m.is(&c) })
		})
	}
	return out
}

// is reports whether a document means this application.
func (a *Application) is(c *Application) bool {
	if c.UniqueName != "" {
		return a.UniqueName == c.UniqueName
	}
	return c.AppID != "" && a.AppID == c.AppID
}

// is reports whether a document means this identity.
func (m *ManagedIdentity) is(c *ManagedIdentity) bool {
	return identityKey(m.ResourceGroup, m.Name) == identityKey(c.ResourceGroup, c.Name)
}

// changed is a service principal after a change; nil changes nothing.
func (s *ServicePrincipal) changed(c *ServicePrincipal) *ServicePrincipal {
	if c == nil {
		return s
	}
	out := *c
	if s != nil && out.Enabled == nil {
		out.Enabled = s.Enabled
	}
	return &out
}
