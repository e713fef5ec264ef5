package graph

import "cambio/internal/directory"

// credentialObject is a federated identity credential as Graph shows it. A
// flexible one has no subject, and an expression that only beta knows.
func (s *surface) credentialObject(c *directory.FederatedIdentityCredential) object {
	o := object{
		{"id", c.ID},
		{"name", c.Name},
		{"issuer", c.Issuer},
		{"subject", orNull(c.Subject)},
		{"description", orNull(c.Description)},
		{"audiences", list(c.Audiences)},
	}
	if c.Ceilings != nil { // an extension: what has none looks as ever
		o = append(o, member{"ceilings", c.Ceilings})
	}
	if s.version != "beta" {
		return o
	}
	var expression any
	if e := c.Expression; e != nil {
		expression = object{{"value", e.Value}, {"languageVersion", e.LanguageVersion}}
	}
	return append(o, member{"claimsMatchingExpression", expression})
}

// setCredential copies the writable properties of a body into c. The name is
// set once: c.Name is empty for a new credential.
func (s *surface) setCredential(b *body, c *directory.FederatedIdentityCredential) error {
	if c.Name == "" {
		b.setString("name", &c.Name)
	}
	if b.given("name") && b.text("name") != c.Name && b.err == nil {
		b.err = badRequest("The property 'name' cannot change. Create another credential with the new name and delete this one.")
	}
	b.readOnly("id", c.ID)
	b.setString("issuer", &c.Issuer)
	b.setStrings("audiences", &c.Audiences)
	b.setString("description", &c.Description)
	b.setCeilings(&c.Ceilings)
	s.setTrust(b, c)
	return b.err
}

// setTrust sets subject and expression, of which a credential has one. Setting
// one never drops the other by itself: on v1.0 the caller would not know what
// is lost.
func (s *surface) setTrust(b *body, c *directory.FederatedIdentityCredential) {
	hadSubject, hadExpression := c.Subject != "", c.Expression != nil
	b.setString("subject", &c.Subject)
	if s.version == "beta" {
		b.setExpression(&c.Expression)
	} else {
		b.unsupported("claimsMatchingExpression", "v1.0 does not know it. Send this request to /beta instead of /v1.0.")
	}
	if b.err != nil || c.Subject == "" || c.Expression == nil {
		return
	}
	switch {
	case hadExpression && !b.given("claimsMatchingExpression"):
		b.err = badRequest(`This credential has a claimsMatchingExpression, which excludes subject. To replace it by a subject, send "claimsMatchingExpression": null and the subject to /beta.`)
	case hadSubject && !b.given("subject"):
		b.err = badRequest(`This credential has a subject, which excludes claimsMatchingExpression. To replace it by an expression, send "subject": null as well.`)
	}
}

// setCeilings reads all ceilings: what is left out bounds nothing.
func (b *body) setCeilings(to **directory.Ceilings) {
	raw, present, null := b.value("ceilings")
	switch {
	case null:
		*to = nil
	case present:
		ceilings, err := directory.ReadCeilings(raw)
		if err != nil {
			b.err = err
			return
		}
		*to = ceilings
	}
}

// setExpression reads claimsMatchingExpression. Its members are merged with
// those that are there, as in every complex property (OData 4.01 §11.4.3).
func (b *body) setExpression(to **directory.ClaimsMatchingExpression) {
	_, present, null := b.value("claimsMatchingExpression")
	if null {
		*to = nil
	}
	if !present || null {
		return
	}
	inner := b.nested("claimsMatchingExpression")
	if inner == nil {
		return
	}
	var e directory.ClaimsMatchingExpression
	if *to != nil {
		e = **to
	}
	inner.setString("value", &e.Value)
	inner.setInt("languageVersion", &e.LanguageVersion)
	b.adopt(inner)
	*to = &e
}
