package directory

import (
	"strings"
	"testing"
	"time"
)

func readCeilings(t *testing.T, raw string) *Ceilings {
	t.Helper()
	read, err := ReadCeilings([]byte(raw))
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	if err := checkCeilings(read); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	compiled, err := read.Compile()
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return compiled
}

func TestCeilingsThatBoundNothingAreNone(t *testing.T) {
	for _, raw := range []string{`{}`, `{"disabled":false,"roles":[],"maxLifetime":0}`} {
		if c := readCeilings(t, raw); c != nil {
			t.Errorf("%s: %+v", raw, c)
		}
	}
}

func TestCeilingsAreRefused(t *testing.T) {
	for raw, want := range map[string]string{
		`{"maxLifeTime":600}`:                  "nothing else",
		`{"disabled":1}`:                       "reportOnly (true or false)",
		`[]`:                                   "must be an object",
		`{"maxLifetime":59}`:                   "60 to 86400",
		`{"maxLifetime":86401}`:                "60 to 86400",
		`{"resources":["api://orders"]}`:       "appId",
		`{"sources":["192.0.2.0/33"]}`:         "192.0.2.0/33",
		`{"sources":["::ffff:192.0.2.0/120"]}`: "neither a network",
		`{"sources":["fe80::1%eth0"]}`:         "neither a network",
		`{"roles":[""]}`:                       "ceilings.roles",
		`{"notBefore":"2027-02-01T00:00:00Z","notAfter":"2027-02-01T00:00:00Z"}`: "later than",
		`{"roles":[` + strings.Repeat(`"a",`, MaxCeilingEntries) + `"a"]}`:       "at most 100",
	} {
		c, err := ReadCeilings([]byte(raw))
		if err == nil {
			err = checkCeilings(c)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", raw, err, want)
		}
	}
}

func TestSourcesOfCeilings(t *testing.T) {
	c := readCeilings(t, `{"sources":["192.0.2.77/24","2001:db8::/32","198.51.100.7"]}`)
	for source, want := range map[string]bool{
		"192.0.2.1": true, "::ffff:192.0.2.1": true, "192.0.3.1": false, "2001:db8::1": true, "2001:db9::1": false,
		"198.51.100.7": true, "198.51.100.8": false, "": false, "unix": false,
	} {
		if got := c.AllowsSource(source); got != want {
			t.Errorf("%q: %v", source, got)
		}
	}
	if c := readCeilings(t, `{"disabled":true}`); !c.AllowsSource("") || !c.AllowsRole("x") || !c.AllowsResource("x") {
		t.Error("what is not bounded is refused")
	}
}

func TestWindowAndLifetimeOfCeilings(t *testing.T) {
	c := readCeilings(t, `{"notBefore":"2027-01-01T00:00:00Z","notAfter":"2027-02-01T00:00:00Z","maxLifetime":600}`)
	for at, want := range map[time.Time]bool{
		c.NotBefore.Add(-time.Nanosecond): false, c.NotBefore: true, c.NotAfter.Add(-time.Nanosecond): true, c.NotAfter: false,
	} {
		if got := c.Open(at); got != want {
			t.Errorf("%s: %v", at, got)
		}
	}
	if got := c.Lifetime(time.Hour); got != 10*time.Minute {
		t.Errorf("an hour becomes %s", got)
	}
	if got := c.Lifetime(5 * time.Minute); got != 5*time.Minute {
		t.Errorf("five minutes become %s", got)
	}
}

func TestEqualCeilings(t *testing.T) {
	a := readCeilings(t, `{"roles":["x"],"resources":["90D4C8F6-2B1E-4A3D-B7C5-1E9F8A6D4C02"]}`)
	b := readCeilings(t, `{"resources":["90d4c8f6-2b1e-4a3d-b7c5-1e9f8a6d4c02"],"roles":["x"]}`)
	if !a.Equal(b) || a.Equal(nil) || !(*Ceilings)(nil).Equal(&Ceilings{}) || a.Equal(&Ceilings{Disabled: true}) {
		t.Error("equality is wrong")
	}
}
