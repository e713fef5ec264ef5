package arm

import (
	"net/http/httptest"
	"testing"

	"github.com/go-json-experiment/json"
)

func metadata(t *testing.T, query string, into any) int {
	t.Helper()
	w := httptest.NewRecorder()
	MetadataHandler(testBase+"/")(w, httptest.NewRequest("GET", "http://evil.example/metadata/endpoints"+query, nil))
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatalf("%s: %v in %s", query, err, w.Body)
		}
	}
	return w.Code
}

func TestMetadata(t *testing.T) {
	var current cloudJSON
	metadata(t, "?api-version=2022-09-01", &current)
	if current.Name == "" || current.ResourceManager != testBase+"/" || current.MicrosoftGraphResourceID != testBase+"/" ||
		current.Authentication.LoginEndpoint != testBase || current.Authentication.IdentityProvider != "AAD" || current.Authentication.Tenant != "common" ||
		current.Suffixes.Storage == "" || current.Suffixes.KeyVaultDNS != "vault.sts.example.net" {
		t.Errorf("2022-09-01: %+v", current)
	}
	var array []cloudJSON
	metadata(t, "?api-version=2019-05-01", &array)
	if len(array) != 1 || array[0].Authentication.LoginEndpoint != testBase+"/adfs" || array[0].Name == "AzureCloud" || array[0].Authentication.Audiences[0] != testBase+"/" {
		t.Errorf("2019-05-01: %+v", array)
	}
	var old oldCloudJSON
	metadata(t, "?api-version=2015-01-01", &old)
	if old.Authentication.LoginEndpoint != testBase+"/adfs" || old.GalleryEndpoint == "" || old.PortalEndpoint == "" || old.GraphEndpoint == "" {
		t.Errorf("2015-01-01: %+v", old)
	}
	old = oldCloudJSON{}
	metadata(t, "?api-version=2018-01-01", &old)
	if old.CloudEndpoint[cloudName].Endpoint != "sts.example.net:8443" || len(old.CloudEndpoint[cloudName].Locations) == 0 {
		t.Errorf("2018-01-01: %+v", old)
	}
	for _, query := range []string{"", "?api-version=x"} {
		if status := metadata(t, query, nil); status != 400 {
			t.Errorf("%q: %d", query, status)
		}
	}
}
