package directory

import (
	"slices"
	"strings"
)

// checkSubject wants exactly one of subject and expression.
func checkSubject(c *FederatedIdentityCredential, level Compat) error {
	switch {
	case c.Expression == nil:
		return checkText("subject", c.Subject, 1, MaxSubject)
	case c.Subject != "":
		return Errorf(Invalid, "subject", "subject and claimsMatchingExpression exclude each other; keep one and set the other to null.")
	}
	return checkExpression(c, level)
}

func checkExpression(c *FederatedIdentityCredential, level Compat) error {
	if v := c.Expression.LanguageVersion; v != ExpressionLanguageVersion {
		return Errorf(Invalid, "claimsMatchingExpression.languageVersion", "claimsMatchingExpression.languageVersion must be %d; this one is %d.", ExpressionLanguageVersion, v)
	}
	e, err := ParseExpression(c.Expression.Value)
	if err != nil {
		return err
	}
	if !e.restricts() {
		return Errorf(Invalid, expressionTarget, "%s would match every token of the issuer, whoever asked it for one. "+
			"Compare a claim that tells its workloads apart, such as sub, with more than wildcards.", expressionTarget)
	}
	if level == Strict {
		return checkClaims(e, c.Issuer)
	}
	return nil
}

// checkClaims applies Entra's table of issuers and claims to a strict
// tenant's expression.
func checkClaims(e *Expression, issuer string) error {
	allowed := flexibleClaims(issuer)
	if allowed == nil {
		return Errorf(Invalid, "issuer", "issuer: tenants with compat strict take a claimsMatchingExpression for tokens of GitHub Actions, gitlab.com and HCP Terraform only, as Entra does. Use subject, or a relaxed tenant.")
	}
	for _, t := range e.terms {
		if !slices.Contains(allowed, t.claim) {
			return Errorf(Invalid, expressionTarget, "%s: tenants with compat strict cannot compare the claim '%s' of this issuer; they can compare: %s.",
				expressionTarget, t.claim, strings.Join(allowed, ", "))
		}
	}
	return nil
}

// flexibleClaims is Entra's table: the claims of an issuer that expressions
// may compare, or nil.
func flexibleClaims(issuer string) []string {
	switch issuer {
	case "https://token.actions.githubusercontent.com":
		return []string{"sub", "job_workflow_ref"}
	case "https://gitlab.com", "https://app.terraform.io", "https://app.eu.terraform.io":
		return []string{"sub"}
	}
	// https://gitlab.LABEL.com and https://gitlab.LABEL.ca
	label, ok := strings.CutPrefix(issuer, "https://gitlab.")
	if !ok {
		return nil
	}
	if label, ok = strings.CutSuffix(label, ".com"); !ok {
		label, ok = strings.CutSuffix(label, ".ca")
	}
	if ok && isLabel(label) {
		return []string{"sub"}
	}
	return nil
}

// isLabel reports whether s can be one label of a host name.
func isLabel(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAlphanumeric(s[i]) && (s[i] != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return s != ""
}
