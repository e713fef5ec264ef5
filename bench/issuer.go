package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"time"
)

// issuer is the identity provider whose tokens are exchanged. It signs
// whatever claims it is asked to, and lives in the benchmark's own process:
// nothing is asked of it while a server is measured.
type issuer struct {
	url string
	key *rsa.PrivateKey
}

func startIssuer() (*issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i := &issuer{url: "http://" + listener.Addr().String(), key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		write(w, map[string]any{"issuer": i.url, "jwks_uri": i.url + "/keys", "response_types_supported": []string{"id_token"},
			"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		write(w, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "bench",
			"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()), "e": "AQAB"}}})
	})
	mux.HandleFunc("POST /mint", func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Claims json.RawMessage `json:"claims"`
		}
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&asked); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		token, err := i.sign(asked.Claims)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		write(w, map[string]any{"token": token})
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // until the process ends
	return i, nil
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who asked sees what is missing
}

// sign makes a compact JWS (RFC 7515 §3.1) of claims.
func (i *issuer) sign(claims []byte) (string, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(`{"alg":"RS256","kid":"bench","typ":"JWT"}`)) + "." + b64(claims)
	sum := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(nil, i.key, crypto.SHA256, sum[:])
	return input + "." + b64(signature), err
}

// mint makes a plain token that is valid for an hour.
func (i *issuer) mint(subject, audience string) (string, error) {
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{"iss": i.url, "sub": subject, "aud": audience, "iat": now, "nbf": now, "exp": now + 3600})
	if err != nil {
		return "", err
	}
	return i.sign(claims)
}
