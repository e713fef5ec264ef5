// Package cambio_test holds the rules of the whole tree: which package may
// import which, what may dial, which dependencies there are and why, how large
// things may grow, and that the documentation says what is true.
//
// Sources are parsed in this process: Go's test cache does not see what a
// subprocess reads.
package cambio_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport lists, for each package, the packages of this module that it may
// import. A package that is not listed fails the test; a new edge needs a
// reason in docs/decisions.
var mayImport = map[string][]string{
	// Pure vocabulary: no I/O, no state.
	"internal/directory":  {"internal/jose"}, // keys that are kept with an issuer are read when its record is compiled
	"internal/oauth":      {},
	"internal/config":     {},
	"internal/diagnosis":  {},
	"internal/strictjson": {},
	"internal/audit":      {},
	"internal/limit":      {},
	"internal/tracing":    {},
	"internal/jose":       {"internal/strictjson"},
	"internal/management": {"internal/directory"},
	"internal/profile":    {"internal/directory", "internal/jose", "internal/strictjson"},
	"internal/explain":    {"internal/directory", "internal/jose", "internal/oauth", "internal/profile", "internal/strictjson"},
	// What talks to the outside: the disk, other servers, Prometheus.
	"internal/metrics":      {"internal/limit", "internal/oauth"},
	"internal/spiffe":       {"internal/jose", "internal/strictjson"},
	"internal/oidc":         {"internal/jose", "internal/spiffe", "internal/strictjson", "internal/tracing"},
	"internal/store":        {"internal/directory", "internal/audit", "internal/limit", "internal/tracing"},
	"internal/tracing/otlp": {"internal/tracing"},
	"internal/keys":         {"internal/jose", "internal/store"},
	"internal/trail":        {"internal/audit", "internal/store"},
	"internal/kubernetes":   {},
	// What decides. Neither of the first two stores or dials.
	"internal/federation": {"internal/directory", "internal/jose", "internal/oauth", "internal/spiffe", "internal/strictjson"},
	"internal/token":      {"internal/audit", "internal/directory", "internal/explain", "internal/federation", "internal/limit", "internal/oauth", "internal/tracing"},
	"internal/graph":      {"internal/directory", "internal/lint", "internal/management", "internal/store", "internal/strictjson"},
	"internal/arm":        {"internal/directory", "internal/lint", "internal/management", "internal/store", "internal/strictjson"},
	"internal/trust":      {"internal/directory", "internal/strictjson"},
	"internal/trustapi":   {"internal/directory", "internal/lint", "internal/management", "internal/store", "internal/strictjson", "internal/trust"},
	"internal/auditapi":   {"internal/audit", "internal/management", "internal/store", "internal/trail", "internal/trustapi"},
	"internal/explainapi": {"internal/audit", "internal/explain", "internal/management", "internal/oauth", "internal/store", "internal/token", "internal/trustapi"},
	"internal/lint":       {"internal/audit", "internal/directory", "internal/profile", "internal/trust"},
	"internal/rehearsal":  {"internal/audit", "internal/directory", "internal/explain", "internal/federation", "internal/oauth", "internal/token", "internal/trust"},
	"internal/bootstrap":  {"internal/directory", "internal/management", "internal/store"},
	"internal/bulk":       {"internal/directory", "internal/store", "internal/strictjson"},
	"internal/admin":      {"internal/diagnosis", "internal/directory", "internal/jose", "internal/strictjson"},
	"internal/agent":      {"internal/jose", "internal/strictjson", "workload"},
	"internal/webhook":    {"internal/diagnosis", "internal/kubernetes"},
	// What wires, and what starts.
	"internal/server": {"internal/arm", "internal/audit", "internal/auditapi", "internal/bootstrap", "internal/directory", "internal/explainapi", "internal/federation", "internal/graph", "internal/jose", "internal/keys", "internal/limit",
		"internal/management", "internal/metrics", "internal/oauth", "internal/oidc", "internal/store", "internal/strictjson", "internal/token", "internal/tracing", "internal/trustapi"},
	"internal/development": {"internal/bootstrap", "internal/config", "internal/directory", "internal/jose", "internal/keys", "internal/oidc", "internal/server", "internal/store", "internal/strictjson", "internal/tracing"},
	"cmd/cambio": {"internal/admin", "internal/agent", "internal/audit", "internal/bootstrap", "internal/bulk", "internal/config", "internal/development", "internal/diagnosis", "internal/directory", "internal/explain", "internal/keys", "internal/kubernetes", "internal/limit", "internal/lint", "internal/management", "internal/oauth", "internal/oidc",
		"internal/profile", "internal/rehearsal", "internal/server", "internal/store", "internal/strictjson", "internal/tracing", "internal/tracing/otlp", "internal/trail", "internal/trust", "internal/webhook", "resourceserver", "workload", "workload/aws", "workload/spiffe"},
	// Public packages, and test parts of packages.
	"resourceserver":                     {"internal/jose", "internal/strictjson"},
	"workload":                           {"internal/strictjson"},
	"workload/aws":                       {"workload"}, // apart, so that importing workload brings no SDK
	"workload/spiffe":                    {"workload"},
	"cambiotest":                         {"internal/development"},
	"internal/store/consistency":         {},
	"internal/store/storetest":           {"internal/audit", "internal/directory", "internal/store"},
	"internal/management/managementtest": {"internal/management"},
}

