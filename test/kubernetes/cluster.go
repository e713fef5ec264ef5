// Package kubernetes starts a real Kubernetes API server with its etcd for
// tests and demonstrations: an identity provider (its service account tokens,
// its own discovery document and key set, its private certificate authority)
// and, when told whom to trust, a protected resource.
//
// Everything listens on 127.0.0.1 only. There are no nodes: pods can be
// created but never run.
package kubernetes

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"cambio/test/pki"
	"cambio/test/realparts"
)

//go:embed authentication.yaml.tmpl
var authentication string

//go:embed discovery.yaml
var discovery string

// Trust is the issuer whose access tokens the API server accepts, for one
// audience and one tenant.
type Trust struct {
	URL      string // the issuer, exactly as in the token's iss
	CAFile   string // PEM of the authority that its server certificate comes from
	Audience string
	TenantID string
}

// Cluster is one API server with its etcd. The address and the authority are
// known before anything runs, so that others can be told of them first.
type Cluster struct {
	Issuer string // of the service account tokens; also the server's URL
	CAFile string // PEM
	dir    string
	files  pki.Files
	admin  string // bearer token of the cluster's administrator
	etcd   *process
	server *process
}

// New makes an authority and chooses an address. State, logs and keys are kept
// in dir, which has to exist.
func New(dir string) (*Cluster, error) {
	files, err := pki.Loopback(dir, "kube-apiserver")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	return &Cluster{
		Issuer: fmt.Sprintf("https://127.0.0.1:%d", ports[0]),
		CAFile: files.CA,
		dir:    dir,
		files:  files,
		admin:  rand.Text(),
	}, nil
}

// Start runs both programs, waits until the API server is ready and lets
// anybody read its discovery document. Both end when ctx does, or at Stop.
func (c *Cluster) Start(ctx context.Context, trust Trust) error {
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	client, peer := fmt.Sprintf("http://127.0.0.1:%d", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	if c.etcd, err = c.run(ctx, realparts.Etcd,
		"--name=cluster", "--data-dir="+c.path("etcd"),
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=cluster="+peer,
	); err != nil {
		return err
	}
	arguments, err := c.prepare(trust, client)
	if err != nil {
		return err
	}
	if c.server, err = c.run(ctx, realparts.KubeAPIServer, arguments...); err != nil {
		return err
	}
	if err := c.ready(ctx); err != nil {
		return err
	}
	_, err = c.Kubectl(ctx, discovery, "apply", "-f", "-")
	return err
}

// prepare writes the API server's files and returns its arguments.
func (c *Cluster) prepare(trust Trust, etcd string) ([]string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := pki.WritePEM(c.path("serviceaccount.key"), "PRIVATE KEY", der); err != nil {
		return nil, err
	}
	config, err := trust.render()
	if err != nil {
		return nil, err
	}
	for name, text := range map[string]string{
		"authentication.yaml": config,
		"tokens.csv":          c.admin + `,admin,admin,"system:masters"` + "\n",
		"kubeconfig":          c.kubeconfig(),
	} {
		if err := os.WriteFile(c.path(name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return []string{
		"--etcd-servers=" + etcd,
		"--bind-address=127.0.0.1", "--secure-port=" + c.Issuer[strings.LastIndexByte(c.Issuer, ':')+1:],
		"--endpoint-reconciler-type=none", // the default refuses a loopback address
		"--service-cluster-ip-range=10.43.0.0/24",
		"--tls-cert-file=" + c.files.Certificate, "--tls-private-key-file=" + c.files.Key, "--cert-dir=" + c.dir,
		"--service-account-issuer=" + c.Issuer, "--service-account-jwks-uri=" + c.Issuer + "/openid/v1/jwks",
		"--service-account-key-file=" + c.path("serviceaccount.key"),
		"--service-account-signing-key-file=" + c.path("serviceaccount.key"),
		"--api-audiences=" + c.Issuer,
		"--authorization-mode=RBAC",
		"--token-auth-file=" + c.path("tokens.csv"),
		"--authentication-config=" + c.path("authentication.yaml"),
	}, nil
}

// render fills in the authentication configuration. An empty Trust trusts no
// issuer.
func (t Trust) render() (string, error) {
	if t == (Trust{}) {
		return "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt: []\n", nil
	}
	ca, err := os.ReadFile(t.CAFile)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = template.Must(template.New("").Parse(authentication)).Execute(&out, map[string]string{
		"URL":      t.URL,
		"Audience": t.Audience,
		"TenantID": t.TenantID,
		"CA":       "      " + strings.ReplaceAll(strings.TrimSpace(string(ca)), "\n", "\n      "),
	})
	return out.String(), err
}

func (c *Cluster) kubeconfig() string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: demo, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: admin, user: {token: %q}}]
contexts: [{name: demo, context: {cluster: demo, user: admin}}]
current-context: demo
`, c.Issuer, c.CAFile, c.admin)
}

// ready waits until the API server says that it is, at most two minutes.
func (c *Cluster) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		if _, err := c.Kubectl(ctx, "", "get", "--raw", "/readyz"); err == nil {
			return nil
		}
		select {
		case <-c.server.done:
			return fmt.Errorf("kube-apiserver ended: %s", c.server.lastLines())
		case <-c.etcd.done:
			return fmt.Errorf("etcd ended: %s", c.etcd.lastLines())
		case <-ctx.Done():
			return fmt.Errorf("kube-apiserver is not ready: %s", c.server.lastLines())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Stop ends both programs.
func (c *Cluster) Stop() {
	for _, p := range []*process{c.server, c.etcd} {
		if p != nil {
			p.stop()
		}
	}
}

// Kubectl runs kubectl as the cluster's administrator and returns what it
// printed. The error of a failure is kubectl's own last line.
func (c *Cluster) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	return c.kubectl(ctx, stdin, append([]string{"--kubeconfig", c.path("kubeconfig")}, args...))
}

// KubectlWithToken runs kubectl as whoever the bearer token names.
func (c *Cluster) KubectlWithToken(ctx context.Context, token string, args ...string) (string, error) {
	return c.kubectl(ctx, "", append([]string{
		"--kubeconfig", os.DevNull, "--server", c.Issuer, "--certificate-authority", c.CAFile, "--token", token,
	}, args...))
}

func (c *Cluster) kubectl(ctx context.Context, stdin string, args []string) (string, error) {
	path, err := realparts.Find(realparts.Kubectl)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "KUBECACHEDIR="+c.path("kubecache"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", errors.New(lastLine(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// lastLine is where kubectl says what went wrong; what stands before are
// warnings and remarks of its libraries.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// freePorts asks the kernel for loopback ports that nobody uses. Somebody else
// may take one before it is used: the program then says so and ends.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
