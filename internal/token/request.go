package token

import (
	"bytes"
	"crypto/x509"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"cambio/internal/directory"
	"cambio/internal/oauth"
)

const (
	maxBody       = 64 << 10 // bytes; an assertion is at most 16 KiB of it
	maxParameters = 64
	maxIdentifier = 2048 // bytes of a resource identifier, as of a scope
)

// request is the form of a token request. Only the body is read: what stands
// in the query string is never a credential (RFC 6749 §2.3.1).
type request struct {
	grantType, clientID, secret    string
	assertion, assertionType       string
	scope, resource, correlationID string
	basic                          bool // an Authorization: Basic header came along

	svids        bool                // the server takes SVIDs
	certificates []*x509.Certificate // of the client, from TLS; nil: they do not count
}

// field returns where a known parameter goes, or nil.
func (q *request) field(name string) *string {
	switch name {
	case oauth.ParamGrantType:
		return &q.grantType
	case oauth.ParamClientID:
		return &q.clientID
	case oauth.ParamClientSecret:
		return &q.secret
	case oauth.ParamClientAssertion:
		return &q.assertion
	case oauth.ParamClientAssertionType:
		return &q.assertionType
	case oauth.ParamScope:
		return &q.scope
	case oauth.ParamResource:
		return &q.resource
	case oauth.ParamClientRequestID:
		return &q.correlationID
	}
	return nil
}

// parseRequest reads the form: bounded, strictly encoded, no parameter twice
// (RFC 6749 §3.2). Unknown parameters are ignored, as clients send telemetry.
func parseRequest(w http.ResponseWriter, r *http.Request, x *exchange) (request, *oauth.Error) {
	var q request
	if what := unusableBody(r.Header); what != "" {
		return q, oauth.Refuse(oauth.MalformedRequest, what)
	}
	body, err := readBody(w, r)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return q, oauth.Refuse(oauth.MalformedRequest, "the body is larger than 64 KiB")
		}
		return q, oauth.Refuse(oauth.MalformedRequest, "the body could not be read")
	}
	if refusal := q.parseForm(string(body)); refusal != nil {
		return q, refusal
	}
	if id := canonicalGUID(q.correlationID); id != "" && !x.correlated(r) {
		x.correlationID = id
	}
	_, _, q.basic = r.BasicAuth()
	return q, nil
}

// readBody reads at most maxBody bytes, into as much room as the client
// announces, so that the usual 2 to 3 KiB are not copied from buffer to
// buffer; but an announcement alone gets no more than 8 KiB.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	const maxAnnounced = 8 << 10
	room := min(max(r.ContentLength, 0), maxAnnounced) + bytes.MinRead // what ReadFrom wants free at the end
	body := bytes.NewBuffer(make([]byte, 0, room))
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody))
	return body.Bytes(), err
}

func unusableBody(h http.Header) string {
	const form = "application/x-www-form-urlencoded"
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return "the body is encoded; send it plain"
	}
	if len(h["Content-Type"]) > 1 {
		return "the Content-Type is repeated"
	}
	ctype := h.Get("Content-Type")
	if ctype == form {
		return ""
	}
	media, params, err := mime.ParseMediaType(ctype)
	if err != nil || media != form {
		return "the body must be " + form
	}
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") {
		return "the charset of the body must be utf-8"
	}
	return ""
}

func (q *request) parseForm(body string) *oauth.Error {
	var seen [maxParameters]string
	n := 0
	for body != "" {
		var pair string
		pair, body, _ = strings.Cut(body, "&")
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(rawName)
		value, err2 := url.QueryUnescape(rawValue)
		if err1 != nil || err2 != nil || strings.Contains(pair, ";") {
			return oauth.Refuse(oauth.MalformedRequest, "the form is not properly encoded")
		}
		for _, s := range seen[:n] {
			if s == name {
				return oauth.Refuse(oauth.MalformedRequest, "the parameter '"+name+"' is repeated")
			}
		}
		if n == maxParameters {
			return oauth.Refuse(oauth.MalformedRequest, "there are too many parameters")
		}
		seen[n] = name
		n++
		if f := q.field(name); f != nil {
			// A broken scope is a broken scope, not a broken form.
			if !utf8.ValidString(value) && name != oauth.ParamScope {
				return oauth.Refuse(oauth.MalformedRequest, "the parameter '"+name+"' is not UTF-8")
			}
			// A copy: what is kept of a request, in a cache or a limiter, must
			// not keep its whole body alive.
			*f = strings.Clone(value)
		}
	}
	return nil
}

