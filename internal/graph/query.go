package graph

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"cambio/internal/management"
	"cambio/internal/store"
)

// Page sizes of lists. Graph's default is 100 and its maximum 999.
const (
	defaultTop = 100
	maxTop     = 999
)

// query is what a GET asked for in its query options.
type query struct {
	values   url.Values
	filter   filter // Op is empty when there is no $filter
	selected []string
	top      int
	after    string // where the page begins; empty: at the start
	count    bool
}

// parseQuery reads the query options of a list. Options that OData defines
// and this API does not have are refused, since ignoring them would return
// something other than what was asked; parameters without '$' are ignored.
func (a *API) parseQuery(r *http.Request, c *management.Call, supported forms) (query, error) {
	values, err := queryValues(r)
	if err != nil {
		return query{}, err
	}
	q := query{values: values, top: defaultTop}
	for name := range values {
		if err := q.option(name, values.Get(name), supported); err != nil {
			return query{}, err
		}
	}
	if token := values.Get("$skiptoken"); values.Has("$skiptoken") {
		after, ok := a.pages.Open(token, pageScope(r, c, values))
		if !ok {
			return query{}, badRequest("The $skiptoken is not one that this list gave out. Use @odata.nextLink unchanged, or start without it.")
		}
		q.after = after
	}
	return q, nil
}

// queryValues parses the query string strictly: no malformed pair, no option
// twice.
func queryValues(r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("The query string is malformed.")
	}
	for name, v := range values {
		if strings.HasPrefix(name, "$") && len(v) > 1 {
			return nil, badRequest("The query option '" + shorten(name) + "' is given more than once.")
		}
	}
	return values, nil
}

func (q *query) option(name, value string, supported forms) (err error) {
	switch name {
	case "$filter":
		q.filter, err = parseFilter(value, supported)
	case "$select":
		q.selected, err = parseSelect(value)
	case "$top":
		q.top, err = parseTop(value)
	case "$count":
		q.count, err = strconv.ParseBool(value)
		if err != nil {
			err = badRequest("$count must be true or false.")
		}
	case "$skiptoken":
	default:
		if strings.HasPrefix(name, "$") {
			err = &Problem{http.StatusBadRequest, CodeUnsupportedQuery,
				"The query option '" + shorten(name) + "' is not supported. Supported here: $filter, $select, $top, $count, $skiptoken."}
		}
	}
	return err
}

func parseTop(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > maxTop || strings.HasPrefix(value, "+") {
		return 0, badRequest("Invalid page size specified: '" + shorten(value) + "'. $top must be between 1 and 999 inclusive.")
	}
	return n, nil
}

func parseSelect(value string) ([]string, error) {
	const most = 100
	names := strings.Split(value, ",")
	if len(names) > most {
		return nil, badRequest("$select may name at most 100 properties.")
	}
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
		s := scanner{rest: names[i]}
		if s.name(); !s.done() {
			return nil, badRequest("$select must be a list of property names separated by commas.")
		}
	}
	return names, nil
}

// list is the page to read from the store.
func (q *query) list() store.ListQuery {
	op := q.filter.Op
	if op == opAny { // one element equals the value
		op = opEqual
	}
	return store.ListQuery{Field: q.filter.Property, Op: op, Value: q.filter.Value, Top: q.top, After: q.after}
}

// pageOf is one page of a list: next is the position after it when there is
// more, total the number of objects that match when it was asked for.
type pageOf[T any] struct {
	items []T
	next  string
	total int
}

// single is the page of a look-up by a unique key.
func single[T any](item T, err error) (pageOf[T], error) {
	if store.IsNotFound(err) {
		return pageOf[T]{}, nil
	}
	return pageOf[T]{items: []T{item}, total: 1}, err
}

// readPage reads a page with list. id is the key that pages are ordered by.
func readPage[T any](opts query, list func(store.ListQuery) ([]T, bool, error), id func(*T) string) (page pageOf[T], err error) {
	l := opts.list()
	if opts.count {
		l.Total = &page.total
	}
	items, more, err := list(l)
	if err != nil {
		return page, err
	}
	page.items = items
	if more {
		page.next = id(&items[len(items)-1])
	}
	return page, nil
}

// selection is the $select of a GET of one object. Other options have no
// meaning there and are ignored, but for $expand, which would add content.
func selection(r *http.Request) ([]string, error) {
	values, err := queryValues(r)
	if err != nil {
		return nil, err
	}
	if values.Has("$expand") {
		return nil, &Problem{http.StatusBadRequest, CodeUnsupportedQuery, "The query option '$expand' is not supported."}
	}
	if !values.Has("$select") {
		return nil, nil
	}
	return parseSelect(values.Get("$select"))
}

// pageScope is what a page token is good for: this tenant, this list, this
// filter. A token of another scope is refused.
func pageScope(r *http.Request, c *management.Call, values url.Values) string {
	return c.Tenant.ID + "\x00" + r.URL.Path + "\x00" + values.Get("$filter")
}

// nextLink is the URL of the page that begins after the given position.
func (a *API) nextLink(r *http.Request, c *management.Call, q query, after string) string {
	values := url.Values{}
	for name, v := range q.values {
		values[name] = v
	}
	values.Set("$skiptoken", a.pages.Seal(after, pageScope(r, c, q.values)))
	return a.baseURL + r.URL.EscapedPath() + "?" + values.Encode()
}
