package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"cambio/internal/directory"
)

// fitName makes a credential's name of any text: letters, digits, '-' and '_',
// beginning with a letter or digit, within the limits of its length. A text
// that is cut gets a part of its hash, so that long subjects with the same
// beginning have different names.
func fitName(text string) string {
	var out strings.Builder
	hyphen := false
	for _, r := range text {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' && out.Len() > 0:
			if hyphen && out.Len() > 0 {
				out.WriteByte('-')
			}
			hyphen = false
			out.WriteRune(r)
		default:
			hyphen = true // runs of anything else become one hyphen
		}
	}
	name := out.String()
	if len(name) < directory.MinCredentialName {
		name = strings.TrimSuffix("credential-"+name, "-")
	}
	if len(name) > directory.MaxCredentialName {
		sum := sha256.Sum256([]byte(text))
		suffix := "-" + hex.EncodeToString(sum[:4])
		name = name[:directory.MaxCredentialName-len(suffix)] + suffix
	}
	return name
}
