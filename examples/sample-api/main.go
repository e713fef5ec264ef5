// Command sample-api is a protected resource in a few lines: it accepts access
// tokens of one issuer for one audience, and asks one app role of the caller.
//
//	go run ./examples/sample-api -issuer https://sts.example/TENANT/v2.0 -audience APP_ID -ca ca.pem
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"cambio/resourceserver"
)

func main() {
	issuer := flag.String("issuer", "", "the issuer whose access tokens are accepted, as in their iss claim")
	audience := flag.String("audience", "", "the aud claim that names this API")
	ca := flag.String("ca", "", "PEM file of the authority that the issuer's certificate comes from (default: the system's)")
	role := flag.String("role", "Orders.Read", "the app role that callers must hold")
	listen := flag.String("listen", "127.0.0.1:8080", "address to serve at")
	flag.Parse()

	client, err := trusting(*ca)
	if err != nil {
		log.Fatal(err)
	}
	api, err := resourceserver.New(resourceserver.Config{Issuer: *issuer, Audience: *audience, HTTPClient: client})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("sample API at http://%s/orders\n", listener.Addr())
	server := http.Server{Handler: handler(api, *role), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(listener))
}

// handler is the whole API: who calls is known before any of its code runs.
func handler(api *resourceserver.Validator, role string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /orders", resourceserver.RequireRole(role, http.HandlerFunc(orders)))
	return api.Middleware(mux)
}

func orders(w http.ResponseWriter, r *http.Request) {
	caller, _ := resourceserver.FromContext(r.Context())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "orders for client %s\n", caller.ClientID)
}

// trusting is an HTTP client that trusts the authority in a file; nil, which
// stands for the default one, without a file.
func trusting(file string) (*http.Client, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, nil
}
