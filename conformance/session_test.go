package conformance

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"
)

// session is the state of one script. Its fields belong to the script's
// goroutine.
type session struct {
	target  *target
	http    *http.Client // the target's, or one that speaks only the protocol that the script wants
	issuers map[string]*issuer
	header  []string // what `http` sends with every request, set by `headers`
	last    *response
	sent    string // the last client_assertion that `token` sent
	bearer  string // what management calls are made with; empty: the admin token
}

// response is an answer of the server under test.
type response struct {
	status int
	proto  string // as in HTTP/2.0
	header http.Header
	body   []byte
}

type sessionKey struct{}

// command is a custom command of the scripts.
type command = func(ts *testscript.TestScript, neg bool, args []string)

// commands are the scripts' vocabulary; README.md describes each.
func commands() map[string]command {
	on := func(f func(*session, *testscript.TestScript, bool, []string)) command {
		return func(ts *testscript.TestScript, neg bool, args []string) {
			f(ts.Value(sessionKey{}).(*session), ts, neg, args)
		}
	}
	return map[string]command{
		"app": on((*session).cmdApp), "resource": on((*session).cmdResource), "assign": on((*session).cmdAssign),
		"credential": on((*session).cmdCredential), "deletecredential": on((*session).cmdDeleteCredential),
		"graph": on((*session).cmdGraph), "as": on((*session).cmdAs), "compat": on((*session).cmdCompat),
		"mint": on((*session).cmdMint), "sign": on((*session).cmdSign), "tamper": on((*session).cmdTamper),
		"issuer": on((*session).cmdIssuer), "behave": on((*session).cmdBehave), "publish": on((*session).cmdPublish),
		"withdraw": on((*session).cmdWithdraw), "fetches": on((*session).cmdFetches),
		"headers": on((*session).cmdHeaders), "http": on((*session).cmdHTTP), "protocol": on((*session).cmdProtocol), "answeredby": on((*session).cmdAnsweredBy), "send": on((*session).cmdSend), "flood": on((*session).cmdFlood),
		"token": on((*session).cmdToken), "token1": on((*session).cmdToken1), "tokenat": on((*session).cmdTokenAt),
		"answer": on((*session).cmdAnswer), "refused": on((*session).cmdRefused), "issued": on((*session).cmdIssued),
		"status": on((*session).cmdStatus), "header": on((*session).cmdHeader), "noheader": on((*session).cmdNoHeader),
		"json": on((*session).cmdJSON), "jsonmatch": on((*session).cmdJSONMatch), "nojson": on((*session).cmdNoJSON),
		"body": on((*session).cmdBody), "nobody": on((*session).cmdNoBody), "get": on((*session).cmdGet), "upper": cmdUpper,
		"claims": on((*session).cmdClaims), "noclaims": on((*session).cmdNoClaims), "accesstoken": on((*session).cmdAccessToken),
		"lifetime": on((*session).cmdLifetime), "verify": on((*session).cmdVerify),
	}
}

func noNeg(ts *testscript.TestScript, neg bool) {
	if neg {
		ts.Fatalf("this command cannot be negated")
	}
}

func usage(ts *testscript.TestScript, args []string, n int, text string) {
	if len(args) != n {
		ts.Fatalf("usage: %s", text)
	}
}

// expand fills in $NAME and ${NAME}; an unset variable is an error, because it
// is a misspelling. A dollar sign is written as $$.
func expand(ts *testscript.TestScript, text string) string {
	return os.Expand(text, func(name string) string {
		if name == "$" {
			return "$"
		}
		v := ts.Getenv(name)
		if v == "" {
			ts.Fatalf("$%s is not set", name)
		}
		return v
	})
}

// do sends a request and keeps the answer.
func (s *session) do(ts *testscript.TestScript, req *http.Request) *response {
	resp, err := s.http.Do(req)
	if err != nil {
		ts.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	ts.Check(err)
	s.last = &response{resp.StatusCode, resp.Proto, resp.Header, body}
	ts.Logf("[%s %s → %d] %.1500s", req.Method, req.URL.RequestURI(), resp.StatusCode, body)
	return s.last
}

// request builds a request for a path of the server, or for an absolute URL.
func (s *session) request(ts *testscript.TestScript, method, path string, header []string, body string) *http.Request {
	target := path
	if strings.HasPrefix(path, "/") {
		target = s.target.BaseURL + path
	}
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	ts.Check(err)
	if body == "" {
		req.Body, req.GetBody = http.NoBody, nil
	}
	for _, line := range header {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			ts.Fatalf("%q is no header", line)
		}
		value = strings.TrimSpace(value)
		if strings.EqualFold(name, "Host") {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	return req
}

// cmdHeaders keeps the lines of a file as headers of every later `http`, so
// that a script can repeat what one client sends: headers FILE.
func (s *session) cmdHeaders(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 1, "headers FILE")
	s.header = strings.Split(literal(ts, args[0]), "\n")
}

// cmdHTTP sends a request: http METHOD PATH ['Header: value' …] [@FILE]. With
// the header Content-Encoding: gzip the file is compressed first.
func (s *session) cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) < 2 {
		ts.Fatalf("usage: http METHOD PATH ['Header: value' …] [@FILE]")
	}
	header := slices.Clone(s.header)
	var body string
	for _, arg := range args[2:] {
		if file, ok := strings.CutPrefix(arg, "@"); ok {
			body = literal(ts, file)
		} else {
			header = append(header, arg)
		}
	}
	if slices.Contains(header, "Content-Encoding: gzip") {
		body = compressed(ts, body)
	}
	s.do(ts, s.request(ts, args[0], args[1], header, body))
}

