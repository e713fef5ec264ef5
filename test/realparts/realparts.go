// Package realparts finds the real programs that tests run against: the Azure
// CLI, a Kubernetes API server with etcd, PostgreSQL, gateways, Node and its packages. install.sh
// beside this file puts them there.
//
// A test whose part is missing must not pass by saying nothing: it fails where
// the environment says CI=true and is skipped, with the reason, elsewhere.
package realparts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"cambio/conformance/devserver"
	"cambio/test/postgres"
)

// Part is one program or set of packages that is not in this repository.
type Part string

// The parts that tests ask for.
const (
	Act           Part = "act"
	Apache        Part = "apache2"
	AzureCLI      Part = "az"
	Caddy         Part = "caddy"
	Etcd          Part = "etcd"
	GoClients     Part = "Go client libraries"
	HAProxy       Part = "haproxy"
	KubeAPIServer Part = "kube-apiserver"
	Kubectl       Part = "kubectl"
	Kubelogin     Part = "kubelogin"
	Nginx         Part = "nginx"
	NodeClients   Part = "npm client libraries"
	OIDCProvider  Part = "npm oidc-provider"
	PgBouncer     Part = "pgbouncer"
	PostgreSQL    Part = "postgresql"
	Promtool      Part = "promtool"
)

// KubernetesVersion is the release that install.sh builds.
const KubernetesVersion = "v1.37.2"

// TB is the part of testing.TB that Needs uses, so that programs can use this
// package without linking the testing package.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Needs lets the test go on when every part is on this machine. Otherwise the
// test fails in CI and is skipped elsewhere.
func Needs(t TB, parts ...Part) {
	t.Helper()
	for _, p := range parts {
		path, err := Find(p)
		switch {
		case err == nil:
			t.Logf("real part: %s (%s)", p, path)
		case os.Getenv("CI") == "true":
			t.Fatalf("%v", err)
		default:
			t.Skipf("skipped: %v", err)
		}
	}
}

// Find returns the path of a part: of the program, or of the folder that holds
// the packages. The error says what is missing and how to get it.
func Find(p Part) (string, error) {
	path, err := locate(p)
	if err != nil {
		return "", fmt.Errorf("%s is not on this machine (%w); test/realparts/install.sh installs it", p, err)
	}
	return path, nil
}

func locate(p Part) (string, error) {
	switch p {
	case AzureCLI, Etcd, Promtool:
		return exec.LookPath(string(p))
	case Apache:
		if _, err := os.Stat("/usr/lib/apache2/modules/mod_auth_openidc.so"); err != nil {
			return "", err
		}
		return system(p)
	case Caddy, HAProxy, Nginx:
		return system(p)
	case PgBouncer:
		return postgres.Find("pgbouncer")
	case PostgreSQL:
		return postgres.Find("initdb")
	case Kubectl:
		if path, err := exec.LookPath(string(p)); err == nil {
			return path, nil
		}
		return built(p)
	case KubeAPIServer:
		return built(p)
	case Act, Kubelogin:
		return tool(p)
	case NodeClients:
		return nodePackages("@actions/core", "@azure/identity", "@azure/msal-node", "@azure/arm-msi", "@microsoft/microsoft-graph-client", "jose")
	case OIDCProvider:
		return nodePackages("oidc-provider")
	case GoClients:
		return goClients()
	}
	return "", errors.New("no such part")
}

// system finds a program of Debian's that may be on no user's PATH.
func system(p Part) (string, error) {
	if path, err := exec.LookPath(string(p)); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + string(p))
}

// built finds a command of Kubernetes that install.sh built.
func built(p Part) (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	return exec.LookPath(filepath.Join(cache, string(p)+"-"+KubernetesVersion))
}

// tool finds a program of the module tools that install.sh built. Its folder
// holds nothing else, so that it can be put on a PATH.
func tool(p Part) (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	return exec.LookPath(filepath.Join(cache, "tools", string(p), string(p)))
}

// nodePackages finds installed npm packages of test/clients/node, and node. It
// returns the folder of the first.
func nodePackages(names ...string) (string, error) {
	if _, err := exec.LookPath("node"); err != nil {
		return "", err
	}
	root, err := devserver.Root()
	if err != nil {
		return "", err
	}
	modules := filepath.Join(root, "test", "clients", "node", "node_modules")
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(modules, filepath.FromSlash(name), "package.json")); err != nil {
			return "", err
		}
	}
	return filepath.Join(modules, filepath.FromSlash(names[0])), nil
}

// goClients asks the go command whether the modules of test/clients/go are in
// the module cache. It does not download them.
func goClients() (string, error) {
	root, err := devserver.Root()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(root, "test", "clients", "go")
	list := exec.Command("go", "list", "-deps", ".")
	list.Dir, list.Env = folder, append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly")
	if out, err := list.CombinedOutput(); err != nil {
		first, _, _ := strings.Cut(string(out), "\n")
		return "", errors.New(first)
	}
	return folder, nil
}

// Cache is the folder of the programs that install.sh builds: CAMBIO_REALPARTS,
// or cambio-realparts in the user's cache folder.
func Cache() (string, error) {
	if dir := os.Getenv("CAMBIO_REALPARTS"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "cambio-realparts"), err
}
