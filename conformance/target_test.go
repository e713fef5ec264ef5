package conformance

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cambio/conformance/devserver"
)

// option defines a flag whose default is an environment variable's value.
func option(name, env, usage string) *string {
	return flag.String(name, os.Getenv(env), usage+" ($"+env+")")
}

// The flags say which server is tested. Without -base and -dev-json the test
// builds and starts its own.
var (
	flagDevJSON    = option("dev-json", "CONFORMANCE_DEV_JSON", "file with the line of `cambio dev --json`; the flags below override its members")
	flagBase       = option("base", "CONFORMANCE_BASE", "base URL of the server under test")
	flagCA         = option("ca", "CONFORMANCE_CA", "PEM file that the server's certificate chains to (default: the system's)")
	flagTenant     = option("tenant", "CONFORMANCE_TENANT", "tenant id")
	flagClient     = option("client", "CONFORMANCE_CLIENT", "appId of the seeded client")
	flagClientObj  = option("client-object-id", "CONFORMANCE_CLIENT_OBJECT_ID", "object id of the seeded client's application")
	flagScope      = option("scope", "CONFORMANCE_SCOPE", "scope of the seeded resource")
	flagResource   = option("resource", "CONFORMANCE_RESOURCE", "appId of the seeded resource")
	flagMintURL    = option("mint-url", "CONFORMANCE_MINT_URL", "where the identity provider mints claim sets")
	flagIssuer     = option("issuer", "CONFORMANCE_ISSUER", "issuer of that identity provider")
	flagAdminToken = option("admin-token", "CONFORMANCE_ADMIN_TOKEN", "bearer token for the management APIs")
	flagIssuerCA   = option("issuer-ca-dir", "CONFORMANCE_ISSUER_CA_DIR", "directory with issuer-ca.pem and issuer-ca.key, which the server trusts for connections to issuers on 127.0.0.1; without it, scripts with issuers of their own are skipped for a server given by -base")
)

// target is the server under test.
type target struct {
	devserver.Info
	http    *http.Client
	issuers *issuerServer // nil: the server trusts no issuer of ours
}

// shared is set once by TestMain and only read afterwards.
var shared *target

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// run keeps the deferred calls apart from os.Exit.
func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	t, stop, err := newTarget(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		return 2
	}
	shared = t
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance: the server did not end in good order:", err)
		code = max(code, 1)
	}
	return code
}

// newTarget finds or starts the server under test.
func newTarget(ctx context.Context) (*target, func() error, error) {
	if *flagBase == "" && *flagDevJSON == "" {
		return startTarget(ctx)
	}
	info, err := givenInfo()
	if err != nil {
		return nil, nil, err
	}
	t := &target{Info: info}
	if t.http, err = info.Client(); err != nil {
		return nil, nil, err
	}
	if *flagIssuerCA != "" {
		if t.issuers, err = newIssuerServer(*flagIssuerCA); err != nil {
			return nil, nil, err
		}
	}
	return t, func() error { return nil }, nil
}

// givenInfo merges the file of -dev-json and the other flags.
func givenInfo() (devserver.Info, error) {
	var info devserver.Info
	if *flagDevJSON != "" {
		line, err := os.ReadFile(*flagDevJSON)
		if err != nil {
			return info, err
		}
		if info, err = devserver.ParseInfo(line); err != nil {
			return info, err
		}
	}
	for member, value := range map[*string]string{
		&info.BaseURL: *flagBase, &info.CAFile: *flagCA, &info.TenantID: *flagTenant,
		&info.ClientID: *flagClient, &info.ClientObjectID: *flagClientObj, &info.Scope: *flagScope,
		&info.ResourceAppID: *flagResource, &info.AdminToken: *flagAdminToken,
		&info.IDP.Issuer: *flagIssuer, &info.IDP.MintURL: *flagMintURL,
	} {
		if value != "" {
			*member = value
		}
	}
	info.BaseURL = strings.TrimRight(info.BaseURL, "/")
	if info.TenantID == "" || info.AdminToken == "" || info.IDP.MintURL == "" || info.IDP.Issuer == "" || info.Scope == "" {
		return info, errors.New("-base needs -tenant, -scope, -resource, -issuer, -mint-url and -admin-token too, or all of them from -dev-json")
	}
	return info, nil
}

// startTarget builds the server and starts it with a CA of our own for
// issuers.
func startTarget(ctx context.Context) (*target, func() error, error) {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (*target, func() error, error) {
		_ = os.RemoveAll(dir)
		return nil, nil, err
	}
	t := &target{}
	if t.issuers, err = newIssuerServer(filepath.Join(dir, "issuer-ca")); err != nil {
		return fail(err)
	}
	binary, err := devserver.Build(ctx, dir)
	if err != nil {
		return fail(err)
	}
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		return fail(err)
	}
	server, err := devserver.Start(ctx, devserver.Config{
		Binary: binary, StateDir: filepath.Join(dir, "state"), Stderr: log,
		IssuerCAFile: t.issuers.caFile, AllowIssuerAddress: []string{"127.0.0.1/32"}, Args: []string{"--spiffe-client-auth"},
	})
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		return fail(fmt.Errorf("%w\n%s", err, text))
	}
	t.Info = server.Info
	if t.http, err = server.Client(); err != nil {
		_ = server.Stop()
		return fail(err)
	}
	return t, func() error {
		defer os.RemoveAll(dir)
		defer log.Close()
		return server.Stop()
	}, nil
}
