package floor

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"
)

var b64 = base64.RawURLEncoding

// trusted is what the map of trust relationships is keyed by.
type trusted struct{ client, issuer, subject string }

// presented is what the floor reads of an assertion.
type presented struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	Expiry    int64  `json:"exp"`
	NotBefore int64  `json:"nbf"`
}

// access is the payload of the access token, in the real server's order.
type access struct {
	Audience  string   `json:"aud"`
	Issuer    string   `json:"iss"`
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf"`
	Expiry    int64    `json:"exp"`
	Client    string   `json:"azp"`
	ClientACR string   `json:"azpacr"`
	Object    string   `json:"oid"`
	Roles     []string `json:"roles"`
	Subject   string   `json:"sub"`
	Tenant    string   `json:"tid"`
	Unique    string   `json:"uti"`
	Version   string   `json:"ver"`
}

// exchanger does the exchange. It is read only after it was made.
type exchanger struct {
	audience  string
	verifying map[string]*rsa.PublicKey // by kid
	trust     map[trusted]string        // to the object id
	rsa       *rsa.PrivateKey           // nil: sign with ec
	ec        *ecdsa.PrivateKey
	header    string // of the access token, encoded
	claims    access // those that are always the same
	before    string // the reply up to the token
	after     string
	buffers   sync.Pool // of *[]byte, each with room for three decoded parts
}

var errRefused = errors.New("refused")

// maxToken bounds an assertion, in bytes.
const maxToken = 8 << 10

func (x *exchanger) verify(token string, buf []byte) (p presented, err error) {
	first, last := strings.IndexByte(token, '.'), strings.LastIndexByte(token, '.')
	if first < 0 || last <= first || len(token) > maxToken {
		return p, errRefused
	}
	n, err := b64.Decode(buf, []byte(token[:first]))
	if err != nil {
		return p, errRefused
	}
	var header struct{ Alg, Kid string }
	if err := json.Unmarshal(buf[:n], &header); err != nil {
		return p, errRefused
	}
	m, err := b64.Decode(buf[n:], []byte(token[last+1:]))
	if err != nil {
		return p, errRefused
	}
	signature, buf := buf[n:n+m], buf[n+m:]
	key := x.verifying[header.Kid]
	sum := sha256.Sum256([]byte(token[:last]))
	if key == nil || header.Alg != "RS256" || rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return p, errRefused
	}
	if n, err = b64.Decode(buf, []byte(token[first+1:last])); err != nil {
		return p, errRefused
	}
	return p, json.Unmarshal(buf[:n], &p)
}

// exchange returns the reply to a good request.
func (x *exchanger) exchange(assertion, client string) ([]byte, error) {
	buf := x.buffers.Get().(*[]byte)
	defer x.buffers.Put(buf)
	p, err := x.verify(assertion, *buf)
	if err != nil {
		return nil, err
	}
	now := time.Now().Unix()
	object, ok := x.trust[trusted{client, p.Issuer, p.Subject}]
	if !ok || p.Audience != x.audience || p.Expiry < now || p.NotBefore > now+60 {
		return nil, errRefused
	}
	var unique [16]byte
	_, _ = rand.Read(unique[:]) // never fails (crypto/rand)
	claims := x.claims
	claims.IssuedAt, claims.NotBefore, claims.Expiry = now, now, now+3600
	claims.Object, claims.Subject, claims.Client = object, object, client
	claims.Unique = b64.EncodeToString(unique[:])
	payload, err := json.Marshal(&claims)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, 2048), x.before...)
	start := len(out)
	out = append(append(out, x.header...), '.')
	out = b64.AppendEncode(out, payload)
	signature, err := x.sign(out[start:])
	if err != nil {
		return nil, err
	}
	out = b64.AppendEncode(append(out, '.'), signature)
	return append(out, x.after...), nil
}

func (x *exchanger) sign(input []byte) ([]byte, error) {
	sum := sha256.Sum256(input)
	if x.rsa != nil {
		return rsa.SignPKCS1v15(nil, x.rsa, crypto.SHA256, sum[:])
	}
	r, s, err := ecdsa.Sign(rand.Reader, x.ec, sum[:])
	if err != nil {
		return nil, err
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature, nil
}
