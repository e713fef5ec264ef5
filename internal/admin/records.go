package admin

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"
)

// Decisions reads the tenant's decisions from the audit trail, chain by chain,
// each in its order, and hands each to do. page is told after each part how
// many were read.
func (c *Client) Decisions(ctx context.Context, do func(jsontext.Value) error, page func(read int)) error {
	path := "/audit/v1/records?kind=exchange&limit=500"
	read := 0
	for path != "" {
		raw, err := c.Get(ctx, path)
		if err != nil {
			return err
		}
		var answer struct {
			Records  []jsontext.Value `json:"records"`
			NextLink string           `json:"nextLink"`
		}
		if err := decode(raw, &answer); err != nil {
			return err
		}
		for _, record := range answer.Records {
			if err := do(record); err != nil {
				return err
			}
		}
		read += len(answer.Records)
		page(read)
		path = ""
		if answer.NextLink != "" {
			if path, err = nextPath(answer.NextLink); err != nil {
				return err
			}
		}
	}
	return nil
}
