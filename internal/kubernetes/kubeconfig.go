package kubernetes

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// kubeconfig has the members of a kubeconfig file that are understood.
type kubeconfig struct {
	CurrentContext string `yaml:"current-context"`
	Clusters       []struct {
		Name    string  `yaml:"name"`
		Cluster cluster `yaml:"cluster"`
	} `yaml:"clusters"`
	Users []struct {
		Name string `yaml:"name"`
		User user   `yaml:"user"`
	} `yaml:"users"`
	Contexts []struct {
		Name    string `yaml:"name"`
		Context struct {
			Cluster   string `yaml:"cluster"`
			User      string `yaml:"user"`
			Namespace string `yaml:"namespace"`
		} `yaml:"context"`
	} `yaml:"contexts"`
}

type cluster struct {
	Server string `yaml:"server"`
	CAFile string `yaml:"certificate-authority"`
	CAData binary `yaml:"certificate-authority-data"`
}

type user struct {
	Token     string `yaml:"token"`
	TokenFile string `yaml:"tokenFile"`
	CertFile  string `yaml:"client-certificate"`
	CertData  binary `yaml:"client-certificate-data"`
	KeyFile   string `yaml:"client-key"`
	KeyData   binary `yaml:"client-key-data"`
	Exec      any    `yaml:"exec"`
}

// FromKubeconfig makes a client from a file and a context of it; empty means
// KUBECONFIG (one file) or ~/.kube/config, and the current context. Users with
// a token or a client certificate are understood, credential plugins are not.
func FromKubeconfig(file, context string) (*Client, error) {
	if file == "" {
		file = os.Getenv("KUBECONFIG")
	}
	if file == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, err
		}
		file = filepath.Join(home, ".kube", "config")
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var config kubeconfig
	if err := yaml.Unmarshal(raw, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	client, err := config.client(filepath.Dir(file), context)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return client, nil
}

func (k kubeconfig) client(dir, name string) (*Client, error) {
	if name == "" {
		name = k.CurrentContext
	}
	for _, c := range k.Contexts {
		if c.Name != name {
			continue
		}
		where, who, err := k.named(c.Context.Cluster, c.Context.User)
		if err != nil {
			return nil, err
		}
		namespace := c.Context.Namespace
		if namespace == "" {
			namespace = "default"
		}
		return connect(dir, namespace, where, who)
	}
	return nil, fmt.Errorf("there is no context %q", name)
}

func (k kubeconfig) named(clusterName, userName string) (where cluster, who user, err error) {
	err = fmt.Errorf("there is no cluster %q", clusterName)
	for _, c := range k.Clusters {
		if c.Name == clusterName {
			where, err = c.Cluster, nil
		}
	}
	for _, u := range k.Users {
		if u.Name == userName {
			return where, u.User, err
		}
	}
	return where, who, errors.Join(err, fmt.Errorf("there is no user %q", userName))
}

func connect(dir, namespace string, where cluster, who user) (*Client, error) {
	if who.Exec != nil {
		return nil, errors.New("the user has a credential plugin (exec), which is not run here; make a context with a token: `kubectl create token`")
	}
	ca, err := dataOr(where.CAData, dir, where.CAFile)
	if err != nil {
		return nil, err
	}
	cert, certErr := dataOr(who.CertData, dir, who.CertFile)
	key, keyErr := dataOr(who.KeyData, dir, who.KeyFile)
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, err
	}
	var pairs []tls.Certificate
	if len(cert) > 0 {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("client-certificate: %w", err)
		}
		pairs = append(pairs, pair)
	}
	var token func() (string, error)
	switch {
	case who.TokenFile != "":
		token = fromFile(within(dir, who.TokenFile))
	case who.Token != "":
		token = func() (string, error) { return who.Token, nil }
	}
	return newClient(where.Server, namespace, ca, pairs, token)
}

// binary is base64 in the file.
type binary []byte

// UnmarshalYAML decodes it.
func (b *binary) UnmarshalYAML(n *yaml.Node) error {
	raw, err := base64.StdEncoding.DecodeString(n.Value)
	*b = raw
	return err
}

func dataOr(data binary, dir, file string) ([]byte, error) {
	if len(data) > 0 || file == "" {
		return data, nil
	}
	return os.ReadFile(within(dir, file))
}

// within makes a path relative to the folder of the kubeconfig file.
func within(dir, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(dir, file)
}
