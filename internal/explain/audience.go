package explain

import (
	"strings"

	"cambio/internal/profile"
)

// audienceClass knows audiences that tokens for others have.
func audienceClass(presented []string) (Class, string) {
	for _, a := range presented {
		if owner, ok := strings.CutPrefix(a, "https://github.com/"); ok && owner != "" {
			return OtherAudience, "GitHub's default, the owner's URL: the job did not ask for an audience"
		}
		if why, known := otherAudiences[a]; known {
			return OtherAudience, why
		}
		if title, known := profile.SharedAudience(a); known {
			return OtherAudience, "one that " + title + " gives to tokens for other services"
		}
	}
	return "", ""
}

// otherAudiences are those of other clouds and services.
var otherAudiences = map[string]string{
	"api://AzureADTokenExchange":        "that of the public Azure cloud",
	"api://AzureADTokenExchangeUSGov":   "that of Azure Government",
	"api://AzureADTokenExchangeUSNat":   "that of Azure Government Secret (USNat)",
	"api://AzureADTokenExchangeUSSec":   "that of Azure Government Secret (USSec)",
	"api://AzureADTokenExchangeChina":   "that of Azure in China",
	"api://AzureADTokenExchangeGermany": "that of Azure in Germany",
	"sts.amazonaws.com":                 "that of AWS",
	"sts.amazonaws.com.cn":              "that of AWS in China",
	"sigstore":                          "that of Sigstore",
	"vault":                             "one that Vault is given",
	"pypi":                              "that of PyPI",
	"npm:registry.npmjs.org":            "that of npm",
}
