package directory

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Limits of ceilings.
const (
	MaxCeilingEntries  = 100 // of each list
	MinCeilingLifetime = 60  // seconds
	MaxCeilingLifetime = 24 * 60 * 60
)

// Ceilings bound what a credential can be used for, whatever its client may
// do. The zero value bounds nothing. The JSON form is that of the management
// APIs and of the database.
type Ceilings struct {
	Disabled    bool      `json:"disabled,omitzero"`
	ReportOnly  bool      `json:"reportOnly,omitzero"`  // what it matches is recorded, and refused
	NotBefore   time.Time `json:"notBefore,omitzero"`   // zero: no bound
	NotAfter    time.Time `json:"notAfter,omitzero"`    // zero: no bound
	Roles       []string  `json:"roles,omitempty"`      // values of app roles; empty: all that the client holds
	Resources   []string  `json:"resources,omitempty"`  // appIds in lower case; empty: every resource
	MaxLifetime int       `json:"maxLifetime,omitzero"` // of access tokens, in seconds; 0: the server's
	Sources     []string  `json:"sources,omitempty"`    // networks (CIDR) or addresses; empty: from anywhere

	networks []netip.Prefix // of Sources, once compiled
}

// ReadCeilings reads the JSON form. Unknown members are refused: a bound that
// is misspelt would bound nothing. The error is an *Error of kind Invalid.
func ReadCeilings(raw []byte) (*Ceilings, error) {
	var c Ceilings
	if err := json.Unmarshal(raw, &c, json.RejectUnknownMembers(true)); err != nil {
		return nil, Errorf(Invalid, "ceilings", "ceilings must be an object with disabled and reportOnly (true or false), notBefore and notAfter (times such as 2027-01-31T18:00:00Z), "+
			"roles, resources and sources (arrays of strings) and maxLifetime (seconds), each of them optional, and nothing else.")
	}
	for i := range c.Resources {
		c.Resources[i] = strings.ToLower(c.Resources[i])
	}
	if c.Empty() {
		return nil, nil
	}
	return &c, nil
}

// Empty reports whether nothing is bounded; so it is for nil.
func (c *Ceilings) Empty() bool {
	return c == nil || !c.Disabled && !c.ReportOnly && c.NotBefore.IsZero() && c.NotAfter.IsZero() &&
		len(c.Roles) == 0 && len(c.Resources) == 0 && c.MaxLifetime == 0 && len(c.Sources) == 0
}

// Equal reports whether two say the same; nil is like the zero value.
func (c *Ceilings) Equal(other *Ceilings) bool {
	if c.Empty() || other.Empty() {
		return c.Empty() && other.Empty()
	}
	return c.Disabled == other.Disabled && c.ReportOnly == other.ReportOnly && c.NotBefore.Equal(other.NotBefore) && c.NotAfter.Equal(other.NotAfter) && c.MaxLifetime == other.MaxLifetime &&
		slices.Equal(c.Roles, other.Roles) && slices.Equal(c.Resources, other.Resources) && slices.Equal(c.Sources, other.Sources)
}

// Compile returns a copy that the token path can ask, nil when nothing is
// bounded. The error says which source is no network.
func (c *Ceilings) Compile() (*Ceilings, error) {
	if c.Empty() {
		return nil, nil
	}
	compiled := *c
	compiled.networks = nil
	for _, source := range c.Sources {
		network, err := parseNetwork(source)
		if err != nil {
			return nil, Errorf(Invalid, "ceilings.sources", "ceilings.sources: '%s' is neither a network such as 192.0.2.0/24 nor an address.", source)
		}
		compiled.networks = append(compiled.networks, network)
	}
	return &compiled, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" {
			return netip.Prefix{}, Errorf(Invalid, "ceilings.sources", "no address")
		}
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err == nil && network.Addr().Is4In6() {
		err = Errorf(Invalid, "ceilings.sources", "no network")
	}
	return network.Masked(), err
}

// Open reports whether the time lies in the validity window: NotBefore and
// later, before NotAfter.
func (c *Ceilings) Open(now time.Time) bool {
	return !now.Before(c.NotBefore) && (c.NotAfter.IsZero() || now.Before(c.NotAfter))
}

// AllowsSource reports whether a network address may present the credential.
// What is no address may not, if sources are bounded. It must be compiled.
func (c *Ceilings) AllowsSource(source string) bool {
	if len(c.networks) == 0 {
		return true
	}
	address, err := netip.ParseAddr(source)
	if err != nil {
		return false
	}
	address = address.Unmap().WithZone("")
	return slices.ContainsFunc(c.networks, func(n netip.Prefix) bool { return n.Contains(address) })
}

// AllowsResource reports whether a resource may be asked for.
func (c *Ceilings) AllowsResource(appID string) bool {
	return len(c.Resources) == 0 || slices.Contains(c.Resources, strings.ToLower(appID))
}

// AllowsRole reports whether an app role, by its value, may be handed out.
func (c *Ceilings) AllowsRole(value string) bool {
	return len(c.Roles) == 0 || slices.Contains(c.Roles, value)
}

// Lifetime is the lifetime of an access token that would else have this one.
func (c *Ceilings) Lifetime(d time.Duration) time.Duration {
	if c.MaxLifetime == 0 {
		return d
	}
	return min(d, time.Duration(c.MaxLifetime)*time.Second)
}

// Bytes estimates the memory that compiled ceilings hold.
func (c *Ceilings) Bytes() int {
	n := 224 + 32*len(c.networks)
	for _, list := range [][]string{c.Roles, c.Resources, c.Sources} {
		for _, s := range list {
			n += 16 + len(s)
		}
	}
	return n
}

// checkCeilings applies the rules to ceilings that are about to be stored.
func checkCeilings(c *Ceilings) error {
	if c.Empty() {
		return nil
	}
	for _, list := range []struct {
		name   string
		values []string
		most   int
	}{{"ceilings.roles", c.Roles, MaxAppRoleValue}, {"ceilings.resources", c.Resources, 36}, {"ceilings.sources", c.Sources, 64}} {
		if len(list.values) > MaxCeilingEntries {
			return Errorf(Invalid, list.name, "%s may hold at most %d values; this one holds %d.", list.name, MaxCeilingEntries, len(list.values))
		}
		for _, v := range list.values {
			if err := checkText(list.name, v, 1, list.most); err != nil {
				return err
			}
		}
	}
	for _, id := range c.Resources {
		if !IsGUID(id) {
			return Errorf(Invalid, "ceilings.resources", "ceilings.resources: '%s' is no appId. Name resources by their appId (client id).", id)
		}
	}
	if c.MaxLifetime != 0 && (c.MaxLifetime < MinCeilingLifetime || c.MaxLifetime > MaxCeilingLifetime) {
		return Errorf(Invalid, "ceilings.maxLifetime", "ceilings.maxLifetime must be %d to %d seconds; this one is %d.", MinCeilingLifetime, MaxCeilingLifetime, c.MaxLifetime)
	}
	if !c.NotAfter.IsZero() && !c.NotBefore.Before(c.NotAfter) {
		return Errorf(Invalid, "ceilings.notAfter", "ceilings.notAfter must be later than ceilings.notBefore.")
	}
	_, err := c.Compile()
	return err
}
