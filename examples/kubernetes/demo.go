package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cambio/conformance/devserver"
	"cambio/test/httpclient"
	"cambio/test/kubernetes"
)

//go:embed cluster.yaml
var clusterObjects string

// The two protected resources, each with the one role it knows.
const (
	clusterURI, clusterRole = "api://demo-cluster", "Pods.Read"
	ordersURI, ordersRole   = "api://orders", "Orders.Read"
)

// demo is what the steps hand on to each other.
type demo struct {
	out      io.Writer
	steps    int
	dir      string
	cluster  *kubernetes.Cluster
	server   *devserver.Server
	api      *httpclient.Client
	resource struct{ cluster, orders httpclient.Application }
	client   struct{ worker, outsider httpclient.Application }
	// What the worker got: its platform's token, and an access token for each
	// resource. The outsider has an access token for each as well.
	assertion string
	worker    struct{ cluster, orders string }
	outsider  struct{ cluster, orders string }
}

// demonstrate runs every step and prints it to out. It takes seconds; after
// five minutes it gives up.
func demonstrate(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "cambio-kubernetes")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d := &demo{out: out, dir: dir}
	if d.cluster, err = kubernetes.New(dir); err != nil {
		return err
	}
	defer d.stop()
	for _, step := range []func(context.Context) error{
		d.startServer, d.registerResources, d.startCluster, d.prepareCluster, d.registerClients,
		d.exchange, d.readPods, d.withoutRole, d.wrongAudience, d.sampleAPI, d.wrongSubject,
	} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("step %d: %w", d.steps, err)
		}
	}
	fmt.Fprintln(out, "\nDone: every step came out as it says.")
	return nil
}

func (d *demo) stop() {
	d.cluster.Stop()
	if d.server != nil {
		d.server.Stop()
	}
}

func (d *demo) startServer(ctx context.Context) error {
	d.step("Start cambio. It will fetch the cluster's keys over the cluster's private certificate authority.")
	binary, err := devserver.Build(ctx, d.dir)
	if err != nil {
		return err
	}
	const loopback = "127.0.0.1/32"
	d.command("cambio dev --json --issuer-ca %s --allow-issuer-address %s", d.cluster.CAFile, loopback)
	d.server, err = devserver.Start(ctx, devserver.Config{
		Binary: binary, StateDir: filepath.Join(d.dir, "state"), Stderr: io.Discard,
		IssuerCAFile: d.cluster.CAFile, AllowIssuerAddress: []string{loopback},
	})
	if err != nil {
		return err
	}
	client, err := d.server.Client()
	if err != nil {
		return err
	}
	d.api = &httpclient.Client{
		BaseURL: d.server.BaseURL, TenantID: d.server.TenantID, AdminToken: d.server.AdminToken, HTTP: client,
		Trace: func(line string) { d.command("%s", line) },
	}
	d.result("it serves at %s", d.server.BaseURL)
	return nil
}

func (d *demo) registerResources(ctx context.Context) (err error) {
	d.step("Register two protected resources: the cluster's API and a sample API, each with a role.")
	if d.resource.cluster, err = d.api.Register(ctx, httpclient.Registration{
		Name: "Demo cluster", IdentifierURI: clusterURI, Roles: []string{clusterRole}, TokenVersion: 2,
	}); err != nil {
		return err
	}
	if d.resource.orders, err = d.api.Register(ctx, httpclient.Registration{
		Name: "Orders", IdentifierURI: ordersURI, Roles: []string{ordersRole}, TokenVersion: 2,
	}); err != nil {
		return err
	}
	d.result("the cluster's API is %s, the sample API is %s", d.resource.cluster.AppID, d.resource.orders.AppID)
	return nil
}

func (d *demo) startCluster(ctx context.Context) error {
	d.step("Start etcd and the Kubernetes API server, told to accept access tokens of cambio for its own audience.")
	err := d.cluster.Start(ctx, kubernetes.Trust{
		URL: d.issuer(), CAFile: d.server.CAFile, Audience: d.resource.cluster.AppID, TenantID: d.server.TenantID,
	})
	if err != nil {
		return err
	}
	config, err := os.ReadFile(filepath.Join(d.dir, "authentication.yaml"))
	if err != nil {
		return err
	}
	d.show(string(config))
	d.result("it serves at %s, which is also the issuer of its service account tokens", d.cluster.Issuer)
	return nil
}

func (d *demo) prepareCluster(ctx context.Context) error {
	d.step("In the cluster: two service accounts, a pod, and the right to read pods for whoever comes with the role.")
	d.command("kubectl apply -f examples/kubernetes/cluster.yaml")
	out, err := d.cluster.Kubectl(ctx, clusterObjects, "apply", "-f", "-")
	d.show(out)
	return err
}

func (d *demo) registerClients(ctx context.Context) error {
	d.step("Register a client for each service account. Only the worker is granted roles.")
	for _, client := range []struct {
		name string
		app  *httpclient.Application
	}{{"worker", &d.client.worker}, {"outsider", &d.client.outsider}} {
		var err error
		if *client.app, err = d.api.Register(ctx, httpclient.Registration{Name: client.name}); err != nil {
			return err
		}
		subject := "system:serviceaccount:demo:" + client.name
		if _, err := d.api.Trust(ctx, *client.app, "demo-cluster", d.cluster.Issuer, subject); err != nil {
			return err
		}
	}
	if err := d.api.Grant(ctx, d.client.worker, d.resource.cluster, clusterRole); err != nil {
		return err
	}
	return d.api.Grant(ctx, d.client.worker, d.resource.orders, ordersRole)
}