// outside are the trees that stand before the product as its users do: they
// speak to it over the wire, so they may dial and import each other, but of
// the internal packages only what is listed.
var outside = map[string][]string{
	"bench":       {},
	"conformance": {},
	"examples":    {},
	"test":        {"internal/audit", "internal/directory", "internal/store"}, // test/crash and test/powerloss write to the store, and open what was left behind
}

// treeOf returns the outside tree of a package, if it is in one.
func treeOf(pkg string) (string, bool) {
	tree, _, _ := strings.Cut(pkg, "/")
	_, ok := outside[tree]
	return tree, ok
}

// mayDial lists the packages that open connections to others, with the reason.
var mayDial = map[string]string{
	"internal/admin":        "the command line's client of the management APIs",
	"internal/trail":        "sends audit records to the collector that an operator configured",
	"internal/tracing/otlp": "sends spans to the collector that an operator configured",
	"internal/kubernetes":   "reads service accounts of the cluster that the webhook serves",
	"internal/oidc":         "the guarded client for discovery documents and key sets of issuers",
	"workload":              "the workload's side: asks its platform for a token, and exchanges it",
	"resourceserver":        "runs in other people's APIs and fetches cambio's own keys",
}

// dependencies lists the direct dependencies, each with its reason.
var dependencies = map[string]string{
	"github.com/go-json-experiment/json":  "strict JSON: duplicate names, invalid UTF-8 and case folding are refused",
	"github.com/google/uuid":              "object ids are GUIDs",
	"github.com/prometheus/client_golang": "metrics in the format that operators scrape",
	"github.com/spf13/pflag":              "cobra's own flags, to group them in help",
	"github.com/spf13/cobra":              "commands, flags, help and completion",
	"go.yaml.in/yaml/v3":                  "the configuration file and the trust configuration, with unknown keys refused",
	"golang.org/x/text":                   "Unicode normal forms, to tell that two values look alike",
	"golang.org/x/net":                    "a bound on open connections (netutil)",
	"golang.org/x/time":                   "token buckets for look-ups that end in a refusal",
	"modernc.org/sqlite":                  "the database inside, without cgo",
	"go.opentelemetry.io/otel":            "traces: the API and its trace context",
	"go.opentelemetry.io/otel/trace":      "traces: the API of spans",
	"go.opentelemetry.io/otel/sdk":        "traces: sampling and batches",
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp": "traces: OTLP/HTTP, which every collector takes",
	"go.opentelemetry.io/proto/otlp":                                  "test oracle: what a collector reads of the traces; already below the exporter",
	"google.golang.org/protobuf":                                      "test oracle: likewise",
	"github.com/aws/aws-sdk-go-v2":                                    "the workload's side in AWS: its configuration",
	"github.com/aws/aws-sdk-go-v2/config":                             "likewise: credentials of every kind, and the region",
	"github.com/aws/aws-sdk-go-v2/service/sts":                        "likewise: GetWebIdentityToken, signed with SigV4",
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentity":            "likewise: GetOpenIdTokenForDeveloperIdentity",
	"github.com/aws/smithy-go":                                        "likewise: codes of its errors",
	"github.com/spiffe/go-spiffe/v2":                                  "the workload's side of SPIFFE: JWT-SVIDs over the Workload API",
	"google.golang.org/grpc":                                          "likewise: codes of its errors; already below the exporter of traces",
	"github.com/jackc/pgx/v5":                                         "PostgreSQL, for several replicas",
	"github.com/go-jose/go-jose/v4":                                   "test oracle for the verifier; not in the binary",
	"github.com/santhosh-tekuri/jsonschema/v6":                        "test oracle for the published JSON Schemas; not in the binary",
	"github.com/rogpeppe/go-internal":                                 "wire scripts (testscript); not in the binary",
	"github.com/hanwen/go-fuse/v2":                                    "a disk that loses its power, for tests; not in the binary",
}

// source is one parsed Go file of this module.
type source struct {
	path  string // with slashes, relative to the root
	pkg   string // its folder
	file  *ast.File
	lines int
}

