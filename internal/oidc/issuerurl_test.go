package oidc

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"cambio/internal/strictjson"
)

var goodIssuers = []string{
	"https://token.actions.githubusercontent.com",
	"https://eastus.oic.prod-aks.azure.com/72f988bf-86f1-41af-91ab-2d7cd011db47/0f1b5e4c/",
	"https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B716D3041E",
	"https://kubernetes.default.svc.cluster.local",
	"https://kubernetes.default.svc",
	"https://gitlab.corp.internal:8443/x",
	"https://keycloak:8443/realms/a%20b",
	"https://accounts.google.com",
	"https://xn--bcher-kva.example",
	"https://Example.COM/Path",
	"https://93.184.216.34",
	"https://[2606:2800:220:1::1]:8443/x",
	"https://1e100.net",
	"https://a_b.example",
	"https://metadata.example.com",
	"https://0x7f.example",
}

var badIssuers = []string{
	"", " ", "x", "/", "https:", "https://", "https:///x", "https:issuer.example", "//issuer.example", "https//issuer.example",
	"http://issuer.example", "ftp://issuer.example", "file:///etc/passwd", "javascript:1", "urn:x", "HTTPS://issuer.example",
	"https://u@issuer.example", "https://u:p@issuer.example", "https://@issuer.example", "https://issuer.example@127.0.0.1",
	"https://issuer.example?", "https://issuer.example/?a=b", "https://issuer.example#", "https://issuer.example/#x",
	" https://issuer.example", "https://issuer.example ", "https://issuer.example/\t", "https://issuer.example\n", "https://issuer.example/\x00",
	"https://issuer.example\\@evil.example", "https://issuer.example/\\x", "https://issuer.example/<x>", "https://issuer.example/%zz",
	"https://issuer.example:", "https://issuer.example:0", "https://issuer.example:65536", "https://issuer.example:x", "https://issuer.example:-1",
	"https://issuer.example:0443", "https://issuer.example:443:443", "https://issuer..example", "https://.issuer.example", "https://issuer.example.",
	"https://issuer.exam ple", "https://issuer.exam%20ple", "https://issuer.exa!mple", "https://issuer,example", "https://" + strings.Repeat("a", 64) + ".example",
	"https://" + strings.Repeat("a.", 127) + "example", "https://issuer.example/" + strings.Repeat("a", 600),

	"https://169.254.169.254", "http://169.254.169.254/latest", "https://[fd00:ec2::254]",
	"https://[::ffff:169.254.169.254]", "https://[::ffff:7f00:2]", "https://[64:ff9b::a9fe:a9fe]", "https://[2002:7f00:1::]", "https://[::127.0.0.2]",
	"https://[::ffff:8.8.8.8]", "https://[fe80::1%25eth0]", "https://[fe80::1%eth0]", "https://[::1", "https://::1", "https://[]", "https://[8.8.8.8]", "https://[::1]x",
	"https://127.0.0.1", "https://2130706434", "https://0x7f000002", "https://0177.0.0.2", "https://127.2", "https://127.0.2", "https://0x7f.0.0.1",
	"https://127.0.0.1.", "https://1.2.3.4.5", "https://0X7F.1", "https://a.0x", "https://issuer.1", "https://08.8.8.8", "https://256.1.1.1",
	"https://10.0.0.1", "https://172.16.0.1", "https://192.168.0.1", "https://100.64.0.1", "https://198.18.0.1", "https://192.0.0.1",
	"https://[fc00::1]", "https://[fe80::1]", "https://0.0.0.0", "https://[::]", "https://[::1]", "https://224.0.0.1", "https://255.255.255.255", "https://[ff02::1]",
	"https://localhost", "https://LOCALHOST:8443", "https://a.localhost", "https://localhost.",
	"https://metadata.google.internal", "https://metadata", "https://METADATA.Google.Internal", "https://instance-data.ec2.internal", "https://instance-data",
	"https://metadata.goog", "https://metadata.azure.internal", "https://metadata.internal",
	"https://\u2460\u2461\u2466.0.0.1", "https://127\u30020\u30020\u30022", "https://\uff11\uff12\uff17.0.0.2", "https://loc\u212alhost", "https://b\u00fccher.example",
	"https://loc%E2%84%AAlhost", "https://%31%32%37.0.0.1", "https://127%2e0.0.1", "https://issuer.example/\u00e4", "https://issuer.example/\xff",
}

func TestCheckIssuerURL(t *testing.T) {
	for _, issuer := range goodIssuers {
		if err := CheckIssuerURL(issuer, IssuerPolicy{}); err != nil {
			t.Errorf("%q: %v", issuer, err)
		}
	}
	for _, issuer := range badIssuers {
		err := CheckIssuerURL(issuer, IssuerPolicy{})
		if err == nil {
			t.Errorf("%q accepted", issuer)
			continue
		}
		for _, leak := range leaks[:12] {
			if strings.Contains(err.Error(), leak) {
				t.Errorf("%q: %v", issuer, err)
			}
		}
	}
}