func (d *demo) exchange(ctx context.Context) (err error) {
	d.step("Exchange: the cluster's token goes in, an access token for the wanted resource comes out.")
	if d.assertion, err = d.serviceAccountToken(ctx, "worker"); err != nil {
		return err
	}
	if err := d.showClaims("the cluster's token says", d.assertion); err != nil {
		return err
	}
	if d.worker.cluster, err = d.accessToken(ctx, d.client.worker, clusterURI, d.assertion); err != nil {
		return err
	}
	if err := d.showClaims("the access token says", d.worker.cluster); err != nil {
		return err
	}
	d.worker.orders, err = d.accessToken(ctx, d.client.worker, ordersURI, d.assertion)
	return err
}

func (d *demo) readPods(ctx context.Context) error {
	d.step("Use it: the API server knows the worker by its access token and lets its role in.")
	if err := d.untilTrusted(ctx); err != nil {
		return err
	}
	if err := d.kubectl(ctx, d.worker.cluster, "", "auth", "whoami"); err != nil {
		return err
	}
	if err := d.kubectl(ctx, d.worker.cluster, "", "--namespace", "demo", "get", "pods"); err != nil {
		return err
	}
	return d.kubectl(ctx, d.worker.cluster, "Forbidden", "--namespace", "demo", "get", "secrets")
}

func (d *demo) withoutRole(ctx context.Context) error {
	d.step("The outsider proves who it is just as well, but holds no role: it gets a token and is kept out (403).")
	assertion, err := d.serviceAccountToken(ctx, "outsider")
	if err != nil {
		return err
	}
	if d.outsider.cluster, err = d.accessToken(ctx, d.client.outsider, clusterURI, assertion); err != nil {
		return err
	}
	if d.outsider.orders, err = d.accessToken(ctx, d.client.outsider, ordersURI, assertion); err != nil {
		return err
	}
	return d.kubectl(ctx, d.outsider.cluster, "Forbidden", "--namespace", "demo", "get", "pods")
}

func (d *demo) wrongAudience(ctx context.Context) error {
	d.step("A token for another resource, and the cluster's own token for the exchange, are not accepted (401).")
	if err := d.kubectl(ctx, d.worker.orders, "Unauthorized", "--namespace", "demo", "get", "pods"); err != nil {
		return err
	}
	return d.kubectl(ctx, d.assertion, "Unauthorized", "--namespace", "demo", "get", "pods")
}

func (d *demo) wrongSubject(ctx context.Context) error {
	d.step("The outsider's service account cannot be the worker: the refusal says what was presented.")
	assertion, err := d.serviceAccountToken(ctx, "outsider")
	if err != nil {
		return err
	}
	_, err = d.accessToken(ctx, d.client.worker, clusterURI, assertion)
	var refusal *httpclient.Refusal
	if !errors.As(err, &refusal) || refusal.Status != 401 || !strings.Contains(refusal.Body, "AADSTS700213") {
		return fmt.Errorf("want 401 with AADSTS700213, got %v", err)
	}
	var answer struct {
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal([]byte(refusal.Body), &answer); err != nil {
		return err
	}
	d.result("%d %s", refusal.Status, answer.Description)
	return nil
}

// issuer is the one of access tokens of version 2.0.
func (d *demo) issuer() string { return d.server.BaseURL + "/" + d.server.TenantID + "/v2.0" }

// serviceAccountToken asks the cluster for a token, as the kubelet does for a
// pod with a projected volume.
func (d *demo) serviceAccountToken(ctx context.Context, name string) (string, error) {
	args := []string{"--namespace", "demo", "create", "token", name, "--audience", "api://AzureADTokenExchange"}
	d.command("kubectl %s", strings.Join(args, " "))
	return d.cluster.Kubectl(ctx, "", args...)
}

// accessToken makes the exchange.
func (d *demo) accessToken(ctx context.Context, client httpclient.Application, resource, assertion string) (string, error) {
	d.command("POST /%s/oauth2/v2.0/token grant_type=client_credentials client_id=%s scope=%s/.default client_assertion=%.12s...",
		d.server.TenantID, client.AppID, resource, assertion)
	return d.api.Exchange(ctx, client.AppID, resource+"/.default", assertion)
}

// kubectl runs one command with the access token and nothing else to be known
// by. A non-empty refusal is a word of the failure that is wanted.
func (d *demo) kubectl(ctx context.Context, token, refusal string, args ...string) error {
	d.command("kubectl --token %.12s... %s", token, strings.Join(args, " "))
	out, err := d.cluster.KubectlWithToken(ctx, token, args...)
	switch {
	case err == nil && refusal == "":
		d.show(out)
		return nil
	case err == nil:
		return fmt.Errorf("want %s, but it was let in: %s", refusal, out)
	case refusal == "" || !strings.Contains(err.Error(), refusal):
		return err
	}
	d.result("%v", err)
	return nil
}

// untilTrusted waits, at most half a minute, until the API server has fetched
// cambio's keys, which it does in the background after its start.
func (d *demo) untilTrusted(ctx context.Context) error {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		_, err := d.cluster.KubectlWithToken(ctx, d.worker.cluster, "auth", "whoami")
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
	}
}
