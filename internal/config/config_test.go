package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const good = `base_url: "https://sts.example.net"
public: {certificate_file: tls.crt, key_file: tls.key}
database: {path: /var/lib/cambio/cambio.db}
`

func TestParse(t *testing.T) {
	for name, c := range map[string]struct{ text, complaint string }{
		"minimal":               {good, ""},
		"empty":                 {"", "base_url is required"},
		"unknown key":           {good + "tokens:\n  lifetme_min: 1h\n", `line 5: unknown key "lifetme_min"`},
		"unknown top-level key": {good + "allow_everything: true\n", `line 4: unknown key "allow_everything"`},
		"repeated key":          {good + "base_url: https://other.example\n", `line 4: the key "base_url" stands in line 1 already`},
		"two documents":         {good + "---\nbase_url: x\n", "exactly one YAML document"},
		"no duration":           {good + "tokens: {lifetime_min: 60}\n", `line 4: "60" is no duration; write it with its unit`},
		"wrong kind":            {good + "tokens: [1]\n", "line 4: a value of another kind is expected"},
		"http":                  {strings.Replace(good, "https:", "http:", 1), "must be an https origin"},
		"path in the origin":    {strings.Replace(good, ".net", ".net/sts", 1), "must be an https origin"},
		"query":                 {strings.Replace(good, ".net", ".net?", 1), "must be an https origin"},
		"fragment":              {strings.Replace(good, ".net", ".net#", 1), "must be an https origin"},
		"empty port":            {strings.Replace(good, ".net", ".net:", 1), "must be an https origin"},
		"port 0":                {strings.Replace(good, ".net", ".net:0", 1), "must be an https origin"},
		"upper case":            {strings.Replace(good, "sts", "STS", 1), "must be an https origin"},
		"trailing slash":        {strings.Replace(good, ".net", ".net/", 1), "must be an https origin"},
		"no certificate":        {strings.Replace(good, "certificate_file: tls.crt, ", "", 1), "certificate_file"},
		"lifetimes swapped":     {good + "tokens: {lifetime_min: 2h, lifetime_max: 1h}\n", "tokens.lifetime_min"},
		"lifetime too long":     {good + "tokens: {lifetime_max: 48h}\n", "tokens.lifetime_min"},
		"address range":         {good + "issuers: {allow_addresses: [10.0.0.1]}\n", `issuers.allow_addresses: "10.0.0.1"`},
		"rule without issuer":   {good + "issuers: {rules: [{ca_file: x}]}\n", "issuers.rules[0].issuer is required"},
		"plain http issuer":     {good + "issuers: {rules: [{issuer: 'http://idp'}]}\n", "allow_http"},
		"proxy with password":   {good + "issuers: {proxies: [{name: a, url: 'http://u:p@proxy'}]}\n", "without user and password"},
		"unknown proxy":         {good + "issuers: {rules: [{issuer: 'https://a.example', proxy: b}]}\n", "issuers.proxies"},
		"two rules":             {good + "issuers: {rules: [{issuer: 'https://a.example'}, {issuer: 'https://a.example'}]}\n", "another rule"},
		"log level":             {good + "log: {level: loud}\n", "log.level"},
		"log format":            {good + "log: {format: xml}\n", "log.format"},
		"logged requests":       {good + "log: {requests: some}\n", "log.requests"},
		"collector":             {good + "tracing: {endpoint: 'https://otel.example:4318/v1/traces', sample_ratio: 0.5}\n", ""},
		"collector without TLS": {good + "tracing: {endpoint: 'http://otel.example:4318/v1/traces'}\n", "tracing.endpoint"},
		"nothing sampled":       {good + "tracing: {sample_ratio: 0}\n", "tracing.sample_ratio"},
		"sampled is no number":  {good + "tracing: {sample_ratio: .nan}\n", "tracing.sample_ratio"},
		"rotation":              {good + "keys: {rotate_every: 1h}\n", "keys.rotate_every"},
	} {
		_, err := Parse([]byte(c.text))
		switch {
		case c.complaint == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.complaint != "" && (err == nil || !strings.Contains(err.Error(), c.complaint)):
			t.Errorf("%s: %v; want a complaint with %q", name, err, c.complaint)
		}
	}
}

// All complaints come at once, and none names a Go type.
func TestComplaintsAreForOperators(t *testing.T) {
	_, err := Parse([]byte("log: {level: loud}\ndatabase: {path: ''}\n"))
	if err == nil || !strings.Contains(err.Error(), "log.level") || !strings.Contains(err.Error(), "database.path") {
		t.Errorf("got %v", err)
	}
	_, err = Parse([]byte("nonsense: 1\n"))
	if err == nil || strings.Contains(err.Error(), "config.Config") {
		t.Errorf("got %v", err)
	}
}

func TestPrintRoundTrips(t *testing.T) {
	c, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Print()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	text2, err := again.Print()
	if err != nil || string(text) != string(text2) {
		t.Errorf("printing changed the configuration:\n%s\n%s", text, text2)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte("x: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if _, err := Load(path + ".missing"); err == nil {
		t.Error("a missing file must be an error, not the defaults")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("issuers:\n  rules:\n  - issuer: x\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, err := Parse(raw); err == nil && (c.BaseURL == "" || c.Database.Path == "") {
			t.Errorf("accepted without required values: %q", raw)
		}
	})
}
