package strictjson_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cambio/internal/strictjson"
	"github.com/go-json-experiment/json/jsontext"
)

// duplicateNames lists the y_ files that are refused although RFC 8259 lets
// them pass, because one name stands twice in an object.
var duplicateNames = map[string]bool{
	"y_object_duplicated_key.json":           true,
	"y_object_duplicated_key_and_value.json": true,
}

// suiteLimits are wide enough that only syntax decides about the y_ files.
var suiteLimits = strictjson.Limits{Bytes: 1 << 20, Depth: 64, Members: 10000}

func suiteFiles(t testing.TB, prefix string) map[string][]byte {
	paths, err := filepath.Glob("../../conformance/vectors/jsontestsuite/test_parsing/" + prefix + "*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		doc, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = doc
	}
	return files
}

func TestJSONTestSuite(t *testing.T) {
	parsed, duplicates := 0, 0
	files := suiteFiles(t, "y_")
	for name, doc := range files {
		err := strictjson.Check(doc, suiteLimits)
		switch {
		case duplicateNames[name]:
			syntaxIsFine := jsontext.Value(doc).IsValid(jsontext.AllowDuplicateNames(true))
			if kindOf(err) != strictjson.Duplicate || !syntaxIsFine {
				t.Errorf("%s: %v, want a duplicate and nothing else", name, err)
			}
			duplicates++
			parsed++
		case err != nil:
			t.Errorf("%s: %v", name, err)
		default:
			parsed++
		}
	}
	t.Logf("must parse: %d of %d, %d of them refused by the rule on duplicate names", parsed, len(files), duplicates)
	if len(files) != 95 || parsed != 95 || duplicates != len(duplicateNames) {
		t.Errorf("%d files, %d parsed, %d duplicates", len(files), parsed, duplicates)
	}
	refused := 0
	files = suiteFiles(t, "n_")
	for name, doc := range files {
		if strictjson.Check(doc, suiteLimits) == nil {
			t.Errorf("%s accepted", name)
			continue
		}
		refused++
	}
	t.Logf("must not parse: %d of %d refused", refused, len(files))
	if len(files) != 188 {
		t.Errorf("%d files", len(files))
	}
	accepted := 0
	files = suiteFiles(t, "i_")
	for name, doc := range files {
		if strictjson.Check(doc, suiteLimits) != nil {
			continue
		}
		accepted++
		if !json.Valid(doc) {
			t.Errorf("%s accepted although it is not JSON", name)
		}
	}
	t.Logf("free to choose: %d of %d accepted", accepted, len(files))
}

// FuzzParseObject compares with encoding/json: what is accepted here is valid
// there, has the same top-level names and the same strings.
func FuzzParseObject(f *testing.F) {
	f.Add([]byte(githubClaims))
	f.Add([]byte(`{"a":"\ud83d\ude00","b":[1,{"c":null}],"\u0073":-0.5e+3}`))
	f.Add([]byte("\ufeff{}"))
	for name, doc := range suiteFiles(f, "") {
		if len(doc) < 4096 && strings.Contains(name, "object") {
			f.Add(doc)
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		object, err := strictjson.ParseObject(doc, strictjson.Claims)
		if err != nil {
			if kindOf(err) <= 0 {
				t.Fatalf("error of another type: %v", err)
			}
			return
		}
		if strictjson.Check(doc, strictjson.Claims) != nil {
			t.Fatal("ParseObject and Check disagree")
		}
		var oracle map[string]json.RawMessage
		if err := json.Unmarshal(doc, &oracle); err != nil {
			t.Fatalf("accepted, but encoding/json says %v", err)
		}
		if len(oracle) != object.Len() {
			t.Fatalf("%d members, encoding/json has %d", object.Len(), len(oracle))
		}
		for name, value := range object.All() {
			if string(oracle[name]) != string(value) {
				t.Fatalf("%q is %s, encoding/json has %s", name, value, oracle[name])
			}
			compareMember(t, object, name, value)
		}
	})
}

func compareMember(t *testing.T, object strictjson.Object, name string, value []byte) {
	if text, _, err := object.String(name); err == nil {
		var oracle string
		if json.Unmarshal(value, &oracle) != nil || oracle != text {
			t.Fatalf("String(%q) = %q, encoding/json has %q", name, text, oracle)
		}
	}
	if list, _, err := object.Strings(name); err == nil && value[0] == '[' {
		var oracle []string
		if json.Unmarshal(value, &oracle) != nil || strings.Join(oracle, "\x00") != strings.Join(list, "\x00") {
			t.Fatalf("Strings(%q) = %q, encoding/json has %q", name, list, oracle)
		}
	}
	if number, _, err := object.Number(name); err == nil {
		var oracle float64
		if json.Unmarshal(value, &oracle) != nil || oracle != number {
			t.Fatalf("Number(%q) = %v, encoding/json has %v", name, number, oracle)
		}
	}
}
