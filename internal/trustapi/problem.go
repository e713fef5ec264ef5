package trustapi

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
	"cambio/internal/strictjson"
	"cambio/internal/trust"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// problem is a refusal. Message and details are shown to the caller.
type problem struct {
	status  int
	code    string
	message string
	details []detailJSON
}

func (p *problem) Error() string { return p.code + ": " + p.message }

func badRequest(message string) *problem {
	return &problem{status: http.StatusBadRequest, code: "Request_BadRequest", message: message}
}

// problemOf turns any error into what the caller is told. An error that is
// not known to be safe becomes a bland one; the handler logs its text.
func problemOf(err error) (p *problem, internal bool) {
	var body *management.BodyError
	var syntax *strictjson.Error
	var rule *directory.Error
	var mistakes trust.Problems
	switch {
	case errors.As(err, &p):
		return p, false
	case errors.As(err, &mistakes):
		return mistaken(mistakes), false
	case errors.As(err, &rule):
		return ruleProblem(rule), false
	case errors.As(err, &body):
		return &problem{status: body.Status, code: "InvalidRequestContent", message: body.Message}, false
	case errors.As(err, &syntax):
		return badRequest("The request body: " + syntax.Error() + "."), false
	case errors.Is(err, management.ErrNoLongerAllowed):
		return &problem{status: http.StatusUnauthorized, code: "InvalidAuthenticationToken", message: "Access token validation failure: " + err.Error() + "."}, false
	case errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &problem{status: http.StatusServiceUnavailable, code: "serviceNotAvailable", message: "The service is busy. Try again."}, false
	case errors.Is(err, store.ErrUnavailable):
		return &problem{status: http.StatusServiceUnavailable, code: "serviceNotAvailable", message: "The service cannot store or read anything now. Try again later."}, true
	}
	return &problem{status: http.StatusInternalServerError, code: "InternalServerError", message: "The service failed. The request-id identifies the log entry."}, true
}

// mistaken tells what is wrong with a document. Positions in what a command
// sent mean nothing to whoever wrote the file; paths do.
func mistaken(mistakes trust.Problems) *problem {
	p := badRequest("")
	lines := make([]string, len(mistakes))
	for i, m := range mistakes {
		p.details = append(p.details, detailJSON{m.Path, m.Message})
		m.At = trust.Position{}
		lines[i] = m.String()
	}
	p.message = "The document cannot be used: " + strings.Join(lines, "; ")
	return p
}

func ruleProblem(e *directory.Error) *problem {
	if e.Kind == directory.NameTaken {
		return &problem{status: http.StatusConflict, code: "Request_MultipleObjectsWithSameKeyValue", message: e.Message}
	}
	if e.Kind == directory.NotFound {
		return &problem{status: http.StatusNotFound, code: "Request_ResourceNotFound", message: e.Message}
	}
	return badRequest(e.Message)
}

type detailJSON struct {
	Target  string `json:"target"`
	Message string `json:"message"`
}

type errorJSON struct {
	Error struct {
		Code    string       `json:"code"`
		Message string       `json:"message"`
		Details []detailJSON `json:"details,omitempty"`
	} `json:"error"`
}

// WriteError answers in Graph's error shape with the details of a document's
// mistakes. It is for refusals that are decided before a handler runs, too.
func WriteError(w http.ResponseWriter, status int, code, message string, call *management.Call) {
	writeProblem(w, &problem{status: status, code: code, message: message}, call)
}

func writeProblem(w http.ResponseWriter, p *problem, call *management.Call) {
	if (p.status == http.StatusServiceUnavailable || p.status == http.StatusTooManyRequests) && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "1")
	}
	var answer errorJSON
	answer.Error.Code, answer.Error.Message, answer.Error.Details = p.code, p.message, p.details
	writeJSON(w, p.status, answer, call)
}

// writeJSON writes a value of our own making, so it cannot fail to marshal; a
// lost connection is nobody's news.
func writeJSON(w http.ResponseWriter, status int, v any, call *management.Call) {
	body, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true), jsontext.EscapeForHTML(true), json.Deterministic(true), json.FormatNilSliceAsNull(false))
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":{"code":"InternalServerError","message":"The answer could not be written."}}`)
	}
	writeBody(w, status, body, call)
}

// writeBody is the only writer of bodies of this API but for the schema.
func writeBody(w http.ResponseWriter, status int, body []byte, call *management.Call) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Strict-Transport-Security", "max-age=31536000")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("request-id", call.RequestID)
	h.Set("client-request-id", call.CorrelationID)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
