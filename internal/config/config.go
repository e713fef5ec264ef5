// Package config is the one configuration tree of the server: strict
// decoding, defaults, validation, and the text that docs/config.md is
// generated from.
//
// It is pure but for reading the file it is told to read: it opens no
// certificate, key or database. An unknown key, a repeated key or a value out
// of bounds is an error that names the key and its line.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Config is the whole configuration of `cambio serve`. The doc tags are the
// documentation; the values of Default are the defaults.
type Config struct {
	BaseURL    string     `yaml:"base_url" doc:"Public origin of the server, https, without a path. Tokens and discovery documents are made of it; request headers never change it. Required."`
	Public     Public     `yaml:"public" doc:"The listener that clients reach."`
	Operations Operations `yaml:"operations" doc:"The listener for /healthz, /readyz and /metrics. It has no authentication: keep it off public networks."`
	Database   Database   `yaml:"database" doc:"Where state is kept."`
	Keys       Keys       `yaml:"keys" doc:"The server's own signing keys."`
	Tokens     Tokens     `yaml:"tokens" doc:"Access tokens."`
	Issuers    Issuers    `yaml:"issuers" doc:"How external identity providers are reached."`
	Management Management `yaml:"management" doc:"The management APIs."`
	Audit      Audit      `yaml:"audit" doc:"The audit trail."`
	Limits     Limits     `yaml:"limits" doc:"What requests that are refused may cost. A client that was issued a token lately is examined all the same, at the same source."`
	Cache      Cache      `yaml:"cache" doc:"Memory bounds."`
	Tracing    Tracing    `yaml:"tracing" doc:"Traces, sent to an OpenTelemetry collector. No token, assertion or subject is in them."`
	Log        Log        `yaml:"log" doc:"Logging to standard error."`
}

// Public is the listener that clients reach.
type Public struct {
	Listen           string        `yaml:"listen" doc:"Address and port."`
	CertificateFile  string        `yaml:"certificate_file" doc:"PEM file with the server's certificate chain. Required. Read again when it changes."`
	KeyFile          string        `yaml:"key_file" doc:"PEM file with the certificate's private key. Required."`
	MaxConnections   int           `yaml:"max_connections" doc:"How many connections are open at a time; more wait. Each may hold about 100 KB while its request arrives."`
	SPIFFEClientAuth bool          `yaml:"spiffe_client_auth" doc:"Take SVIDs as the client's authentication at the token endpoint of relaxed tenants, as draft-ietf-oauth-spiffe-client-auth says: JWT-SVIDs of the assertion type jwt-spiffe, and X.509-SVIDs, for which every client is asked for a TLS certificate. A draft: it may change. X.509-SVIDs need TLS to end here, not at a proxy."`
	TrustedProxies   []string      `yaml:"trusted_proxies" doc:"Address ranges (CIDR) of proxies in front. The last address in X-Forwarded-For that is not one of them counts as where a request came from, in limits and in the audit trail. Empty: none, and the header is ignored."`
	ShutdownTimeout  time.Duration `yaml:"shutdown_timeout" doc:"How long requests may go on after a stop signal."`
}

// Operations is the listener for operators.
type Operations struct {
	Listen string `yaml:"listen" doc:"Address and port; empty turns it off."`
}

// Database is the store: SQLite or PostgreSQL.
type Database struct {
	Path             string        `yaml:"path" doc:"The file of an SQLite database, for one server. Its folder must be readable by this user alone."`
	DSN              string        `yaml:"dsn" doc:"A PostgreSQL database, for any number of equal servers, as in postgres://cambio@db.example:5432/cambio?sslmode=verify-full. Several hosts may be named; the one that takes writes is used. Of path and dsn one is required; with neither it is the environment variable CAMBIO_DATABASE_DSN. Keep the password out of it: PGPASSWORD and PGPASSFILE are read too."`
	PollInterval     time.Duration `yaml:"poll_interval" doc:"How often changes of other servers and of commands are looked for. Decisions do not depend on it: they are checked when they are recorded. Signing keys made or removed elsewhere are found by it."`
	Connections      int           `yaml:"connections" doc:"Connections for reading. A server has three more, two for writing and one that looks for changes."`
	AcceptLostWrites bool          `yaml:"accept_lost_writes" doc:"Start on a PostgreSQL database that may lose what it acknowledged (synchronous_commit, fsync or full_page_writes off). A deleted credential may then be trusted again after a crash."`
	RequireStandby   bool          `yaml:"require_standby" doc:"Issue and write nothing on a PostgreSQL database whose commits wait for no standby (synchronous_standby_names is empty): for installations that fail over, so that a new primary without that setting is not used."`
}

