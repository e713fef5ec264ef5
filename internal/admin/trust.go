package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// trustTimeout is how long a trust configuration may take: ten thousand
// credentials need about a second.
const trustTimeout = 2 * time.Minute

// TrustSchemaPath is where a server shows the JSON Schema of documents.
const TrustSchemaPath = "/trust/v1/schema"

// TrustPlan is what a trust configuration changes or has changed.
type TrustPlan struct {
	ETag    string        `json:"etag"`
	Changes []TrustChange `json:"changes"`
	Kept    []string      `json:"kept"`
}

// TrustChange is one object that is created, updated or deleted.
type TrustChange struct {
	Action     string          `json:"action"`
	Kind       string          `json:"kind"`
	Name       string          `json:"name"`
	Properties []TrustProperty `json:"properties"`
}

// TrustProperty is one property of a change, with JSON values; nil where there
// is none.
type TrustProperty struct {
	Name string         `json:"name"`
	Old  jsontext.Value `json:"old,omitzero"`
	New  jsontext.Value `json:"new,omitzero"`
}

// TrustConfiguration reads the tenant's trust configuration.
func (c *Client) TrustConfiguration(ctx context.Context) (jsontext.Value, error) {
	return c.Get(ctx, "/trust/v1/configuration")
}

// PlanTrust asks what a document would change. It changes nothing, and so is
// sent in a dry run, too.
func (c *Client) PlanTrust(ctx context.Context, document []byte, prune bool) (TrustPlan, error) {
	return c.trust(ctx, "/trust/v1/plan", document, prune, http.Header{})
}

// ApplyTrust makes the changes of a document, all or none. etag, unless it is
// empty, is that of the plan that was looked at: if the tenant has changed
// since, nothing is done and the error is a Conflict.
func (c *Client) ApplyTrust(ctx context.Context, document []byte, prune bool, etag string) (TrustPlan, error) {
	header := http.Header{}
	if etag != "" {
		header.Set("If-Match", etag)
	}
	return c.trust(ctx, "/trust/v1/apply", document, prune, header)
}

func (c *Client) trust(ctx context.Context, path string, document []byte, prune bool, header http.Header) (plan TrustPlan, err error) {
	body, err := json.Marshal(struct {
		Document jsontext.Value `json:"document"`
		Prune    bool           `json:"prune"`
	}{document, prune})
	if err != nil {
		return plan, err
	}
	patient := *c.http
	patient.Timeout = trustTimeout
	quick := c.http
	c.http = &patient
	defer func() { c.http = quick }()
	bearer, err := c.token(ctx)
	if err != nil {
		return plan, err
	}
	header.Set("Authorization", "Bearer "+bearer)
	header.Set("Content-Type", "application/json")
	raw, err := c.repeat(ctx, http.MethodPost, path, body, header)
	if err != nil {
		return plan, err
	}
	return plan, decode(raw, &plan)
}