// cmdSend sends a request written as on the wire: send FILE. The first line is
// METHOD PATH; header lines follow, then an empty line and the body. Lines of
// a form's body are joined, and variables in it are percent-encoded.
func (s *session) cmdSend(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 1, "send FILE")
	head, body, _ := strings.Cut(ts.ReadFile(args[0]), "\n\n")
	lines := strings.Split(strings.TrimRight(expand(ts, head), "\n"), "\n")
	method, path, ok := strings.Cut(lines[0], " ")
	if !ok {
		ts.Fatalf("%s: the first line is not METHOD PATH", args[0])
	}
	if strings.Contains(head, "x-www-form-urlencoded") {
		body = strings.ReplaceAll(body, "\n", "")
		body = os.Expand(body, func(name string) string { return url.QueryEscape(ts.Getenv(name)) })
	} else {
		body = expand(ts, body)
	}
	s.do(ts, s.request(ts, method, path, lines[1:], body))
}

const (
	formType      = "application/x-www-form-urlencoded; charset=utf-8"
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// cmdToken asks the v2.0 endpoint: token [key=value | -key | +key=value |
// 'Header: value'] …. It starts from the form of a good request.
func (s *session) cmdToken(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	s.askToken(ts, "/"+ts.Getenv("TENANT")+"/oauth2/v2.0/token", "scope", ts.Getenv("SCOPE"), args)
}

// cmdToken1 asks the v1 endpoint, with resource instead of scope.
func (s *session) cmdToken1(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	s.askToken(ts, "/"+ts.Getenv("TENANT")+"/oauth2/token", "resource", ts.Getenv("RESOURCE_URI"), args)
}

// cmdTokenAt asks at another path: tokenat PATH …, otherwise as token.
func (s *session) cmdTokenAt(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) == 0 {
		ts.Fatalf("usage: tokenat PATH [key=value …]")
	}
	s.askToken(ts, args[0], "scope", ts.Getenv("SCOPE"), args[1:])
}

