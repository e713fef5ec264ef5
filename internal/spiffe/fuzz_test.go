package spiffe_test

import (
	"testing"

	"cambio/internal/spiffe"
)

// Whatever a bundle endpoint answers, only authorities and keys come of it.
func FuzzParseBundle(f *testing.F) {
	f.Add([]byte(`{"keys":[{"use":"x509-svid","kty":"EC","x5c":["MIIB"]},{"use":"jwt-svid","kty":"EC","kid":"1","crv":"P-256","x":"","y":""}],"spiffe_refresh_hint":300}`))
	f.Add([]byte(`{"keys":[]}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		b, err := spiffe.ParseBundle(document, 10)
		if err != nil {
			return
		}
		if len(b.JWT.Keys) > 10 || len(b.Authorities) > 100 || b.RefreshHint < 0 {
			t.Errorf("%d keys, %d authorities, %v", len(b.JWT.Keys), len(b.Authorities), b.RefreshHint)
		}
		for _, authority := range b.Authorities {
			if !authority.IsCA {
				t.Error("a leaf is an authority")
			}
		}
	})
}
