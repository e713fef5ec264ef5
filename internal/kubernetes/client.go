// Package kubernetes reads objects of a Kubernetes API server, as a pod of the
// cluster or with a kubeconfig file. It knows the few requests and members that
// cambio needs; the official client would add tens of megabytes to the binary.
package kubernetes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// mostBytes bounds an answer; an object in etcd is smaller than 2 MiB.
const mostBytes = 8 << 20

// Client reads from one API server. It is safe for concurrent use.
type Client struct {
	server    string
	namespace string
	token     func() (string, error) // nil: none is sent
	http      *http.Client
}

// StatusError is an answer that is not a success.
type StatusError struct {
	Path   string
	Status int
	Text   string // what the API server said
}

// Error says what was asked, and what the API server said.
func (e *StatusError) Error() string {
	return fmt.Sprintf("the API server answered %d to GET %s: %s", e.Status, e.Path, e.Text)
}

// IsNotFound tells whether an object does not exist.
func IsNotFound(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Status == http.StatusNotFound
}

// IsDenied tells whether the caller may not read an object, or is not known.
func IsDenied(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && (status.Status == http.StatusForbidden || status.Status == http.StatusUnauthorized)
}

// Namespace is the one of the context, or "default".
func (c *Client) Namespace() string { return c.namespace }

// Get reads the object at a path made of elements, each of which is escaped.
func (c *Client) Get(ctx context.Context, into any, elements ...string) error {
	path := ""
	for _, e := range elements {
		path += "/" + url.PathEscape(e)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	if c.token != nil {
		token, err := c.token()
		if err != nil {
			return fmt.Errorf("the token for the API server: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("the API server cannot be reached: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, mostBytes))
	if err != nil {
		return fmt.Errorf("the API server's answer to GET %s: %w", path, err)
	}
	if res.StatusCode != http.StatusOK {
		return &StatusError{Path: path, Status: res.StatusCode, Text: message(body)}
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the API server's answer to GET %s: %w", path, err)
	}
	return nil
}

// message is that of a Status object.
func message(body []byte) string {
	var status struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(body, &status); err != nil || status.Message == "" {
		return "no message"
	}
	return status.Message
}

// Where a pod finds what it needs to call the API server.
const podFolder = "/var/run/secrets/kubernetes.io/serviceaccount/"

// InCluster makes the client of a pod. The token is read for each request,
// since the kubelet replaces it.
func InCluster() (*Client, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("this is not a pod of a cluster: KUBERNETES_SERVICE_HOST is not set; give --kubeconfig")
	}
	ca, err := os.ReadFile(podFolder + "ca.crt")
	if err != nil {
		return nil, err
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return newClient("https://"+host+":"+port, "default", ca, nil, fromFile(podFolder+"token"))
}

func fromFile(path string) func() (string, error) {
	return func() (string, error) {
		raw, err := os.ReadFile(path)
		return strings.TrimSpace(string(raw)), err
	}
}

func newClient(server, namespace string, ca []byte, pair []tls.Certificate, token func() (string, error)) (*Client, error) {
	if !strings.HasPrefix(server, "https://") {
		return nil, fmt.Errorf("the API server %q must be an https URL", server)
	}
	config := &tls.Config{Certificates: pair, MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("the certificate authority of the API server is not PEM")
		}
	}
	return &Client{server: strings.TrimSuffix(server, "/"), namespace: namespace, token: token,
		http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
			TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: 90 * time.Second}}}, nil
}
