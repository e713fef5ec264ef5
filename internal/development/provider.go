package development

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cambio/internal/jose"
	"cambio/internal/strictjson"
)

// Audience is the audience of minted tokens that name none.
const Audience = "api://AzureADTokenExchange"

// Subject is the subject of minted tokens that name none.
const Subject = "cambio-dev-workload"

// IdentityProvider is an OpenID provider with one key of each kind. It serves
// discovery and keys, and mints any claim set. Mount it at the path of its
// issuer. It is safe for concurrent use.
type IdentityProvider struct {
	issuer string
	clock  func() time.Time
	keys   []providerKey
	jwks   []byte

	fetches atomic.Int64 // of discovery documents and key sets
}

type providerKey struct {
	id      string
	alg     jose.Algorithm // of its tokens unless another is asked for
	private crypto.Signer
}

// NewIdentityProvider makes a provider with new keys. Issuer is its URL.
func NewIdentityProvider(issuer string, clock func() time.Time) (*IdentityProvider, error) {
	keys, err := GenerateProviderKeys()
	if err != nil {
		return nil, err
	}
	return LoadIdentityProvider(issuer, clock, keys)
}

// GenerateProviderKeys makes the keys of a provider as PEM (PKCS #8), to be
// kept for LoadIdentityProvider.
func GenerateProviderKeys() ([]byte, error) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	keys := []any{rsaKey}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, k := range append(keys, ed) {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			return nil, err
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	return out, nil
}

// LoadIdentityProvider makes a provider of keys from GenerateProviderKeys.
func LoadIdentityProvider(issuer string, clock func() time.Time, keysPEM []byte) (*IdentityProvider, error) {
	p := &IdentityProvider{issuer: issuer, clock: clock}
	var jwks []string
	for block, rest := pem.Decode(keysPEM); block != nil; block, rest = pem.Decode(rest) {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the provider's keys are damaged: %w", err)
		}
		k, err := newProviderKey(parsed)
		if err != nil {
			return nil, err
		}
		public, err := jose.PublicJWK(k.private.Public(), k.id, k.alg)
		if err != nil {
			return nil, err
		}
		// RSA keys sign RS and PS tokens alike, so the key must not be bound.
		jwks = append(jwks, strings.Replace(string(public), `,"alg":"RS256"`, "", 1))
		p.keys = append(p.keys, k)
	}
	if len(p.keys) == 0 {
		return nil, errors.New("the provider's keys are damaged: there is none; remove the file to have new ones made")
	}
	p.jwks = []byte(`{"keys":[` + strings.Join(jwks, ",") + `]}`)
	return p, nil
}

func newProviderKey(parsed any) (providerKey, error) {
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return providerKey{}, fmt.Errorf("the provider's keys hold a %T", parsed)
	}
	alg := jose.EdDSA
	switch k := parsed.(type) {
	case *rsa.PrivateKey:
		alg = jose.RS256
	case *ecdsa.PrivateKey:
		alg = map[int]jose.Algorithm{256: jose.ES256, 384: jose.ES384, 521: jose.ES512}[k.Curve.Params().BitSize]
	}
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return providerKey{}, err
	}
	sum := sha256.Sum256(spki)
	return providerKey{id: base64.RawURLEncoding.EncodeToString(sum[:12]), alg: alg, private: private}, nil
}

// Issuer is the provider's issuer.
func (p *IdentityProvider) Issuer() string { return p.issuer }

// KeySet is the provider's published key set.
func (p *IdentityProvider) KeySet() []byte { return p.jwks }

