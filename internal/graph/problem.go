package graph

import (
	"context"
	"errors"
	"net/http"
	"time"

	"cambio/internal/directory"
	"cambio/internal/management"
	"cambio/internal/store"
	"cambio/internal/strictjson"
)

// Error codes of Microsoft Graph that this API answers with.
const (
	CodeBadRequest          = "Request_BadRequest"
	CodeUnsupportedQuery    = "Request_UnsupportedQuery"
	CodeNotFound            = "Request_ResourceNotFound"
	CodeSameKeyValue        = "Request_MultipleObjectsWithSameKeyValue"
	CodeInvalidCredential   = "InvalidFederatedIdentityCredentialValue"
	CodeHostNotVerified     = "HostNameNotOnVerifiedDomain"
	CodeEntitlementEnabled  = "CannotDeleteOrUpdateEnabledEntitlement"
	CodeDenied              = "Authorization_RequestDenied"
	CodeTooManyRequests     = "TooManyRequests"
	CodeServiceNotAvailable = "serviceNotAvailable"
	CodeInternal            = "InternalServerError"
)

// Problem is a refusal in Graph's terms. Message is shown to the caller.
type Problem struct {
	Status  int
	Code    string
	Message string
}

func (p *Problem) Error() string { return p.Code + ": " + p.Message }

func badRequest(message string) *Problem {
	return &Problem{http.StatusBadRequest, CodeBadRequest, message}
}

func notFound(id string) *Problem {
	return &Problem{http.StatusNotFound, CodeNotFound, "No resource with the key '" + shorten(id) + "' exists."}
}

func denied() *Problem {
	return &Problem{http.StatusForbidden, CodeDenied, "The caller has not the permission that this operation on this object needs."}
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
		return bodyProblem(body), false
	case errors.As(err, &syntax):
		return badRequest("The request body: " + syntax.Error() + "."), false
	case errors.Is(err, management.ErrNoLongerAllowed):
		return &Problem{http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token validation failure: " + err.Error() + "."}, false
	case errors.Is(err, store.ErrThrottled):
		return &Problem{http.StatusTooManyRequests, CodeTooManyRequests, "Too many requests. Try again later."}, false
	case errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Problem{http.StatusServiceUnavailable, CodeServiceNotAvailable, "The service is busy. Try again."}, false
	}
	if errors.Is(err, store.ErrUnavailable) {
		return &Problem{http.StatusServiceUnavailable, CodeServiceNotAvailable, "The service cannot store or read anything now. Try again later."}, true
	}
	return &Problem{http.StatusInternalServerError, CodeInternal, "The service failed. The request-id identifies the log entry."}, true
}

func ruleProblem(e *directory.Error) *Problem {
	if e.Target == "claimsMatchingExpression.value" {
		return &Problem{http.StatusBadRequest, CodeInvalidCredential, e.Message}
	}
	switch e.Kind {
	case directory.NotFound:
		return &Problem{http.StatusNotFound, CodeNotFound, e.Message}
	case directory.NameTaken:
		return &Problem{http.StatusConflict, CodeSameKeyValue, e.Message}
	case directory.DuplicateTrust:
		return &Problem{http.StatusBadRequest, CodeInvalidCredential, e.Message}
	case directory.DomainNotVerified:
		return &Problem{http.StatusBadRequest, CodeHostNotVerified, e.Message}
	}
	return badRequest(e.Message)
}

func bodyProblem(e *management.BodyError) *Problem {
	code := CodeBadRequest
	switch e.Status {
	case http.StatusRequestEntityTooLarge:
		code = "RequestEntityTooLarge"
	case http.StatusUnsupportedMediaType:
		code = "UnsupportedMediaType"
	}
	return &Problem{e.Status, code, e.Message}
}

// WriteError answers with Graph's error object. It is for refusals that are
// decided before a handler runs, too. The identifiers of the call are sent
// back as request-id and client-request-id.
func WriteError(w http.ResponseWriter, status int, code, message string, call *management.Call) {
	writeProblem(w, &Problem{status, code, message}, call, time.Now())
}

func writeProblem(w http.ResponseWriter, p *Problem, call *management.Call, now time.Time) {
	setHeaders(w.Header(), call)
	if (p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests) && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, p.Status, object{
		{"error", object{
			{"code", p.Code},
			{"message", p.Message},
			{"innerError", object{
				{"date", now.UTC().Format("2006-01-02T15:04:05")},
				{"request-id", call.RequestID},
				{"client-request-id", call.CorrelationID},
			}},
		}},
	})
}
