package arm

import (
	"context"
	"errors"
	"net/http"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
	"cambio/internal/strictjson"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Error codes of Azure Resource Manager that this API answers with.
const (
	CodeBadRequest            = "BadRequest"
	CodeMissingAPIVersion     = "MissingApiVersionParameter"
	CodeInvalidAPIVersion     = "InvalidApiVersionParameter"
	CodeSubscriptionNotFound  = "SubscriptionNotFound"
	CodeResourceGroupNotFound = "ResourceGroupNotFound"
	CodeResourceNotFound      = "ResourceNotFound"
	CodeInvalidLocation       = "InvalidResourceLocation"
	CodeConflict              = "Conflict"
	CodeInvalidContent        = "InvalidRequestContent"
	CodeInvalidNamespace      = "InvalidResourceNamespace"
	CodeNotSupported          = "OperationNotSupported"
	CodeTooManyRequests       = "TooManyRequests"
	CodeServerUnavailable     = "ServerUnavailable"
	CodeInternal              = "InternalServerError"
)

// Problem is a refusal in the terms of Azure Resource Manager. Message is
// shown to the caller.
type Problem struct {
	Status  int
	Code    string
	Message string
}

func (p *Problem) Error() string { return p.Code + ": " + p.Message }

func badRequest(message string) *Problem {
	return &Problem{http.StatusBadRequest, CodeBadRequest, message}
}

// shorten keeps what a caller sent from filling the answer.
func shorten(s string) string {
	const most = 200
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// problemOf turns any error into what the caller is told. An error that is
// not known to be safe becomes a bland one; the handler logs its text.
func problemOf(err error) (p *Problem, internal bool) {
	var body *management.BodyError
	var syntax *strictjson.Error
	var rule *directory.Error
	switch {
	case errors.As(err, &p):
		return p, false
	case errors.As(err, &rule):
		return ruleProblem(rule), false
	case errors.As(err, &body):
		return &Problem{body.Status, CodeInvalidContent, body.Message}, false
	case errors.As(err, &syntax):
		return &Problem{http.StatusBadRequest, CodeInvalidContent, "The request body: " + syntax.Error() + "."}, false
	case errors.Is(err, management.ErrNoLongerAllowed):
		return &Problem{http.StatusUnauthorized, "AuthenticationFailed", "Access token validation failure: " + err.Error() + "."}, false
	case errors.Is(err, store.ErrThrottled):
		return &Problem{http.StatusTooManyRequests, CodeTooManyRequests, "Too many requests. Try again later."}, false
	case errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Problem{http.StatusServiceUnavailable, CodeServerUnavailable, "The service is busy. Try again."}, false
	case errors.Is(err, store.ErrUnavailable):
		return &Problem{http.StatusServiceUnavailable, CodeServerUnavailable, "The service cannot store or read anything now. Try again later."}, true
	}
	return &Problem{http.StatusInternalServerError, CodeInternal, "The service failed. The x-ms-request-id identifies the log entry."}, true
}

func ruleProblem(e *directory.Error) *Problem {
	switch {
	case e.Kind == directory.NotFound:
		return &Problem{http.StatusNotFound, CodeResourceNotFound, e.Message}
	case e.Kind == directory.ReferenceAbsent && e.Target == "resourceGroup":
		return &Problem{http.StatusNotFound, CodeResourceGroupNotFound, e.Message}
	case e.Kind == directory.NameTaken:
		return &Problem{http.StatusConflict, CodeConflict, e.Message}
	}
	return badRequest(e.Message)
}

// WriteError answers with the error object of Azure Resource Manager, whose
// code also stands in the header x-ms-error-code. It is for refusals that are
// decided before a handler runs, too.
func WriteError(w http.ResponseWriter, status int, code, message string, call *management.Call) {
	setHeaders(w.Header(), call)
	w.Header().Set("x-ms-error-code", code)
	if (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, status, errorJSON{Error: errorDetail{code, message}})
}

type errorJSON struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func setHeaders(h http.Header, call *management.Call) {
	h.Set("Cache-Control", "no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "-1")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	h.Set("x-ms-request-id", call.RequestID)
	h.Set("x-ms-correlation-request-id", call.CorrelationID)
}

// writeJSON is the only writer of bodies of this API. The value is of our own
// making, so it cannot fail to marshal; a lost connection is nobody's news.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true), jsontext.EscapeForHTML(true), json.Deterministic(true))
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":{"code":"`+CodeInternal+`","message":"The answer could not be written."}}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