// check applies the rules of the client-credentials grant and of exactly one
// client authentication.
func (q *request) check(door Door, level directory.Compat) *oauth.Error {
	switch {
	case q.grantType == "":
		return oauth.Refuse(oauth.MissingParameter, oauth.ParamGrantType)
	case q.grantType != oauth.GrantClientCredentials:
		return oauth.Refuse(oauth.UnsupportedGrant, q.grantType)
	case q.basic && (q.assertion != "" || q.secret != ""), q.secret != "" && q.assertion != "":
		return oauth.Refuse(oauth.MalformedRequest, "it carries more than one client authentication")
	case q.clientID == "" && (q.certificates != nil || !q.bySVID(level)):
		return oauth.Refuse(oauth.MissingParameter, oauth.ParamClientID)
	case q.secret != "" || q.basic:
		return oauth.Refuse(oauth.SecretNotAccepted)
	case q.bySVID(level):
	case q.assertion == "":
		return oauth.Refuse(oauth.NoClientCredential)
	case q.assertionType == "":
		return oauth.Refuse(oauth.MissingParameter, oauth.ParamClientAssertionType)
	case q.assertionType != oauth.AssertionTypeJWT:
		return oauth.Refuse(oauth.MalformedAssertion, "client_assertion_type is not "+oauth.AssertionTypeJWT)
	}
	return q.checkTarget(door, level)
}

// checkTarget turns scope into resource; on success q.resource is the
// identifier of the one resource that is asked for. A relaxed tenant takes
// resource at the v2.0 door too when there is no scope beside it: plain OAuth
// clients send one form to both (RFC 8707).
func (q *request) checkTarget(door Door, level directory.Compat) *oauth.Error {
	switch {
	case q.resource != "" && !door.Resource && (q.scope != "" || level == directory.Strict):
		return oauth.Refuse(oauth.ResourceOnV2)
	case len(q.resource) > maxIdentifier || !utf8.ValidString(q.resource):
		return oauth.Refuse(oauth.ResourceNotFound, oauth.Hidden, oauth.Hidden)
	case q.resource != "" && q.scope == "":
		return nil
	case q.scope == "" && door.Strings:
		return oauth.Refuse(oauth.MissingParameter, oauth.ParamResource)
	case q.scope == "":
		return oauth.Refuse(oauth.MissingParameter, oauth.ParamScope)
	}
	identifier, refusal := defaultScope(q.scope)
	if refusal != nil {
		return refusal
	}
	if q.resource != "" && q.resource != identifier {
		return oauth.Refuse(oauth.SeveralResources)
	}
	q.resource = identifier
	return nil
}

// defaultScope finds the one "<resource>/.default" of a scope list. Clients
// append the OIDC scopes even to client credentials; they are dropped.
// Nothing but the suffix is trimmed: a slash before it belongs to the
// identifier.
func defaultScope(scope string) (string, *oauth.Error) {
	const suffix = "/.default"
	if len(scope) > maxIdentifier || !utf8.ValidString(scope) || strings.ContainsFunc(scope, isControl) {
		return "", oauth.Refuse(oauth.ScopeInvalid)
	}
	var targets, others []string
	for s := range strings.SplitSeq(scope, " ") {
		switch {
		case s == "" || s == "openid" || s == "profile" || s == "offline_access" || s == "email":
		case strings.HasSuffix(s, suffix) && len(s) > len(suffix):
			targets = append(targets, strings.TrimSuffix(s, suffix))
		default:
			others = append(others, s)
		}
	}
	switch {
	case len(targets) > 1:
		return "", oauth.Refuse(oauth.SeveralResources)
	case len(targets) == 1 && len(others) == 0:
		return targets[0], nil
	case len(targets) == 0 && len(others) == 1:
		return "", oauth.Refuse(oauth.ScopeNotDefault, others[0])
	}
	return "", oauth.Refuse(oauth.ScopeInvalid)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