// sources parses every Go file of the module, but for modules of their own
// below it.
func sources(t *testing.T) ([]source, *token.FileSet) {
	t.Helper()
	files := token.NewFileSet()
	var all []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata" || isModule(path)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(files, path, raw, parser.ParseComments)
		if err != nil {
			return err
		}
		path = filepath.ToSlash(path)
		all = append(all, source{path: path, pkg: filepath.ToSlash(filepath.Dir(path)), file: file, lines: strings.Count(string(raw), "\n")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d Go files found; the walk is wrong", len(all))
	}
	return all, files
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func isTest(path string) bool { return strings.HasSuffix(path, "_test.go") }

func TestImports(t *testing.T) {
	all, _ := sources(t)
	for _, s := range all {
		if isTest(s.path) {
			continue
		}
		if tree, ok := treeOf(s.pkg); ok {
			checkOutside(t, s, tree)
			continue
		}
		allowed, known := mayImport[s.pkg]
		if !known {
			t.Errorf("%s: package %s has no row in mayImport", s.path, s.pkg)
			continue
		}
		for _, path := range imported(s) {
			if rest, ours := strings.CutPrefix(path, "cambio/"); ours && !slices.Contains(allowed, rest) {
				t.Errorf("%s: %s must not import %s", s.path, s.pkg, rest)
			}
			if path == "encoding/json" {
				t.Errorf("%s: encoding/json reads untrusted JSON leniently; use internal/strictjson, or go-json-experiment/json to write", s.path)
			}
			if path == "testing" && !strings.HasSuffix(s.pkg, "test") {
				t.Errorf("%s: testing must not be linked into the product", s.path)
			}
		}
	}
}

func checkOutside(t *testing.T, s source, tree string) {
	for _, path := range imported(s) {
		rest, ours := strings.CutPrefix(path, "cambio/")
		if ours && strings.HasPrefix(rest, "internal/") && !slices.Contains(outside[tree], rest) {
			t.Errorf("%s: %s must not import %s", s.path, s.pkg, rest)
		}
	}
}

func imported(s source) []string {
	var paths []string
	for _, i := range s.file.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, `"`))
	}
	return paths
}

func TestOnlyNamedPackagesDial(t *testing.T) {
	dialling := map[string][]string{
		"http": {"Client", "DefaultClient", "DefaultTransport", "Get", "Post", "PostForm", "Head", "Transport"},
		"net":  {"Dial", "DialTimeout", "Dialer", "DialTCP", "DialUDP", "Resolver", "LookupHost", "LookupIP"},
		"tls":  {"Dial", "DialWithDialer", "Dialer"},
	}
	all, files := sources(t)
	for _, s := range all {
		if _, ok := treeOf(s.pkg); ok || isTest(s.path) || mayDial[s.pkg] != "" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && slices.Contains(dialling[pkg.Name], sel.Sel.Name) {
					t.Errorf("%s: %s.%s: this package may not dial", files.Position(n.Pos()), pkg.Name, sel.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestDependenciesHaveReasons(t *testing.T) {
	raw, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "v") || strings.Contains(line, "// indirect") {
			continue
		}
		found[fields[0]] = true
		if dependencies[fields[0]] == "" {
			t.Errorf("go.mod requires %s without a reason in the dependencies table", fields[0])
		}
	}
	for name := range dependencies {
		if !found[name] {
			t.Errorf("the dependencies table names %s, which go.mod does not require directly", name)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	all, _ := sources(t)
	documented := map[string]bool{}
	for _, s := range all {
		if s.file.Doc != nil && len(s.file.Doc.Text()) > 40 {
			documented[s.pkg] = true
		}
	}
	for _, s := range all {
		if !documented[s.pkg] {
			t.Errorf("package %s has no package comment", s.pkg)
			documented[s.pkg] = true
		}
	}
}

func TestSizes(t *testing.T) {
	const longestFile, longestFunc, longFunc = 500, 80, 40
	all, files := sources(t)
	var lengths []int
	for _, s := range all {
		if s.lines > longestFile {
			t.Errorf("%s has %d lines; the budget is %d", s.path, s.lines, longestFile)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			n := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1
			lengths = append(lengths, n)
			if n > longestFunc {
				t.Errorf("%s: %s has %d lines; the budget is %d", files.Position(f.Pos()), f.Name.Name, n, longestFunc)
			}
			if f.Name.Name == "init" && f.Recv == nil && !isTest(s.path) {
				t.Errorf("%s: init functions have hidden effects", files.Position(f.Pos()))
			}
		}
	}
	slices.Sort(lengths)
	if p90 := lengths[len(lengths)*9/10]; p90 > longFunc {
		t.Errorf("a tenth of the functions is longer than %d lines; the budget is %d", p90, longFunc)
	}
}

func TestInterfacesAreSmall(t *testing.T) {
	const most, all = 4, 15
	parsed, files := sources(t)
	count := 0
	for _, s := range parsed {
		if isTest(s.path) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if i, ok := spec.Type.(*ast.InterfaceType); ok {
				count++
				if i.Methods.NumFields() > most {
					t.Errorf("%s: %s has %d methods; the budget is %d", files.Position(n.Pos()), spec.Name.Name, i.Methods.NumFields(), most)
				}
			}
			return true
		})
	}
	if count > all {
		t.Errorf("%d interfaces; the budget is %d", count, all)
	}
}
