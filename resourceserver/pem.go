package resourceserver

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// PEMKey is a public key of the issuer for programs that take no JWK set.
type PEMKey struct {
	KeyID string // kid of the tokens that it verifies
	PEM   []byte // SubjectPublicKeyInfo (RFC 7468 section 13)
}

// PEMKeys fetches the issuer's keys, in the order in which it publishes them.
// The error wraps ErrUnavailable.
func (v *Validator) PEMKeys(ctx context.Context) ([]PEMKey, error) {
	set, err := v.keys.fetch(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnavailable, err)
	}
	var out []PEMKey
	for _, k := range set.Keys {
		der, err := x509.MarshalPKIXPublicKey(k.Public())
		if err != nil {
			return nil, err
		}
		out = append(out, PEMKey{k.KeyID, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})})
	}
	return out, nil
}