var headerArgument = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*: `)

func (s *session) askToken(ts *testscript.TestScript, path, target, value string, args []string) {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {ts.Getenv("client")}, target: {value},
		"client_assertion_type": {assertionType}, "client_assertion": {ts.Getenv("assertion")},
	}
	contentType := []string{"Content-Type: " + formType}
	var header []string
	for _, arg := range args {
		switch key, v, ok := strings.Cut(arg, "="); {
		case strings.HasPrefix(arg, "Content-Type: "):
			contentType[0] = arg
		case headerArgument.MatchString(arg):
			header = append(header, arg)
		case arg[0] == '-':
			form.Del(arg[1:])
		case !ok:
			ts.Fatalf("%q is none of key=value, +key=value, -key, 'Header: value'", arg)
		case arg[0] == '+':
			form.Add(key[1:], v)
		default:
			form.Set(key, v)
		}
	}
	s.sent = form.Get("client_assertion")
	ts.Setenv("form", form.Encode())
	ts.Setenv("path", path)
	s.do(ts, s.request(ts, http.MethodPost, path, append(contentType, header...), form.Encode()))
}

// cmdFlood repeats the last token request from 16 connections, at most N
// times, until one answer has the given status: flood STATUS N.
func (s *session) cmdFlood(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 2, "flood STATUS N")
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	left := make(chan struct{}, n)
	for range n {
		left <- struct{}{}
	}
	close(left)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var found *response // guarded by mu
	for range 16 {
		wg.Go(func() {
			for range left {
				mu.Lock()
				done := found != nil
				mu.Unlock()
				if done {
					return
				}
				r := s.repeat(ts)
				if r != nil && r.status == status {
					mu.Lock()
					found = r
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if found == nil {
		ts.Fatalf("none of %d answers had status %d", n, status)
	}
	s.last = found
}

// repeat sends the last token request again; nil when there was no answer.
func (s *session) repeat(ts *testscript.TestScript) *response {
	resp, err := s.target.http.Post(s.target.BaseURL+ts.Getenv("path"), formType, strings.NewReader(ts.Getenv("form")))
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil
	}
	return &response{resp.StatusCode, resp.Proto, resp.Header, body}
}

func (s *session) answered(ts *testscript.TestScript) *response {
	if s.last == nil {
		ts.Fatalf("no request has been sent")
	}
	return s.last
}

// parsed is the last answer's body as a JSON value. Duplicate names and
// invalid UTF-8 are errors of the server.
func (s *session) parsed(ts *testscript.TestScript) any {
	var v any
	if err := json.Unmarshal(s.answered(ts).body, &v); err != nil {
		ts.Fatalf("the answer is not JSON: %v\n%.400s", err, s.last.body)
	}
	return v
}

// at walks a dotted path of member names and array indexes; "." is the value.
func at(v any, path string) (any, bool) {
	if path == "." {
		return v, true
	}
	// The dot in the names of OData's annotations is none of the path's.
	for _, step := range strings.Split(strings.ReplaceAll(path, "@odata.", "@odata\x00"), ".") {
		step = strings.ReplaceAll(step, "\x00", ".")
		switch node := v.(type) {
		case map[string]any:
			next, ok := node[step]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(node) {
				return nil, false
			}
			v = node[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// text renders a JSON value: a string as it is, anything else as JSON.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

func (s *session) cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 1, "status N")
	if got := strconv.Itoa(s.answered(ts).status); got != args[0] {
		ts.Fatalf("status %s, want %s; body %.600s", got, args[0], s.last.body)
	}
}

func (s *session) cmdHeader(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 2, "header NAME REGEXP")
	got := strings.Join(s.answered(ts).header.Values(args[0]), ", ")
	if !regexp.MustCompile(args[1]).MatchString(got) {
		ts.Fatalf("%s: %q does not match %q", args[0], got, args[1])
	}
}

func (s *session) cmdNoHeader(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 1, "noheader NAME")
	if got := s.answered(ts).header.Values(args[0]); len(got) != 0 {
		ts.Fatalf("%s: %q, want none", args[0], got)
	}
}

func (s *session) cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 2, "json PATH VALUE")
	checkValue(ts, s.parsed(ts), args[0], args[1])
}

func (s *session) cmdJSONMatch(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 2, "jsonmatch PATH REGEXP")
	got, ok := at(s.parsed(ts), args[0])
	if !ok || !regexp.MustCompile(args[1]).MatchString(text(got)) {
		ts.Fatalf("%s: %s does not match %q", args[0], text(got), args[1])
	}
}

func (s *session) cmdNoJSON(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 1, "nojson PATH")
	if got, ok := at(s.parsed(ts), args[0]); ok {
		ts.Fatalf("%s is %s, want it absent", args[0], text(got))
	}
}

// cmdGet keeps a member of the answer, or a header: get VARIABLE PATH|header:NAME.
func (s *session) cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 2, "get VARIABLE PATH|header:NAME")
	if name, ok := strings.CutPrefix(args[1], "header:"); ok {
		value := s.answered(ts).header.Get(name)
		if value == "" {
			ts.Fatalf("the answer has no header %s", name)
		}
		ts.Setenv(args[0], value)
		return
	}
	got, ok := at(s.parsed(ts), args[1])
	if !ok {
		ts.Fatalf("the answer has no %s: %.400s", args[1], s.last.body)
	}
	ts.Setenv(args[0], text(got))
}

// cmdUpper sets a variable to a text in upper case: upper VARIABLE TEXT.
func cmdUpper(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 2, "upper VARIABLE TEXT")
	ts.Setenv(args[0], strings.ToUpper(args[1]))
}

func (s *session) cmdBody(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	usage(ts, args, 1, "body TEXT")
	if !bytes.Contains(s.answered(ts).body, []byte(args[0])) {
		ts.Fatalf("the body does not contain %q: %.600s", args[0], s.last.body)
	}
}

func (s *session) cmdNoBody(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	if len(args) == 0 {
		if len(s.answered(ts).body) != 0 {
			ts.Fatalf("the body is not empty: %.400s", s.last.body)
		}
		return
	}
	usage(ts, args, 1, "nobody [TEXT]")
	if bytes.Contains(s.answered(ts).body, []byte(args[0])) {
		ts.Fatalf("the body contains %q", args[0])
	}
}

func checkValue(ts *testscript.TestScript, v any, path, want string) {
	got, ok := at(v, path)
	if !ok {
		ts.Fatalf("%s is absent, want %s", path, want)
	}
	if text(got) != want {
		ts.Fatalf("%s is %s, want %s", path, text(got), want)
	}
}
