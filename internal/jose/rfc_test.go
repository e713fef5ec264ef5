package jose_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cambio/internal/jose"
)

// RFC 7515 appendix A. A.1 and A.5 must not verify: an HMAC and no signature.
const (
	rfc7515Payload = ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
	rfc7515A1      = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" + rfc7515Payload + "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	rfc7515A2      = "eyJhbGciOiJSUzI1NiJ9" + rfc7515Payload + "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
	rfc7515A3      = "eyJhbGciOiJFUzI1NiJ9" + rfc7515Payload + "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	rfc7515A4      = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
	rfc7515A5      = "eyJhbGciOiJub25lIn0" + rfc7515Payload
)

// rfc8037A4 is the example of RFC 8037 appendix A.4.
const rfc8037A4 = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

// rfc7515Keys is the public keys of these examples, and the one HMAC key.
const rfc7515Keys = `{"keys":[
	{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"},
	{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
	{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"},
	{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
	{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]}`

func TestRFC7515(t *testing.T) {
	set, err := jose.ParseKeySet([]byte(rfc7515Keys), 100)
	if err != nil || len(set.Keys) != 4 || len(set.Ignored) != 1 {
		t.Fatalf("%+v, %v", set, err)
	}
	for compact, want := range map[string]bool{rfc7515A1: false, rfc7515A2: true, rfc7515A3: true, rfc7515A4: true, rfc7515A5: false, rfc8037A4: true} {
		jws, err := jose.ParseCompact(compact)
		if err != nil {
			t.Fatal(err)
		}
		candidates, _ := set.Candidates(jws.Header)
		if verified := len(candidates) == 1 && jws.Verify(candidates[0]) == nil; verified != want {
			t.Errorf("%.30s: verified %v, want %v", compact, verified, want)
		}
	}
}

// RFC 7638 §3.1 and RFC 8037 appendix A.3.
func TestThumbprintsOfRFCs(t *testing.T) {
	for doc, want := range map[string]string{
		`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`: "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
	} {
		set, err := jose.ParseKeySet([]byte(`{"keys":[`+doc+`]}`), 1)
		if err != nil || len(set.Keys) != 1 {
			t.Fatalf("%+v, %v", set, err)
		}
		if got := set.Keys[0].Thumbprint(); got != want {
			t.Errorf("thumbprint %s, want %s", got, want)
		}
	}
}

// cookbookRefused lists the examples of RFC 7520, 7797 and 8037 that carry a
// compact form but must not verify here, and why.
var cookbookRefused = map[string]string{
	"4_4.hmac-sha2_integrity_protection.json": "symmetric algorithm",
	"hmac-sha2_b64_false.json":                "symmetric algorithm and critical extension (RFC 7797)",
	"4.2.hmac-sha2_b64_false.json":            "symmetric algorithm and critical extension (RFC 7797)",
}

// cookbookExample is a file of the ietf-jose cookbook.
type cookbookExample struct {
	Input struct {
		Key json.RawMessage `json:"key"`
	} `json:"input"`
	Output struct {
		Compact string `json:"compact"`
	} `json:"output"`
}

func TestCookbookSignatures(t *testing.T) {
	verified, refused, withoutCompact := 0, 0, 0
	for _, pattern := range []string{"jws/*.json", "curve25519/jws.json", "rfc7797/*.json"} {
		paths, err := filepath.Glob("../../conformance/vectors/rfc7520/" + pattern)
		if err != nil || len(paths) == 0 {
			t.Fatal("no examples", err)
		}
		for _, path := range paths {
			var example cookbookExample
			readVectors(t, strings.TrimPrefix(path, "../../conformance/vectors/"), &example)
			name := filepath.Base(path)
			switch accepted := cookbookAccepts(t, example); {
			case accepted && cookbookRefused[name] == "":
				verified++
			case accepted:
				t.Errorf("%s verified", name)
			case cookbookRefused[name] != "":
				refused++
			case example.Output.Compact == "" || strings.Contains(example.Output.Compact, ".."):
				withoutCompact++ // JSON serialisation or detached content only
			default:
				t.Errorf("%s does not verify", name)
			}
		}
	}
	t.Logf("cookbook: %d verified, %d refused by policy, %d in a form that does not exist here", verified, refused, withoutCompact)
	if verified != 4 || refused != len(cookbookRefused) {
		t.Errorf("%d verified, %d refused", verified, refused)
	}
}

// cookbookAccepts verifies the compact form with the public half of the key.
func cookbookAccepts(t *testing.T, example cookbookExample) bool {
	var key map[string]any
	if json.Unmarshal(example.Input.Key, &key) != nil {
		return false // several keys
	}
	maps.DeleteFunc(key, func(name string, _ any) bool {
		return slices.Contains([]string{"d", "p", "q", "dp", "dq", "qi"}, name)
	})
	set, err := jose.ParseKeySet(keySetOf(key), 1)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseCompact(example.Output.Compact)
	if err != nil {
		return false
	}
	candidates, _ := set.Candidates(jws.Header)
	return len(candidates) == 1 && jws.Verify(candidates[0]) == nil
}

// No encrypted token of the cookbook parses at all.
func TestCookbookEncryption(t *testing.T) {
	paths, err := filepath.Glob("../../conformance/vectors/rfc7520/jwe/*.json")
	if err != nil || len(paths) != 13 {
		t.Fatal(len(paths), err)
	}
	for _, path := range paths {
		var example cookbookExample
		readVectors(t, strings.TrimPrefix(path, "../../conformance/vectors/"), &example)
		if jws, err := jose.ParseCompact(example.Output.Compact); err == nil {
			t.Errorf("%s parsed as %+v", path, jws.Header)
		}
	}
}
