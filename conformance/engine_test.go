package conformance

import (
	"slices"
	"testing"
)

// TestCompare shows that the engine sees differences: a script that passes
// against a wrong answer would prove nothing.
func TestCompare(t *testing.T) {
	want := map[string]any{
		"error": "invalid_client", "error_codes": []any{700213.0}, "trace_id": "<guid>", "timestamp": "<time>",
		"expires_in": "<seconds>", "not_before": "<digits>", "error_uri?": "u",
	}
	good := func() map[string]any {
		return map[string]any{
			"error": "invalid_client", "error_codes": []any{700213.0}, "trace_id": "2f6f0c1e-8d9b-4b0e-9f6e-3f0f5a1b2c00",
			"timestamp": "2026-11-02 09:15:27Z", "expires_in": 3599.0, "not_before": "1793368499",
		}
	}
	if wrong := compare("", want, good()); wrong != nil {
		t.Fatalf("a good answer differs: %v", wrong)
	}
	for name, change := range map[string]func(map[string]any){
		"absent":             func(m map[string]any) { delete(m, "trace_id") },
		"surplus":            func(m map[string]any) { m["stack"] = "x" },
		"other text":         func(m map[string]any) { m["error"] = "invalid_request" },
		"other code":         func(m map[string]any) { m["error_codes"] = []any{700211.0} },
		"code as text":       func(m map[string]any) { m["error_codes"] = []any{"700213"} },
		"two codes":          func(m map[string]any) { m["error_codes"] = []any{700213.0, 1.0} },
		"ISO time":           func(m map[string]any) { m["timestamp"] = "2026-11-02T09:15:27Z" },
		"seconds as text":    func(m map[string]any) { m["expires_in"] = "3599" },
		"digits as number":   func(m map[string]any) { m["not_before"] = 1793368499.0 },
		"upper-case guid":    func(m map[string]any) { m["trace_id"] = "2F6F0C1E-8D9B-4B0E-9F6E-3F0F5A1B2C00" },
		"fraction":           func(m map[string]any) { m["expires_in"] = 3599.5 },
		"wrong optional one": func(m map[string]any) { m["error_uri"] = "v" },
	} {
		answer := good()
		change(answer)
		if wrong := compare("", want, answer); len(wrong) != 1 {
			t.Errorf("%s: differences %v, want one", name, wrong)
		}
	}
}

func TestAt(t *testing.T) {
	v := map[string]any{"a": []any{map[string]any{"b": "c"}}}
	if got, ok := at(v, "a.0.b"); !ok || got != "c" {
		t.Errorf("a.0.b is %v", got)
	}
	if got, ok := at(map[string]any{"@odata.type": "t"}, "@odata.type"); !ok || got != "t" {
		t.Errorf("@odata.type is %v", got)
	}
	for _, path := range []string{"a.1", "a.-1", "a.x", "b", "a.0.b.c"} {
		if got, ok := at(v, path); ok {
			t.Errorf("%s is %v, want nothing", path, got)
		}
	}
}

// TestSignaturesVerify checks the engine's own signatures by its own verifier,
// so that a refusal of the server is not the engine's fault.
func TestSignaturesVerify(t *testing.T) {
	keys, err := newKeys([]string{"k1:RSA", "e1:P-256"})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		alg := naturalAlgorithm(key.private)
		signature, err := signJWS(alg, key.private, []byte("input"))
		if err != nil {
			t.Fatal(err)
		}
		if err := verifyJWS(alg, publicJWK(key), []byte("input"), signature); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		signature = slices.Clone(signature)
		signature[len(signature)/2] ^= 1
		if verifyJWS(alg, publicJWK(key), []byte("input"), signature) == nil {
			t.Errorf("%s: a wrong signature verified", alg)
		}
	}
}
