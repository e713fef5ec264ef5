package conformance

import (
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"

	"cambio/internal/oauth"
)

// params are the same for all scripts.
func params() testscript.Params {
	return testscript.Params{
		Cmds:               commands(),
		RequireUniqueNames: true,
		Condition: func(cond string) (bool, error) {
			if cond == "issuers" { // the server under test trusts issuers of ours
				return shared.issuers != nil, nil
			}
			if cond == "svids" { // it takes SVIDs as client authentication
				return takesSVIDs()
			}
			return false, os.ErrInvalid
		},
		Setup: func(e *testscript.Env) error {
			e.Values[sessionKey{}] = &session{target: shared, http: shared.http, issuers: map[string]*issuer{}}
			now := time.Now().Unix()
			for name, value := range map[string]string{
				"NOW": strconv.FormatInt(now, 10), "SOON": strconv.FormatInt(now+3600, 10),
				"IDENTITY": "id-" + strings.ToLower(rand.Text()[:10]),
				"BASE":     shared.BaseURL, "TENANT": shared.TenantID, "SCOPE": shared.Scope,
				"RESOURCE": shared.ResourceAppID, "RESOURCE_URI": strings.TrimSuffix(shared.Scope, "/.default"),
				"ISSUER": shared.IDP.Issuer, "SEEDED_CLIENT": shared.ClientID, "SEEDED_CLIENT_OBJECT": shared.ClientObjectID,
				"ADMIN_TOKEN": shared.AdminToken, "ADMIN_OBJECT": objectID(shared.AdminToken), "AUDIENCE": "api://AzureADTokenExchange",
				"SUBJECT": "repo:acme/shop:ref:refs/heads/main", "HOST": strings.TrimPrefix(shared.BaseURL, "https://"),
			} {
				e.Setenv(name, value)
			}
			return nil
		},
	}
}

// takesSVIDs asks the server's discovery document.
func takesSVIDs() (bool, error) {
	response, err := shared.http.Get(shared.BaseURL + "/" + shared.TenantID + "/v2.0/.well-known/openid-configuration")
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	var document struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := json.UnmarshalRead(response.Body, &document); err != nil {
		return false, err
	}
	return slices.Contains(document.Methods, "spiffe_jwt"), nil
}

// objectID is the oid of an access token, as clients read it that make
// themselves owners; empty when the token is no JWT.
func objectID(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	var claims struct {
		ObjectID string `json:"oid"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.ObjectID
}

// TestScripts plays the scripts of a relaxed tenant, beside each other.
func TestScripts(t *testing.T) {
	p := params()
	p.Dir = "scripts"
	testscript.Run(t, p)
}

// TestStrictScripts plays the scripts that switch the tenant to strict, one
// after the other.
func TestStrictScripts(t *testing.T) {
	files, err := filepath.Glob("scripts/strict/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts in scripts/strict", err)
	}
	for _, file := range files {
		// The group returns when its only script has ended, although scripts
		// are parallel tests.
		t.Run("serial", func(t *testing.T) {
			p := params()
			p.Files = []string{file}
			testscript.Run(t, p)
		})
	}
}

// TestREADMENamesScripts compares the tables of README.md with the scripts: a
// tolerance is found there, and what is named there exists.
func TestREADMENamesScripts(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("scripts/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	exists := map[string]bool{}
	family := regexp.MustCompile(`^(tolerance|endpoints|azurerm)-`)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		exists[name] = true
		if family.MatchString(name) && !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("README.md does not name %s", name)
		}
	}
	for line := range strings.Lines(string(readme)) {
		cells := strings.Split(line, " | ")
		if len(cells) != 3 || !strings.HasPrefix(line, "| ") {
			continue
		}
		for _, name := range regexp.MustCompile("`([a-z0-9]+(?:-[a-z0-9]+)+)`").FindAllStringSubmatch(cells[2], -1) {
			if !exists[name[1]] {
				t.Errorf("README.md names %s, which does not exist", name[1])
			}
		}
	}
}

// notDriven are the codes that no script can provoke from outside, with the
// reason; README.md repeats them.
var notDriven = map[oauth.Code]string{
	oauth.TransientFailure: "needs a failing database",
}

// TestEveryCodeHasAScript compares the catalogue of refusals with the scripts.
func TestEveryCodeHasAScript(t *testing.T) {
	files, err := filepath.Glob("scripts/aadsts*.txt")
	if err != nil {
		t.Fatal(err)
	}
	serial, err := filepath.Glob("scripts/strict/aadsts*.txt")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, serial...)
	named := regexp.MustCompile(`aadsts(\d+)-[a-z0-9-]+\.txt$`)
	scripts := map[oauth.Code]string{}
	for _, file := range files {
		m := named.FindStringSubmatch(file)
		if m == nil {
			t.Errorf("%s is not named aadstsCODE-what.txt", file)
			continue
		}
		code, _ := strconv.Atoi(m[1])
		scripts[oauth.Code(code)] = file
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), `"error_codes":[`+m[1]+`]`) {
			t.Errorf("%s shows no answer with code %s as it is on the wire", file, m[1])
		}
	}
	for _, row := range oauth.Catalogue() {
		_, excused := notDriven[row.Code]
		if script := scripts[row.Code]; script == "" && !excused {
			t.Errorf("AADSTS%d has no script scripts/aadsts%d-*.txt", row.Code, row.Code)
		} else if script != "" && excused {
			t.Errorf("AADSTS%d has a script, and a reason for having none", row.Code)
		}
		delete(scripts, row.Code)
	}
	for code, file := range scripts {
		t.Errorf("%s: AADSTS%d is not in the catalogue", file, code)
	}
}