// DSNEnv is the environment variable that may hold the data source name.
const DSNEnv = "CAMBIO_DATABASE_DSN"

// Redacted is the data source name without its password.
func (d Database) Redacted() string {
	if u, err := url.Parse(d.DSN); err == nil && u.Scheme != "" {
		return u.Redacted()
	}
	return dsnPassword.ReplaceAllString(d.DSN, "${1}xxxxx")
}

// dsnPassword finds the password in a data source name of the form key=value.
var dsnPassword = regexp.MustCompile(`(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)`)

// Keys is the policy of the signing keys.
type Keys struct {
	EncryptionKeyFile string        `yaml:"encryption_key_file" doc:"File with the key-encryption key (32 bytes in base64), mode 0600, which seals the private signing keys in the database. Empty: the environment variable CAMBIO_KEY_ENCRYPTION_KEY."`
	RotateEvery       time.Duration `yaml:"rotate_every" doc:"How long a key signs."`
	PublishAhead      time.Duration `yaml:"publish_ahead" doc:"How long a key is published before it signs. At least twice the time that verifiers may cache the key set."`
}

// Tokens is the policy of access tokens.
type Tokens struct {
	LifetimeMin time.Duration `yaml:"lifetime_min" doc:"Shortest lifetime; each token gets a random one between the bounds, as Entra's do. 10m to 24h."`
	LifetimeMax time.Duration `yaml:"lifetime_max" doc:"Longest lifetime. 10m to 24h."`
}

// Issuers is the policy of outbound requests.
type Issuers struct {
	CAFile         string   `yaml:"ca_file" doc:"PEM file with certificate authorities that any issuer may chain to, beside the system's."`
	AllowAddresses []string `yaml:"allow_addresses" doc:"Private or loopback address ranges (CIDR) that any issuer may be on. Empty: none."`
	// Tenants permit nothing by themselves: it is the operator's network.
	TenantAddresses []string     `yaml:"tenant_addresses" doc:"Private or loopback address ranges (CIDR) that tenants may permit for single issuers that they manage. Empty: none."`
	Proxies         []Proxy      `yaml:"proxies" doc:"HTTP proxies through which issuers can be reached; rules, and tenants for issuers that they manage, name one. A proxy resolves names, so that it decides which addresses are reached: let it reach issuers only."`
	MaxKeys         int          `yaml:"max_keys" doc:"How many signing keys of one issuer are kept, in the order published; the rest are ignored and reported."`
	Rules           []IssuerRule `yaml:"rules" doc:"What holds for single issuers."`
}

// Proxy is an HTTP proxy with a name.
type Proxy struct {
	Name string `yaml:"name" doc:"What rules and managed issuers call it."`
	URL  string `yaml:"url" doc:"http or https URL of the proxy, without user and password."`
}

// IssuerRule is what holds for one issuer.
type IssuerRule struct {
	Issuer           string   `yaml:"issuer" doc:"The issuer, exactly as in its tokens."`
	CAFile           string   `yaml:"ca_file" doc:"PEM file with certificate authorities that this issuer may chain to."`
	AllowAddresses   []string `yaml:"allow_addresses" doc:"Private or loopback address ranges (CIDR) that this issuer may be on."`
	AllowHTTP        bool     `yaml:"allow_http" doc:"Fetch this issuer's documents without TLS. Whoever is on the path can then forge every token of it."`
	Proxy            string   `yaml:"proxy" doc:"Name of the proxy through which this issuer is reached; empty: none."`
	IssuedAtOptional bool     `yaml:"issued_at_optional" doc:"Accept tokens of this issuer that have no iat, as JWT-SVIDs may."`
	MaxKeys          int      `yaml:"max_keys" doc:"Key limit of this issuer; 0: the general one."`
}

// Cache bounds memory.
type Cache struct {
	RecordBytes    int64 `yaml:"record_bytes" doc:"Bytes of compiled client and resource records that are kept."`
	AssertionBytes int64 `yaml:"assertion_bytes" doc:"Memory for the hashes of verified assertions, some 100 bytes each, so that one that is presented again is not verified again. Keys, times, credentials and policy are looked at each time. 0: none."`
	// Zero is off: requests that share a token share its id.
	ShareTokens time.Duration `yaml:"share_tokens" doc:"For how long requests of one client with the same subject, for the same resource, get one access token, at most 60s: a fleet that starts at once costs one signature. Each request is verified and recorded all the same, but they share uti, jti and iat. 0: each gets its own."`
}

