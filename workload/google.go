package workload

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// productFile is what the firmware of the machine calls it.
const productFile = "/sys/class/dmi/id/product_name"

func googlePlatform() Platform {
	return Platform{
		Name: "google", Title: "Google Cloud", Level: Machine,
		Find: func(e Environment) (bool, string) {
			if e.Env("GCE_METADATA_HOST") != "" {
				return true, "GCE_METADATA_HOST is set"
			}
			if raw, err := e.Read(productFile); err == nil && strings.HasPrefix(string(raw), "Google") {
				return true, "the machine is one of Google's (" + productFile + ")"
			}
			return false, "GCE_METADATA_HOST is not set and the machine is not one of Google's"
		},
		Source: func(e Environment) Source {
			return func(ctx context.Context, audience string) (string, error) { return googleToken(ctx, e, audience) }
		},
	}
}

// googleToken asks the metadata server for an identity token of the default
// service account, with what it says about the machine.
func googleToken(ctx context.Context, e Environment, audience string) (string, error) {
	host := e.Env("GCE_METADATA_HOST")
	if host == "" {
		host = "metadata.google.internal"
	}
	query := url.Values{"audience": {audience}, "format": {"full"}}
	return askPlatform(ctx, e, platformRequest{
		platform: "Google Cloud", method: http.MethodGet,
		url:    "http://" + host + "/computeMetadata/v1/instance/service-accounts/default/identity?" + query.Encode(),
		header: http.Header{"Metadata-Flavor": {"Google"}},
		hints: map[int]string{
			http.StatusNotFound:  "the machine has no service account: create it with --service-account; in GKE, annotate the Kubernetes service account with iam.gke.io/gcp-service-account",
			http.StatusForbidden: "the machine's service account may not make identity tokens; in GKE, grant roles/iam.workloadIdentityUser on it to the Kubernetes service account",
		},
	})
}
