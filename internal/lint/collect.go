package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"cambio/internal/audit"
)

// mostValues is how many different values of a claim are listed.
const mostValues = 20

// Collector adds up what was seen of credentials in use, from records of the
// audit trail.
type Collector struct {
	since time.Time
	first time.Time // of the first record that counts; zero: there was none
	used  map[[2]string]*Usage
}

// NewCollector counts what happened since a time.
func NewCollector(since time.Time) *Collector {
	return &Collector{since: since, used: map[[2]string]*Usage{}}
}

// Record adds a record: JSON as `cambio audit` prints it. All but issued
// tokens are passed over.
func (c *Collector) Record(record []byte) error {
	var r struct {
		At     time.Time `json:"at"`
		Kind   string    `json:"kind"`
		Detail struct {
			Outcome        string `json:"outcome"`
			ClientID       string `json:"clientId"`
			CredentialName string `json:"credentialName"`
			Subject        string `json:"subject"`
			Explanation    struct {
				Claims map[string]string `json:"claims"`
			} `json:"explanation"`
		} `json:"detail"`
	}
	if err := json.Unmarshal(record, &r); err != nil {
		return fmt.Errorf("this is no record of the audit trail: %w", err)
	}
	if r.At.Before(c.since) {
		return nil
	}
	if c.first.IsZero() || r.At.Before(c.first) {
		c.first = r.At
	}
	if r.Kind != audit.KindExchange || r.Detail.Outcome != audit.Allowed {
		return nil
	}
	key := [2]string{r.Detail.ClientID, r.Detail.CredentialName}
	u := c.used[key]
	if u == nil {
		u = &Usage{Client: key[0], Credential: key[1]}
		c.used[key] = u
	}
	u.Count++
	if r.At.After(u.Last) {
		u.Last = r.At
	}
	u.saw(claimSub, r.Detail.Subject)
	for _, name := range slices.Sorted(maps.Keys(r.Detail.Explanation.Claims)) {
		u.saw(name, r.Detail.Explanation.Claims[name])
	}
	return nil
}

// saw notes one value of a claim. A value that was cut or hashed when it was
// recorded is one of those that are not listed.
func (u *Usage) saw(name, value string) {
	c := u.claim(name)
	if c == nil {
		u.Claims = append(u.Claims, ClaimUse{Name: name})
		c = &u.Claims[len(u.Claims)-1]
	}
	c.Count++
	switch {
	case slices.Contains(c.Values, value):
	case len(c.Values) == mostValues, strings.HasSuffix(value, "…"), strings.HasPrefix(value, "sha256:"):
		c.More = true
	default:
		c.Values = append(c.Values, value)
	}
}

// Usage lists what was seen of each credential, those that were not used
// included: in the order of the clients.
func (c *Collector) Usage(clients []Client) []Usage {
	var out []Usage
	for i := range clients {
		for j := range clients[i].Credentials {
			key := [2]string{clients[i].ID, clients[i].Credentials[j].Name}
			u := Usage{Client: key[0], Credential: key[1], Claims: []ClaimUse{}}
			if used := c.used[key]; used != nil {
				u = *used
			}
			u.Since = c.first
			out = append(out, u)
		}
	}
	return out
}