// Limits bound what some may cost the others.
type Limits struct {
	RefusalsPerSource    int `yaml:"refusals_per_source" doc:"How many refused token requests of one network address (of IPv6: one /64) are examined in a second; ten seconds' worth may come at once. More get 429 with Retry-After, without being examined. 0: no bound, here and below."`
	RefusalsPerClient    int `yaml:"refusals_per_client" doc:"Likewise of one client, from anywhere."`
	RefusalsPerIssuer    int `yaml:"refusals_per_issuer" doc:"Likewise with tokens of one issuer."`
	Refusals             int `yaml:"refusals" doc:"Likewise of all together."`
	ConnectionsPerSource int `yaml:"connections_per_source" doc:"How many connections of one network address are open at a time; more are closed. Those of trusted proxies are not counted."`
}

func (l *Limits) validate(p *problems) {
	for name, n := range map[string]int{"refusals_per_source": l.RefusalsPerSource, "refusals_per_client": l.RefusalsPerClient, "refusals_per_issuer": l.RefusalsPerIssuer,
		"refusals": l.Refusals, "connections_per_source": l.ConnectionsPerSource} {
		p.check(n >= 0, "limits.%s must not be negative", name)
	}
}

// Audit is what becomes of the audit trail.
type Audit struct {
	CheckpointEvery time.Duration `yaml:"checkpoint_every" doc:"How often a checkpoint is signed, if there are new records; 0: never. What came after the last one can be cut off without trace."`
	Retain          time.Duration `yaml:"retain" doc:"How long records are kept; 0: for ever."`
	MaxRecords      int64         `yaml:"max_records" doc:"How many records are kept at most, some 1.5 KB each; 0: any number."`
	ExportFile      string        `yaml:"export_file" doc:"File that records are appended to as lines of JSON. It may be rotated."`
	OTLPEndpoint    string        `yaml:"otlp_endpoint" doc:"URL of an OpenTelemetry collector that records are sent to as logs by OTLP/HTTP, as in https://otel.example:4318/v1/logs. Plain http is for loopback addresses."`
	OTLPCAFile      string        `yaml:"otlp_ca_file" doc:"PEM file with certificate authorities that the collector may chain to, beside the system's."`
}

func (a *Audit) validate(p *problems) {
	p.check(a.CheckpointEvery == 0 || a.CheckpointEvery >= time.Second, "audit.checkpoint_every must be at least 1s, or 0")
	p.check(a.Retain == 0 || a.Retain >= time.Hour, "audit.retain must be at least 1h, or 0")
	p.check(a.MaxRecords >= 0, "audit.max_records must not be negative")
	p.check(a.Retain == 0 && a.MaxRecords == 0 || a.CheckpointEvery > 0, "audit.retain and audit.max_records need audit.checkpoint_every: a checkpoint attests to what is removed")
	p.collector("audit.otlp_endpoint", a.OTLPEndpoint)
}

// Tracing is where traces go.
type Tracing struct {
	Endpoint    string  `yaml:"endpoint" doc:"URL of an OpenTelemetry collector that takes OTLP/HTTP, as in https://otel.example:4318/v1/traces. Plain http is for loopback addresses. Empty: nothing is traced."`
	SampleRatio float64 `yaml:"sample_ratio" doc:"Share of the requests that are traced, by trace id. A traceparent header is continued; one that says it is not sampled is not."`
	CAFile      string  `yaml:"ca_file" doc:"PEM file with certificate authorities that the collector may chain to, beside the system's."`
}