// ServeHTTP answers discovery, keys and mint requests; the path's ending
// decides, so that the provider can be mounted anywhere.
func (p *IdentityProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodGet {
		p.fetches.Add(1)
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		_ = json.MarshalWrite(w, map[string]any{
			"issuer": p.issuer, "jwks_uri": p.issuer + "/keys",
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"},
		}, json.Deterministic(true))
	case strings.HasSuffix(r.URL.Path, "/keys"):
		_, _ = w.Write(p.jwks)
	case strings.HasSuffix(r.URL.Path, "/mint") && r.Method == http.MethodPost:
		p.serveMint(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":"not_found","error_description":"The provider answers .well-known/openid-configuration, keys, and POST mint."}`)
	}
}

func (p *IdentityProvider) serveMint(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Claims map[string]jsontext.Value `json:"claims"`
		Header map[string]jsontext.Value `json:"header"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(strictjson.Document.Bytes)))
	if err == nil {
		err = onlyMembers(body, "claims", "header")
	}
	if err == nil {
		err = strictjson.Unmarshal(body, &request, strictjson.Document)
	}
	var token string
	if err == nil {
		token, err = p.mint(request.Claims, request.Header)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.MarshalWrite(w, map[string]string{"error": "invalid_request",
			"error_description": "The body must be {\"claims\": {…}, \"header\": {…}}: " + err.Error()}, json.Deterministic(true))
		return
	}
	_ = json.MarshalWrite(w, map[string]string{"token": token})
}

// onlyMembers refuses an object with other members, such as claims that were
// written one level too high.
func onlyMembers(body []byte, names ...string) error {
	object, err := strictjson.ParseObject(body, strictjson.Document)
	if err != nil {
		return err
	}
	for name := range object.All() {
		if !slices.Contains(names, name) {
			return fmt.Errorf("unknown member %q; put claims into \"claims\"", name)
		}
	}
	return nil
}

// Mint signs a token. Claims and header are laid over the defaults: this
// issuer, Subject, Audience, issued now, an hour's life; RS256. A nil value
// leaves a member out. An alg that cannot be signed is written as asked for
// and the token is signed with RS256 all the same, to rehearse refusals.
func (p *IdentityProvider) Mint(claims, header map[string]any) (string, error) {
	rawClaims, err := rawMembers(claims)
	if err != nil {
		return "", err
	}
	rawHeader, err := rawMembers(header)
	if err != nil {
		return "", err
	}
	return p.mint(rawClaims, rawHeader)
}

func rawMembers(members map[string]any) (map[string]jsontext.Value, error) {
	out := make(map[string]jsontext.Value, len(members))
	for name, value := range members {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		out[name] = raw
	}
	return out, nil
}

func (p *IdentityProvider) mint(claims, header map[string]jsontext.Value) (string, error) {
	now := p.clock().Unix()
	key, alg := p.choose(header["alg"])
	head, err := overlay(map[string]any{"alg": string(alg), "kid": key.id, "typ": "JWT"}, header)
	if err != nil {
		return "", err
	}
	payload, err := overlay(map[string]any{"iss": p.issuer, "sub": Subject, "aud": Audience,
		"iat": now, "nbf": now, "exp": now + 3600, "jti": rand.Text()}, claims)
	if err != nil {
		return "", err
	}
	input := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := jose.Sign(alg, key.private, []byte(input), nil)
	if err != nil {
		return "", err
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// choose finds the key for an algorithm.
func (p *IdentityProvider) choose(raw jsontext.Value) (providerKey, jose.Algorithm) {
	var want jose.Algorithm
	if raw.Kind() == '"' {
		_ = json.Unmarshal(raw, &want) // it is a string
	}
	for _, k := range p.keys {
		_, isRSA := k.private.(*rsa.PrivateKey)
		if want == k.alg || isRSA && want.Valid() && (want[0] == 'R' || want[0] == 'P') {
			return k, want
		}
	}
	return p.keys[0], jose.RS256
}

func overlay(defaults map[string]any, over map[string]jsontext.Value) ([]byte, error) {
	for name, value := range over {
		if value.Kind() == 'n' {
			delete(defaults, name)
		} else {
			defaults[name] = value
		}
	}
	return json.Marshal(defaults, json.Deterministic(true))
}
