package admin

import (
	"context"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Explanations returns the explanations of the newest decisions that have a
// correlation id or trace id, as the server shows them; none if there are
// none. The audit trail is searched backwards, and looked is told before each
// further part of it.
func (c *Client) Explanations(ctx context.Context, id string, looked func()) ([]jsontext.Value, error) {
	path := "/audit/v1/explanations?id=" + url.QueryEscape(id)
	for {
		raw, err := c.Get(ctx, path)
		if err != nil {
			return nil, err
		}
		var page struct {
			Explanations []jsontext.Value `json:"explanations"`
			NextLink     string           `json:"nextLink"`
		}
		if err := decode(raw, &page); err != nil {
			return nil, err
		}
		if len(page.Explanations) > 0 || page.NextLink == "" {
			return page.Explanations, nil
		}
		if path, err = nextPath(page.NextLink); err != nil {
			return nil, err
		}
		looked()
	}
}

// Question is a token about which is asked what would be decided.
type Question struct {
	ClientID string `json:"clientId"`
	Token    string `json:"token"`
	Resource string `json:"resource,omitzero"` // identifier URI or appId; empty: only whether the token is accepted
	Source   string `json:"source,omitzero"`   // network address that it would come from; empty: from anywhere
}

// ExplainToken asks what would be decided about a token. Nothing is issued, so
// that it is asked in a dry run, too.
func (c *Client) ExplainToken(ctx context.Context, q Question) (jsontext.Value, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, http.MethodPost, "/audit/v1/explain", body)
}