func (t *Tracing) validate(p *problems) {
	p.collector("tracing.endpoint", t.Endpoint)
	p.check(t.SampleRatio > 0 && t.SampleRatio <= 1, "tracing.sample_ratio must be above 0 and at most 1")
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Management is the policy of the management APIs.
type Management struct {
	ReadsPerSecond  int `yaml:"reads_per_second" doc:"How many reads one caller may send in a second; four seconds' worth may come at once. More get 429 with Retry-After."`
	WritesPerSecond int `yaml:"writes_per_second" doc:"How many writes one caller may send in a second, likewise."`
}

// Log is the logging policy.
type Log struct {
	Level    string `yaml:"level" doc:"debug, info, warn or error."`
	Format   string `yaml:"format" doc:"json, or text for people."`
	Requests string `yaml:"requests" doc:"Which requests are logged, each by one line at level info: all, refused (a status of 400 and above) or none. The audit trail has every decision and every management write in any case."`
}

// Default returns the defaults. Required values are empty.
func Default() Config {
	return Config{
		Public:     Public{Listen: ":8443", MaxConnections: 4096, ShutdownTimeout: 20 * time.Second},
		Operations: Operations{Listen: "127.0.0.1:9464"},
		Database:   Database{PollInterval: 100 * time.Millisecond, Connections: 4},
		Keys:       Keys{RotateEvery: 90 * 24 * time.Hour, PublishAhead: 48 * time.Hour},
		Tokens:     Tokens{LifetimeMin: time.Hour, LifetimeMax: 90 * time.Minute},
		Issuers:    Issuers{MaxKeys: 100},
		Management: Management{ReadsPerSecond: 1000, WritesPerSecond: 500},
		Audit:      Audit{CheckpointEvery: 5 * time.Minute, Retain: 400 * 24 * time.Hour},
		Limits:     Limits{RefusalsPerSource: 50, RefusalsPerClient: 200, RefusalsPerIssuer: 200, Refusals: 2000, ConnectionsPerSource: 1024},
		Cache:      Cache{RecordBytes: 64 << 20, AssertionBytes: 2 << 20},
		Tracing:    Tracing{SampleRatio: 0.01},
		Log:        Log{Level: "info", Format: "json", Requests: "refused"},
	}
}

// Load reads and validates a configuration file.
func Load(path string) (Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("cannot read the configuration: %w", err)
	}
	c, err := Parse(raw)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse decodes one YAML document over the defaults and validates it.
func Parse(raw []byte) (Config, error) {
	c := Default()
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, readable(err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("the file must hold exactly one YAML document")
	}
	if c.Database.Path == "" && c.Database.DSN == "" {
		c.Database.DSN = os.Getenv(DSNEnv)
	}
	return c, c.Validate()
}

// How the YAML library words mistakes; the Go types that it names mean nothing
// to an operator.
var (
	unknownKey  = regexp.MustCompile(`field (\S+) not found in type \S+`)
	noDuration  = regexp.MustCompile("cannot unmarshal !!\\w+ `([^`]*)` into time\\.Duration")
	wrongKind   = regexp.MustCompile("cannot unmarshal !!(\\w+) (?:`([^`]*)` )?into \\S+")
	repeatedKey = regexp.MustCompile(`mapping key "([^"]*)" already defined at line (\d+)`)
)

// readable says it in an operator's words, a line for each mistake.
func readable(err error) error {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "unmarshal errors:\n")
	text = unknownKey.ReplaceAllString(text, `unknown key "$1"; docs/config.md lists the keys`)
	text = noDuration.ReplaceAllString(text, `"$1" is no duration; write it with its unit, as in 60m`)
	text = wrongKind.ReplaceAllString(text, `a value of another kind is expected than "$2" ($1)`)
	text = repeatedKey.ReplaceAllString(text, `the key "$1" stands in line $2 already`)
	return errors.New(strings.TrimSpace(text))
}

// Validate checks every value and returns all complaints at once.
func (c *Config) Validate() error {
	var p problems
	p.check(c.BaseURL != "", "base_url is required: the public origin, as in https://sts.example.net")
	if c.BaseURL != "" {
		u, err := url.Parse(c.BaseURL)
		p.check(err == nil && u.Hostname() != "" && u.Port() != "0" && c.BaseURL == "https://"+strings.ToLower(u.Host) && !strings.HasSuffix(u.Host, ":"),
			"base_url %q must be an https origin in lower case, without a path or trailing slash", c.BaseURL)
	}
	p.check(validListen(c.Public.Listen), "public.listen %q must be an address and a port", c.Public.Listen)
	p.check(c.Public.CertificateFile != "" && c.Public.KeyFile != "", "public.certificate_file and public.key_file are required: clients refuse plain http")
	p.check(c.Public.MaxConnections > 0, "public.max_connections must be positive")
	p.check(c.Public.ShutdownTimeout > 0, "public.shutdown_timeout must be positive")
	p.check(c.Operations.Listen == "" || validListen(c.Operations.Listen), "operations.listen %q must be an address and a port, or empty", c.Operations.Listen)
	p.check(c.Database.Path != "" || c.Database.DSN != "", "database.path or database.dsn is required")
	p.check(c.Database.Path == "" || c.Database.DSN == "", "database.path and database.dsn exclude each other: the one is SQLite, the other PostgreSQL")
	p.check(c.Database.PollInterval >= time.Millisecond, "database.poll_interval must be at least 1ms")
	p.check(c.Database.Connections >= 1 && c.Database.Connections <= 1000, "database.connections must be between 1 and 1000")
	p.check(c.Keys.PublishAhead > 0 && c.Keys.RotateEvery >= 2*c.Keys.PublishAhead, "keys.rotate_every must be at least twice keys.publish_ahead, which must be positive")
	const shortest, longest = 10 * time.Minute, 24 * time.Hour
	p.check(c.Tokens.LifetimeMin >= shortest && c.Tokens.LifetimeMax <= longest && c.Tokens.LifetimeMin <= c.Tokens.LifetimeMax,
		"tokens.lifetime_min and lifetime_max must be between 10m and 24h, in this order")
	p.check(c.Cache.RecordBytes >= 1<<20, "cache.record_bytes must be at least 1048576")
	p.check(c.Cache.ShareTokens >= 0 && c.Cache.ShareTokens <= time.Minute, "cache.share_tokens must be between 0 and 60s")
	p.check(c.Cache.AssertionBytes >= 0, "cache.assertion_bytes must not be negative")
	p.check(c.Management.ReadsPerSecond > 0 && c.Management.WritesPerSecond > 0, "management.reads_per_second and writes_per_second must be positive")
	c.Log.validate(&p)
	c.Tracing.validate(&p)
	c.Issuers.validate(&p)
	c.Audit.validate(&p)
	c.Limits.validate(&p)
	p.prefixes("public.trusted_proxies", c.Public.TrustedProxies)
	return p.err()
}

