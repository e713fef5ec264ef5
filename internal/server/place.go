package server

import (
	"fmt"
	"net/url"
	"strings"
)

// place is an origin, and a path below which things are its.
type place struct{ host, port, path string }

func placeOf(base string) (place, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return place{}, fmt.Errorf("server: %q is no https origin", base)
	}
	return place{u.Hostname(), effectivePort(u), u.Path}, nil
}

// holds reports whether a URL is at the place, in any spelling of case and of
// the default port. What cannot be parsed is at none.
func (p place) holds(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil || !strings.EqualFold(u.Scheme, "https") || !strings.EqualFold(u.Hostname(), p.host) || effectivePort(u) != p.port {
		return false
	}
	rest, below := strings.CutPrefix(u.Path, p.path)
	return below && (rest == "" || rest[0] == '/')
}

func effectivePort(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return "443"
}

// mountedIssuers are the places of the issuers among the mounts.
func mountedIssuers(opt Options) ([]place, error) {
	var places []place
	for _, m := range opt.Mounts {
		path, _, ok := strings.Cut(m.Pattern, "/.well-known/")
		if !ok {
			continue
		}
		p, err := placeOf(opt.BaseURL + path)
		if err != nil {
			return nil, err
		}
		places = append(places, p)
	}
	return places, nil
}