func TestCheckIssuerWithPermissions(t *testing.T) {
	k, err := New(Config{
		AllowedPrefixes:  prefixes("10.0.0.0/8", "::1/128"),
		AllowedAddrPorts: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9443")},
		Issuers:          []IssuerPolicy{{Issuer: "http://192.168.1.1/x", AllowHTTP: true, AllowPrefixes: prefixes("192.168.1.0/24")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for issuer, ok := range map[string]bool{
		"https://10.1.1.1": true, "https://[::1]:5": true, "https://localhost": true, // by ::1
		"https://127.0.0.1:9443/x": true, "https://127.0.0.1:9444": false, "https://127.0.0.2:9443": false, "https://127.1:9443": false,
		"http://192.168.1.1/x": true, "http://192.168.1.1/y": false, "https://192.168.1.1": false, "http://10.1.1.1": false,
		"https://[::ffff:10.1.1.1]": false,
	} {
		if err := k.CheckIssuer(issuer); (err == nil) != ok {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, c := range map[string]Config{
		"negative":      {MaxKeys: -1},
		"negative TTL":  {Cache: CacheSettings{SoftTTL: -1}},
		"large":         {HTTP: HTTPSettings{MaxBodyBytes: 2 << 20}},
		"PEM":           {ExtraRootsPEM: []byte("x")},
		"prefix":        {AllowedPrefixes: []netip.Prefix{{}}},
		"issuer":        {Issuers: []IssuerPolicy{{Issuer: "http://issuer.example"}}},
		"issuer PEM":    {Issuers: []IssuerPolicy{{Issuer: "https://issuer.example", RootsPEM: []byte("x")}}},
		"issuer keys":   {Issuers: []IssuerPolicy{{Issuer: "https://issuer.example", MaxKeys: -1}}},
		"issuer, twice": {Issuers: []IssuerPolicy{{Issuer: "https://issuer.example"}, {Issuer: "https://issuer.example"}}},
	} {
		if k, err := New(c); err == nil {
			k.Close()
			t.Errorf("%s accepted", name)
		}
	}
}

func FuzzCheckIssuerURL(f *testing.F) {
	for _, issuer := range append(goodIssuers, badIssuers...) {
		f.Add(issuer)
	}
	f.Fuzz(func(t *testing.T, issuer string) {
		if CheckIssuerURL(issuer, IssuerPolicy{}) != nil {
			return
		}
		// Whatever is accepted has one reading, and not a private one.
		u, err := url.Parse(issuer)
		if err != nil || u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Hostname() == "" {
			t.Fatalf("%q accepted as %+v, %v", issuer, u, err)
		}
		if !strings.HasPrefix(issuer, "https://"+u.Host) {
			t.Fatalf("%q: the host is %q", issuer, u.Host)
		}
		ip, err := netip.ParseAddr(u.Hostname())
		if err == nil && !(Addresses{}).permit(netip.AddrPortFrom(ip, 443)) {
			t.Fatalf("%q accepted", issuer)
		}
		if err != nil && strings.Trim(u.Hostname(), "0123456789.xX") == "" && !strings.ContainsAny(u.Hostname(), "xX") {
			t.Fatalf("number %q accepted", issuer)
		}
		for i := range len(issuer) {
			if issuer[i] <= ' ' || issuer[i] >= 0x7f {
				t.Fatalf("%q accepted", issuer)
			}
		}
	})
}

func FuzzDiscovery(f *testing.F) {
	const issuer = "https://issuer.example/x"
	for _, document := range []string{
		`{"issuer":"https://issuer.example/x","jwks_uri":"https://issuer.example/x/keys"}`,
		`{"issuer":"https://issuer.example/x","jwks_uri":"https://keys.example/?p=a","response_types_supported":["id_token"]}`,
		`{"issuer":"https://issuer.example/x","jwks_uri":"https://127.0.0.1/"}`,
		`{"issuer":"https://issuer.example/x","issuer":"y","jwks_uri":"https://a.example"}`,
		`{"issuer":"https:\/\/issuer.example\/x","jwks_uri":"http://a.example"}`,
		`{"issuer":["https://issuer.example/x"],"jwks_uri":1}`, `{}`, `[]`, ``, `{"issuer":"\ud800"}`,
	} {
		f.Add([]byte(document))
	}
	r := &rules{}
	f.Fuzz(func(t *testing.T, document []byte) {
		uri, fail := parseDiscovery(document, issuer, r)
		if (uri == "") == (fail == nil) {
			t.Fatalf("%q, %v", uri, fail)
		}
		if fail != nil {
			return
		}
		if !strings.HasPrefix(uri, "https://") {
			t.Fatalf("jwks_uri %q", uri)
		}
		object, err := strictjson.ParseObject(document, strictjson.Document)
		if err != nil {
			t.Fatal(err)
		}
		if name, _, _ := object.String("issuer"); name != issuer {
			t.Fatalf("issuer %q", name)
		}
	})
}
