package token

import (
	"time"

	"cambio/internal/directory"
	"cambio/internal/oauth"
)

// within checks those ceilings of the credential that say when and from where
// it may be presented. It is asked after the assertion was proven: strangers
// learn nothing of them.
func (e *Endpoint) within(x *exchange, c *directory.Ceilings) *oauth.Error {
	if now := e.cfg.Clock(); !c.Open(now) {
		return oauth.Refuse(oauth.CredentialOutsideWindow, bound(now), bound(c.NotBefore), bound(c.NotAfter))
	}
	if !x.unsourced && !c.AllowsSource(x.source) {
		return oauth.Refuse(oauth.SourceNotAllowed, x.source)
	}
	return nil
}

// reportOnly refuses in the end what only a credential that reports keeps from
// a token: nothing else is wrong with it.
func (x *exchange) reportOnly() *oauth.Error {
	if c := x.credential.Ceilings; c != nil && c.ReportOnly {
		return oauth.Refuse(oauth.CredentialReportOnly)
	}
	return nil
}

// bound is one end of a window in a text.
func bound(t time.Time) string {
	if t.IsZero() {
		return "any time"
	}
	return t.UTC().Format(time.RFC3339)
}
