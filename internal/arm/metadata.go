package arm

import (
	"net/http"
	"net/url"
	"strings"

	"cambio/internal/management"

	"github.com/google/uuid"
)

// cloudName is how clients list this cloud. It must not be one of Azure's own.
const cloudName = "Cambio"

// location is the name of the one region there is.
const location = "local"

type authenticationJSON struct {
	LoginEndpoint    string   `json:"loginEndpoint"`
	Audiences        []string `json:"audiences"`
	Tenant           string   `json:"tenant"`
	IdentityProvider string   `json:"identityProvider"`
}

// cloudJSON is the document of 2022-09-01 and, in an array, of 2019-05-01.
type cloudJSON struct {
	Name                     string             `json:"name"`
	Portal                   string             `json:"portal"`
	Authentication           authenticationJSON `json:"authentication"`
	Graph                    string             `json:"graph"`
	GraphAudience            string             `json:"graphAudience"`
	MicrosoftGraphResourceID string             `json:"microsoftGraphResourceId"`
	ResourceManager          string             `json:"resourceManager"`
	Gallery                  string             `json:"gallery"`
	Batch                    string             `json:"batch"`
	Media                    string             `json:"media"`
	SQLManagement            string             `json:"sqlManagement"`
	ActiveDirectoryDataLake  string             `json:"activeDirectoryDataLake"`
	VMImageAliasDoc          string             `json:"vmImageAliasDoc"`
	Suffixes                 suffixesJSON       `json:"suffixes"`
}

// suffixesJSON: nothing answers under these names, but azurerm refuses a cloud
// without the first two.
type suffixesJSON struct {
	Storage             string `json:"storage"`
	KeyVaultDNS         string `json:"keyVaultDns"`
	SQLServerHostname   string `json:"sqlServerHostname"`
	ContainerRegistry   string `json:"acrLoginServer"`
	DataLakeStoreSuffix string `json:"azureDataLakeStoreFileSystem"`
}

// oldCloudJSON is the document of 2015-01-01 and 2018-01-01.
type oldCloudJSON struct {
	GalleryEndpoint string                       `json:"galleryEndpoint"`
	GraphEndpoint   string                       `json:"graphEndpoint"`
	PortalEndpoint  string                       `json:"portalEndpoint"`
	GraphAudience   string                       `json:"graphAudience"`
	Authentication  authenticationJSON           `json:"authentication"`
	CloudEndpoint   map[string]cloudEndpointJSON `json:"cloudEndpoint"`
}

type cloudEndpointJSON struct {
	Endpoint  string   `json:"endpoint"`
	Locations []string `json:"locations"`
}

// MetadataHandler answers GET /metadata/endpoints, the public description
// of the cloud that az and Terraform configure themselves from. Its shape
// depends on api-version: an object until 2019, an array of clouds from
// 2019-05-01, one cloud from 2022-09-01 on. baseURL is the public base URL.
//
// The login endpoint of the older shapes is the AD FS door: az, which reads
// them, would else ask Microsoft about the authority before it uses it.
func MetadataHandler(baseURL string) http.HandlerFunc {
	base := strings.TrimRight(baseURL, "/")
	current := cloudOf(base)
	adfs := current
	adfs.Authentication.LoginEndpoint = base + "/adfs"
	old := oldCloudJSON{
		GalleryEndpoint: base + "/", GraphEndpoint: base + "/", PortalEndpoint: base + "/", GraphAudience: base + "/",
		Authentication: adfs.Authentication,
		CloudEndpoint:  map[string]cloudEndpointJSON{cloudName: {Endpoint: hostOf(base), Locations: []string{location}}},
	}
	return func(w http.ResponseWriter, r *http.Request) {
		id := uuid.NewString()
		call := &management.Call{RequestID: id, CorrelationID: id}
		setHeaders(w.Header(), call)
		versions := r.URL.Query()["api-version"]
		if err := checkVersion(versions); err != nil {
			p, _ := problemOf(err)
			WriteError(w, p.Status, p.Code, p.Message, call)
			return
		}
		switch version := versions[0]; {
		case version < "2019-05-01":
			writeJSON(w, http.StatusOK, old)
		case version < "2022-09-01":
			writeJSON(w, http.StatusOK, []cloudJSON{adfs})
		default:
			writeJSON(w, http.StatusOK, current)
		}
	}
}

func cloudOf(base string) cloudJSON {
	domain := hostOf(base)
	if u, err := url.Parse(base); err == nil {
		domain = u.Hostname()
	}
	slash := base + "/"
	return cloudJSON{
		Name: cloudName, Portal: slash, Graph: slash, GraphAudience: slash, MicrosoftGraphResourceID: slash, ResourceManager: slash,
		Gallery: slash, Batch: slash, Media: slash, SQLManagement: slash, ActiveDirectoryDataLake: slash, VMImageAliasDoc: slash,
		Authentication: authenticationJSON{LoginEndpoint: base, Audiences: []string{slash}, Tenant: "common", IdentityProvider: "AAD"},
		Suffixes: suffixesJSON{
			Storage: "core." + domain, KeyVaultDNS: "vault." + domain, SQLServerHostname: "database." + domain,
			ContainerRegistry: "registry." + domain, DataLakeStoreSuffix: "datalake." + domain,
		},
	}
}

// hostOf is the host and port of a URL.
func hostOf(base string) string {
	if u, err := url.Parse(base); err == nil {
		return u.Host
	}
	return base
}
