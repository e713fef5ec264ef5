package management

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// ETag is the strong entity tag (RFC 9110 §8.8.3) of an object of package
// directory: equal contents have equal tags, whoever wrote them and whichever
// API shows them.
func ETag(object any) string {
	text, err := json.Marshal(object, json.Deterministic(true))
	if err != nil {
		panic("management: an object without an entity tag: " + err.Error()) // plain data marshals
	}
	sum := sha256.Sum256(text)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`
}

// Preconditions are what If-Match and If-None-Match of one request ask for
// (RFC 9110 §13.1). The zero value asks for nothing.
type Preconditions struct {
	match, noneMatch       bool // the header is there
	matching, noneMatching []string
}

// ReadPreconditions reads both headers. The error is a *BodyError with status
// 400: a guard that cannot be read must not be passed over.
func ReadPreconditions(h http.Header) (p Preconditions, err error) {
	if p.matching, p.match, err = readTags(h, "If-Match"); err != nil {
		return p, err
	}
	p.noneMatching, p.noneMatch, err = readTags(h, "If-None-Match")
	return p, err
}

// anyTag is the * of If-Match and If-None-Match.
const anyTag = "*"

func readTags(h http.Header, name string) (tags []string, present bool, err error) {
	values := h.Values(name)
	for _, tag := range strings.Split(strings.Join(values, ","), ",") {
		tag = strings.TrimSpace(tag)
		quoted := strings.TrimPrefix(tag, "W/")
		switch {
		case len(values) == 0:
		case tag == anyTag, len(quoted) >= 2 && quoted[0] == '"' && strings.IndexByte(quoted[1:], '"') == len(quoted)-2:
			tags = append(tags, tag)
		default:
			return nil, true, &BodyError{http.StatusBadRequest, "The header " + name + " must be * or a list of entity tags in quotation marks, as the ETag header shows them."}
		}
	}
	return tags, len(values) > 0, nil
}

// Any reports whether the request asks for anything.
func (p Preconditions) Any() bool { return p.match || p.noneMatch }

// Hold reports whether a write may go on when the object has the given tag,
// which is empty when it does not exist. If-Match wants one of its strong tags
// to be the object's, * any object; If-None-Match wants the contrary.
func (p Preconditions) Hold(tag string) bool {
	if p.match && !names(p.matching, tag, false) {
		return false
	}
	return !p.noneMatch || !names(p.noneMatching, tag, true)
}

// NotModified reports whether a GET may be answered with 304.
func (p Preconditions) NotModified(tag string) bool {
	return p.noneMatch && names(p.noneMatching, tag, true)
}

// names reports whether tags name the object; weak says that W/ does not
// matter (RFC 9110 §8.8.3.2).
func names(tags []string, tag string, weak bool) bool {
	if tag == "" {
		return false
	}
	return slices.ContainsFunc(tags, func(t string) bool {
		return t == anyTag || t == tag || weak && strings.TrimPrefix(t, "W/") == tag
	})
}

// PreconditionFailed is the code and the text of both APIs' 412.
const (
	CodePreconditionFailed    = "PreconditionFailed"
	PreconditionFailedMessage = "The object is not, or no longer, what If-Match or If-None-Match asks for. Read it again, see whether the change is still wanted, and send its present ETag."
)

// NoPreconditionsMessage refuses a guard where there is nothing to guard.
const NoPreconditionsMessage = "This operation has no entity tags to compare. Leave If-Match and If-None-Match out."
