package kubernetes

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"cambio/conformance/devserver"
	"cambio/test/realparts"
)

// TestCluster shows that the starter itself works: everything else about the
// cluster is in examples/kubernetes.
func TestCluster(t *testing.T) {
	realparts.Needs(t, realparts.Etcd, realparts.KubeAPIServer, realparts.Kubectl)
	c, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	if err := c.Start(t.Context(), Trust{}); err != nil {
		t.Fatal(err)
	}
	version, err := c.Kubectl(t.Context(), "", "get", "--raw", "/version")
	if err != nil || !strings.Contains(version, realparts.KubernetesVersion) {
		t.Fatalf("version: %s, %v", version, err)
	}
	client, err := devserver.NewClient(c.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Get(c.Issuer + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	document, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(document), c.Issuer) {
		t.Fatalf("anonymous discovery: %s %s, %v", response.Status, document, err)
	}
	if _, err := c.KubectlWithToken(t.Context(), "nonsense", "get", "--raw", "/version"); err == nil {
		t.Fatal("a nonsense bearer token was let in")
	}
}
