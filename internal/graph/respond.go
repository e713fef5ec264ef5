package graph

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"cambio/internal/management"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// contentType is what Microsoft Graph sends with every JSON answer.
const contentType = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"

// object is a JSON object of our own making, in a fixed order of members.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSONTo implements json.MarshalerTo.
func (o object) MarshalJSONTo(enc *jsontext.Encoder) error {
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for i := range o {
		if err := enc.WriteToken(jsontext.String(o[i].name)); err != nil {
			return err
		}
		if err := json.MarshalEncode(enc, o[i].value); err != nil {
			return err
		}
	}
	return enc.WriteToken(jsontext.EndObject)
}

// pick keeps the named members and the annotations of OData; with no names,
// all. A name that is not a member is ignored: clients select properties that
// we do not have.
func (o object) pick(names []string) object {
	if len(names) == 0 {
		return o
	}
	picked := make(object, 0, len(names))
	for i := range o {
		if slices.Contains(names, o[i].name) || strings.HasPrefix(o[i].name, "@odata.") {
			picked = append(picked, o[i])
		}
	}
	return picked
}

// orNull is the value of an optional text: null when unset.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// list never is null in JSON.
func list(values []string) []string {
	if values == nil {
		return []string{}
	}
	return values
}

// Two forms of time: Graph answers a POST with the full precision and later
// reads in whole seconds.
func created(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }
func seconds(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func setHeaders(h http.Header, call *management.Call) {
	h.Set("OData-Version", "4.0")
	h.Set("Cache-Control", "no-cache")
	h.Set("Strict-Transport-Security", "max-age=31536000")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("request-id", call.RequestID)
	h.Set("client-request-id", call.CorrelationID)
}

// writeJSON is the only writer of bodies of this API but for counts. The
// value is of our own making, so it cannot fail to marshal; a lost connection
// is nobody's news.
func writeJSON(w http.ResponseWriter, status int, v object) {
	body, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true), jsontext.EscapeForHTML(true))
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":{"code":"`+CodeInternal+`","message":"The answer could not be written."}}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// odataKey quotes a key for use in a context URL or a Location.
func odataKey(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
