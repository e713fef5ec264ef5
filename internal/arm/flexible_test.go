package arm

import (
	"strings"
	"testing"

	"cambio/internal/directory"
)

const expression = "claims['sub'] matches 'system:serviceaccount:shop:*'"

func credentialOfExpression(value string) string {
	return `{"properties":{"audiences":["api://AzureADTokenExchange"],"issuer":"https://oidc.example/k8s/","claimsMatchingExpression":{"value":"` + value + `","languageVersion":1}}}`
}

// TestFlexibleCredential: two previews have the expression; other versions
// show the credential without it and without a subject.
func TestFlexibleCredential(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.identity("id1")
	list := identities + "/id1/federatedIdentityCredentials"
	path := list + "/fic1"
	for _, preview := range []string{"2025-01-31-preview", "2025-05-31-preview"} {
		preview = "?api-version=" + preview
		made := f.do("PUT", path+preview, credentialOfExpression(expression)).want(201, "")
		got := f.do("GET", path+preview, "").want(200, "")
		shown, _ := got.property("claimsMatchingExpression").(map[string]any)
		if got.text != made.text || shown["value"] != expression || shown["languageVersion"] != 1.0 || got.property("subject") != nil {
			t.Errorf("%s: %s", preview, got.text)
		}
		f.do("PUT", path+preview, got.text).want(200, "")
		if refused := f.do("PUT", list+"/fic2"+preview, credentialOfExpression(expression)).want(400, CodeBadRequest); !strings.Contains(refused.text, "fic1") {
			t.Errorf("the refusal does not name the holder: %s", refused.text)
		}
		if got := f.do("GET", list+preview, "").want(200, ""); !strings.Contains(got.text, "claimsMatchingExpression") {
			t.Errorf("%s: %s", preview, got.text)
		}
		for _, other := range []string{version, "?api-version=2026-05-31", "?api-version=2022-01-31-preview"} {
			for _, got := range []answer{f.do("GET", path+other, ""), f.do("GET", list+other, "")} {
				if got.want(200, ""); strings.Contains(got.text, "claimsMatchingExpression") || strings.Contains(got.text, `"subject"`) || !strings.Contains(got.text, `"issuer"`) {
					t.Errorf("%s: %s", other, got.text)
				}
			}
			refused := f.do("PUT", path+other, credentialOfExpression(expression)).want(400, CodeBadRequest)
			if !strings.Contains(refused.text, "2025-01-31-preview, 2025-05-31-preview") {
				t.Errorf("%s: %s", other, refused.text)
			}
		}
		f.do("DELETE", path+preview, "").want(200, "")
	}
}

// TestFlexibleCredentialReplaced: a PUT says everything about a credential,
// its kind too, and what GET answered can be sent back or is refused.
func TestFlexibleCredentialReplaced(t *testing.T) {
	f := newFixture(t, directory.Relaxed)
	f.identity("id1")
	path, preview := identities+"/id1/federatedIdentityCredentials/fic1", "?api-version=2025-01-31-preview"
	f.do("PUT", path+version, credentialOfSubject("s")).want(201, "")
	f.do("PUT", path+preview, credentialOfExpression(expression)).want(200, "")
	stable := f.do("GET", path+version, "").want(200, "")
	if refused := f.do("PUT", path+version, stable.text).want(400, CodeBadRequest); !strings.Contains(refused.text, "subject is required") {
		t.Errorf("sent back: %s", refused.text)
	}
	f.do("PUT", path+version, credentialOfSubject("s")).want(200, "")
	if got := f.do("GET", path+preview, "").want(200, ""); got.property("subject") != "s" || got.property("claimsMatchingExpression") != nil {
		t.Errorf("with a subject again: %s", got.text)
	}
	for body, contains := range map[string]string{
		credentialOfExpression("sub"): "character 1",
		strings.Replace(credentialOfExpression(expression), `"issuer"`, `"subject":"s","issuer"`, 1):                    "exclude each other",
		strings.Replace(credentialOfExpression(expression), `,"languageVersion":1`, "", 1):                              "languageVersion must be 1",
		strings.Replace(credentialOfSubject("s"), `"subject":"s"`, `"subject":null,"claimsMatchingExpression":null`, 1): "subject is required",
	} {
		if got := f.do("PUT", path+preview, body).want(400, CodeBadRequest); !strings.Contains(got.text, contains) {
			t.Errorf("%s: %s", body, got.text)
		}
	}
	f.do("PUT", path+preview, `{"properties":{"claimsMatchingExpression":1}}`).want(400, CodeInvalidContent)
	f.do("PUT", path+preview, `{"properties":{"claimsMatchingExpression":{"languageVersion":1.5}}}`).want(400, CodeInvalidContent)
}
