package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"time"

	"cambio/internal/jose"
	"cambio/internal/store"
)

// The states of a signing key.
const (
	Published = "published" // verifiers may see it; it does not sign yet
	Active    = "active"    // it signs
	Retired   = "retired"   // its tokens may still be around
)

// rsaBits is 2048 on purpose: verifiers of this wire expect it, and larger
// keys cost every exchange several times as much (see bench).
const rsaBits = 2048

// algorithms that the server signs with; a key of each is always active.
var algorithms = [...]jose.Algorithm{jose.RS256, jose.ES256}

// signingKey is an opened key, ready to sign.
type signingKey struct {
	id        string
	algorithm jose.Algorithm
	private   crypto.Signer
	headers   map[string]string // typ → encoded header and its dot
}

// newRow generates a key and seals it.
func newRow(kek *EncryptionKey, alg jose.Algorithm, now time.Time) (store.SigningKeyRow, error) {
	private, err := generate(alg)
	if err != nil {
		return store.SigningKeyRow{}, err
	}
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return store.SigningKeyRow{}, err
	}
	id := keyID(sha256.Sum256(spki))
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return store.SigningKeyRow{}, err
	}
	public, err := jose.PublicJWK(private.Public(), id, alg)
	if err != nil {
		return store.SigningKeyRow{}, err
	}
	return store.SigningKeyRow{KeyID: id, Algorithm: string(alg), Sealed: kek.seal(pkcs8, label(id, string(alg))),
		PublicJWK: public, CreatedAt: now}, nil
}

// keyID is a part of the hash of a public key that does not look like a flag:
// `cambio keys remove` takes it as an argument.
func keyID(sum [sha256.Size]byte) string {
	const length = 20 // bytes
	for from := 0; ; from++ {
		id := base64.RawURLEncoding.EncodeToString(sum[from : from+length])
		if id[0] != '-' || from+length == len(sum) {
			return id
		}
	}
}

func generate(alg jose.Algorithm) (crypto.Signer, error) {
	switch alg {
	case jose.RS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case jose.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return nil, fmt.Errorf("keys: no signing keys for %s", alg)
}

func label(id, alg string) string { return "cambio signing key " + alg + " " + id }

// openRow unseals a key. Its errors name the key and never its content.
func openRow(kek *EncryptionKey, row *store.SigningKeyRow) (*signingKey, error) {
	pkcs8, err := kek.open(row.Sealed, label(row.KeyID, row.Algorithm))
	if err != nil {
		return nil, fmt.Errorf("signing key %s (%s) cannot be read: %w; restore the key-encryption key that belongs to this database. If it is lost for good, `cambio keys remove` takes the key out, and every token that it signed with it", row.KeyID, row.Algorithm, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	private, ok := parsed.(crypto.Signer)
	if err != nil || !ok {
		return nil, fmt.Errorf("signing key %s (%s) is damaged", row.KeyID, row.Algorithm)
	}
	k := &signingKey{id: row.KeyID, algorithm: jose.Algorithm(row.Algorithm), private: private, headers: map[string]string{}}
	for _, typ := range []string{"JWT", "at+jwt"} {
		header := `{"typ":"` + typ + `","alg":"` + row.Algorithm + `","kid":"` + row.KeyID + `"}`
		k.headers[typ] = base64.RawURLEncoding.EncodeToString([]byte(header)) + "."
	}
	return k, nil
}