func (i *Issuers) validate(p *problems) {
	p.check(i.MaxKeys >= 1 && i.MaxKeys <= 1000, "issuers.max_keys must be between 1 and 1000")
	p.prefixes("issuers.allow_addresses", i.AllowAddresses)
	p.prefixes("issuers.tenant_addresses", i.TenantAddresses)
	named := map[string]bool{}
	for n, x := range i.Proxies {
		u, err := url.Parse(x.URL)
		p.check(x.Name != "" && !named[x.Name], "issuers.proxies[%d].name is required, and must differ from the others", n)
		p.check(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil, "issuers.proxies[%d].url must be an http or https URL without user and password", n)
		named[x.Name] = true
	}
	seen := map[string]bool{}
	for n, r := range i.Rules {
		at := fmt.Sprintf("issuers.rules[%d]", n)
		p.check(r.Issuer != "", "%s.issuer is required", at)
		p.check(!seen[r.Issuer], "%s: there is another rule for %q", at, r.Issuer)
		seen[r.Issuer] = true
		p.check(r.AllowHTTP || !strings.HasPrefix(r.Issuer, "http:"), "%s: %q is plain http; use https, or say allow_http: true", at, r.Issuer)
		p.check(r.MaxKeys >= 0 && r.MaxKeys <= 1000, "%s.max_keys must be between 0 and 1000", at)
		p.prefixes(at+".allow_addresses", r.AllowAddresses)
		p.check(r.Proxy == "" || named[r.Proxy], "%s.proxy: there is no %q in issuers.proxies", at, r.Proxy)
	}
}

// Prefixes parses address ranges that Validate accepted.
func Prefixes(ranges []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(ranges))
	for _, r := range ranges {
		p, err := netip.ParsePrefix(r)
		if err != nil {
			return nil, fmt.Errorf("%q is no address range; write it as in 10.1.0.0/16", r)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// Print renders a configuration as YAML, defaults included. It holds no
// secrets: those are in files that it only names, and the password of a
// database is left out.
func (c *Config) Print() ([]byte, error) {
	shown := *c
	shown.Database.DSN = c.Database.Redacted()
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&shown); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// ValidLevel reports whether a text names a log level.
func ValidLevel(level string) bool {
	switch level {
	case "debug", "info", "warn", "error":
		return true
	}
	return false
}

func validListen(s string) bool {
	_, port, err := net.SplitHostPort(s)
	return err == nil && port != ""
}

func (l *Log) validate(p *problems) {
	p.check(ValidLevel(l.Level), "log.level %q must be debug, info, warn or error", l.Level)
	p.check(l.Format == "json" || l.Format == "text", "log.format %q must be json or text", l.Format)
	p.check(l.Requests == "all" || l.Requests == "refused" || l.Requests == "none", "log.requests %q must be all, refused or none", l.Requests)
}

// problems gathers complaints.
type problems struct{ list []error }

func (p *problems) check(ok bool, format string, args ...any) {
	if !ok {
		p.list = append(p.list, fmt.Errorf(format, args...))
	}
}

func (p *problems) prefixes(key string, ranges []string) {
	if _, err := Prefixes(ranges); err != nil {
		p.check(false, "%s: %v", key, err)
	}
}

// collector checks the address of an OpenTelemetry collector.
func (p *problems) collector(key, endpoint string) {
	if endpoint == "" {
		return
	}
	u, err := url.Parse(endpoint)
	p.check(err == nil && u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())),
		"%s %q must be an https URL, or http on a loopback address", key, endpoint)
}

func (p *problems) err() error { return errors.Join(p.list...) }
