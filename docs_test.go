package cambio_test

import (
	"flag"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cambio/internal/config"
	"cambio/internal/directory"
	"cambio/internal/explain"
	"cambio/internal/lint"
	"cambio/internal/metrics"
	"cambio/internal/oauth"
	"cambio/internal/trust"
)

var update = flag.Bool("update", false, "write the generated pages instead of comparing them")

// TestGeneratedPages compares the pages that are made of the program's own
// tables with what the tables say now.
func TestGeneratedPages(t *testing.T) {
	for page, text := range map[string]string{"docs/errors.md": oauth.Markdown(), "docs/config.md": config.Markdown(), "docs/metrics.md": metrics.Markdown(), "docs/near-misses.md": explain.Markdown(), "docs/lint.md": lint.Markdown(),
		"docs/trust.schema.json": string(trust.Schema()), "docs/trust-tests.schema.json": string(trust.CasesSchema())} {
		if *update {
			if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if string(raw) != text {
			t.Errorf("%s is out of date; run `make generate`", page)
		}
	}
}

// reference is a file and something declared in it, as the tour writes them:
// `token/handler.go` `Endpoint.ServeTenant`.
var reference = regexp.MustCompile("`([a-z0-9/_]+\\.go)`(?: `([A-Za-z.]+)`)?")

// TestTourExists checks that every file and declaration which the tour names
// is there.
func TestTourExists(t *testing.T) {
	raw, err := os.ReadFile("docs/tour.md")
	if err != nil {
		t.Fatal(err)
	}
	declared := declarations(t)
	references := reference.FindAllStringSubmatch(string(raw), -1)
	if len(references) < 15 {
		t.Errorf("only %d references found in the tour", len(references))
	}
	for _, r := range references {
		names, ok := declared["internal/"+r[1]]
		if !ok {
			if names, ok = declared[r[1]]; !ok {
				t.Errorf("the tour names %s, which does not exist", r[1])
				continue
			}
		}
		if r[2] != "" && !names[r[2]] {
			t.Errorf("the tour names %s in %s, which is not declared there", r[2], r[1])
		}
	}
}

// declarations lists functions, Type.Method pairs, types and variables by
// file.
func declarations(t *testing.T) map[string]map[string]bool {
	t.Helper()
	all, _ := sources(t)
	out := map[string]map[string]bool{}
	for _, s := range all {
		names := map[string]bool{}
		out[s.path] = names
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				names[receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						names[spec.Name.Name] = true
					case *ast.ValueSpec:
						for _, n := range spec.Names {
							names[n.Name] = true
						}
					}
				}
			}
		}
	}
	return out
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return ""
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}

// link is a Markdown link to a file of the repository.
var link = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

// TestLinksResolve follows every relative link of the documentation.
func TestLinksResolve(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md", "bench/*.md", "conformance/*.md", "examples/*/*.md", "test/*.md"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, more...)
	}
	for _, page := range pages {
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(raw), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", page, m[1])
			}
		}
	}
}

var (
	example = regexp.MustCompile("(?m)^\\| `(claims[^`]+)` \\| (.+) \\| (yes|no) \\|$")
	claim   = regexp.MustCompile("`([a-z_]+)=([^`]+)`")
)

// TestFlexibleExamples evaluates the expressions of docs/flexible.md.
func TestFlexibleExamples(t *testing.T) {
	raw, err := os.ReadFile("docs/flexible.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := example.FindAllStringSubmatch(string(raw), -1)
	if len(rows) < 10 {
		t.Errorf("only %d examples found", len(rows))
	}
	for _, row := range rows {
		c := directory.FederatedIdentityCredential{Name: "example", Issuer: "https://issuer.example", Audiences: []string{"a"},
			Expression: &directory.ClaimsMatchingExpression{Value: row[1], LanguageVersion: 1}}
		if err := directory.ValidateCredential(&c, directory.Relaxed, func(string) error { return nil }); err != nil {
			t.Errorf("%s: %v", row[1], err)
			continue
		}
		claims := map[string]string{}
		for _, m := range claim.FindAllStringSubmatch(row[2], -1) {
			claims[m[1]] = m[2]
		}
		expression, err := directory.ParseExpression(row[1])
		if err != nil {
			t.Fatal(err)
		}
		got := expression.Matches(func(name string) (string, bool) { value, ok := claims[name]; return value, ok })
		if want := row[3] == "yes"; got != want || len(claims) == 0 {
			t.Errorf("%s with %v: %v", row[1], claims, got)
		}
	}
}

// TestDocsNameTheGoVersion keeps the README's Go version that of go.mod.
func TestDocsNameTheGoVersion(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(mod))
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if version == nil || !strings.Contains(string(readme), "Go "+version[1]) {
		t.Errorf("the README does not name Go %v", version)
	}
}
