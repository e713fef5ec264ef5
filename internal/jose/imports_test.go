package jose_test

import (
	"go/parser"
	gotoken "go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The package is built on the standard library's public-key signatures. An
// import of anything symmetric, of compression or of another JOSE library
// would bring back what a token must not be able to ask for.
func TestImports(t *testing.T) {
	allowed := []string{"crypto", "crypto/ecdsa", "crypto/ed25519", "crypto/elliptic", "crypto/rand", "crypto/rsa", "crypto/sha256", "crypto/sha512",
		"bytes", "encoding/asn1", "encoding/base64", "encoding/hex", "errors", "math/big", "slices", "strconv", "strings", "unicode/utf8",
		"cambio/internal/strictjson", "github.com/go-json-experiment/json/jsontext"}
	paths, err := filepath.Glob("*.go")
	if err != nil || len(paths) == 0 {
		t.Fatal("no source files", err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			if name := must(strconv.Unquote(spec.Path.Value)); !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s", path, name)
			}
		}
	}
}
