package server

import (
	"net/http"
	"net/url"
	"strings"
)

// router finds the route of a path by its segments. It works on the escaped
// path, so that an encoded slash never becomes a segment's end, and follows
// one branch only: a literal segment wins over literal({name}), that over
// {name}.
type router struct{ root node }

type node struct {
	literal map[string]*node // exact segments
	folded  map[string]*node // lower-case segments of patterns without regard to case
	keyed   map[string]*node // "applications(" for applications({application})
	keyName map[string]string
	any     *node // {name}
	anyName string
	methods map[string]*route
}

// match is what the router found.
type match struct {
	route   *route            // nil: no route for this method
	allowed []string          // methods of the path, when route is nil
	params  map[string]string // decoded variables
	found   bool              // the path exists
}

func newRouter(routes []route) *router {
	r := &router{}
	for i := range routes {
		r.add(&routes[i])
	}
	return r
}

func (r *router) add(rt *route) {
	n := &r.root
	for segment := range strings.SplitSeq(strings.TrimPrefix(rt.pattern, "/"), "/") {
		if segment != "" { // the origin itself
			n = n.child(segment, rt.foldCase)
		}
	}
	if n.methods == nil {
		n.methods = map[string]*route{}
	}
	if n.methods[rt.method] != nil {
		panic("server: two routes for " + rt.method + " " + rt.pattern)
	}
	n.methods[rt.method] = rt
}

func (n *node) child(segment string, fold bool) *node {
	if name, ok := variable(segment); ok {
		if n.any == nil {
			n.any, n.anyName = &node{}, name
		}
		if n.anyName != name {
			panic("server: one path segment has two names: " + n.anyName + ", " + name)
		}
		return n.any
	}
	if head, name, ok := keyedSegment(segment); ok {
		if n.keyed == nil {
			n.keyed, n.keyName = map[string]*node{}, map[string]string{}
		}
		n.keyName[head] = name
		return branch(n.keyed, head)
	}
	if fold {
		if n.folded == nil {
			n.folded = map[string]*node{}
		}
		return branch(n.folded, strings.ToLower(segment))
	}
	if n.literal == nil {
		n.literal = map[string]*node{}
	}
	return branch(n.literal, segment)
}

func branch(m map[string]*node, key string) *node {
	if m[key] == nil {
		m[key] = &node{}
	}
	return m[key]
}

// variable reads {name}.
func variable(segment string) (string, bool) {
	if strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}") {
		return segment[1 : len(segment)-1], true
	}
	return "", false
}

// keyedSegment reads literal({name}), as in OData keys.
func keyedSegment(segment string) (head, name string, ok bool) {
	head, rest, found := strings.Cut(segment, "({")
	if !found || !strings.HasSuffix(rest, "})") {
		return "", "", false
	}
	return head + "(", strings.TrimSuffix(rest, "})"), true
}

// find looks a request up. One trailing slash is tolerated, and so is one
// doubled at the start: clients send both.
func (r *router) find(req *http.Request) match {
	path := strings.TrimPrefix(strings.TrimPrefix(req.URL.EscapedPath(), "/"), "/")
	path = strings.TrimSuffix(path, "/")
	n := &r.root
	m := match{}
	for more := path != ""; more && n != nil; {
		var segment string
		segment, path, more = strings.Cut(path, "/")
		n = n.step(segment, &m)
	}
	if n == nil || n.methods == nil {
		return match{}
	}
	m.found = true
	method := req.Method
	if m.route = n.methods[method]; m.route == nil && method == http.MethodHead {
		m.route = n.methods[http.MethodGet]
	}
	if m.route == nil {
		for name := range n.methods {
			m.allowed = append(m.allowed, name)
		}
	}
	return m
}

// step follows one escaped segment.
func (n *node) step(escaped string, m *match) *node {
	segment, err := url.PathUnescape(escaped)
	if err != nil || segment == "" || segment == "." || segment == ".." || strings.ContainsAny(segment, "\x00\r\n") {
		return nil
	}
	if next := n.literal[segment]; next != nil {
		return next
	}
	if n.folded != nil {
		if next := n.folded[strings.ToLower(segment)]; next != nil {
			return next
		}
	}
	if i := strings.IndexByte(segment, '('); i > 0 && strings.HasSuffix(segment, ")") {
		if next := n.keyed[segment[:i+1]]; next != nil {
			m.set(n.keyName[segment[:i+1]], segment[i+1:len(segment)-1])
			return next
		}
	}
	if n.any != nil {
		m.set(n.anyName, segment)
	}
	return n.any
}

func (m *match) set(name, value string) {
	if m.params == nil {
		m.params = make(map[string]string, 4)
	}
	m.params[name] = value
}
