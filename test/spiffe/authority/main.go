// Command authority stands in for SPIRE where that is not at hand: a SPIFFE
// Workload API on the unix socket api.sock of a folder, and a SPIFFE bundle
// endpoint over TLS, whose certificate authority is ca.crt there.
//
//	go run ./test/spiffe/authority -trust-domain example.org -dir /tmp/authority -listen 127.0.0.1:9443
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"cambio/test/pki"
	"cambio/test/spiffe"
)

func main() {
	trustDomain := flag.String("trust-domain", "example.org", "the trust domain that it is the authority of")
	dir := flag.String("dir", ".", "folder of the socket and of the endpoint's certificate; it must exist")
	listen := flag.String("listen", "127.0.0.1:9443", "address and port of the bundle endpoint")
	oidc := flag.Bool("oidc", false, "put an iss into JWT-SVIDs and serve its discovery document, as SPIRE does with jwt_issuer")
	fetch := flag.String("fetch", "", "instead, fetch an X.509-SVID from the Workload API at this `URL`, and write svid.0.pem and svid.0.key to the folder, as spire-agent does")
	flag.Parse()
	if *fetch != "" {
		if err := write(*fetch, *dir); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := run(*trustDomain, *dir, *listen, *oidc); err != nil {
		log.Fatal(err)
	}
}

func run(trustDomain, dir, listen string, oidc bool) error {
	authority, err := spiffe.New(trustDomain)
	if err != nil {
		return err
	}
	files, err := pki.Loopback(dir, "bundle endpoint")
	if err != nil {
		return err
	}
	endpoint, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	if oidc {
		authority.Issuer = "https://" + endpoint.Addr().String()
	}
	api, err := net.Listen("unix", filepath.Join(dir, "api.sock"))
	if err != nil {
		return err
	}
	fmt.Printf("trust domain %s, Workload API at unix://%s, bundle at https://%s/bundle\n", authority.TrustDomain, api.Addr(), endpoint.Addr())
	failed := make(chan error, 2)
	go func() { failed <- authority.WorkloadAPI().Serve(api) }()
	server := http.Server{Handler: authority.Handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() { failed <- server.ServeTLS(endpoint, files.Certificate, files.Key) }()
	return <-failed
}

// write is a client of any Workload API.
func write(api, dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	svid, err := workloadapi.FetchX509SVID(ctx, workloadapi.WithAddr(api))
	if err != nil {
		return err
	}
	chain, key, err := svid.Marshal()
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "svid.0.pem"), chain, 0o600), os.WriteFile(filepath.Join(dir, "svid.0.key"), key, 0o600))
}
