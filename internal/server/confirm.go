package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"

	"cambio/internal/management"
	"cambio/internal/store"
)

// heldAnswer keeps an answer until it may leave.
type heldAnswer struct {
	header http.Header
	status int // 0: it has not begun
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *heldAnswer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *heldAnswer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *heldAnswer) Write(b []byte) (int, error) { return a.body.Write(b) }

// send lets the answer go.
func (a *heldAnswer) send(w http.ResponseWriter) {
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	_, _ = w.Write(a.body.Bytes()) // the caller may have gone
}

// writes reports whether the answer is that of a write, which has waited for
// its commit. All others say what was read.
func (a *heldAnswer) writes(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead && a.status < http.StatusBadRequest
}

// confirmed runs an answer of the management APIs on a database that fails over
// to a standby, and lets it go when what it says would outlive that.
func (s *Server) confirmed(w http.ResponseWriter, r *http.Request, call *management.Call, api api, answer func(http.ResponseWriter)) {
	since := s.opt.DB.History()
	held := &heldAnswer{header: w.Header()}
	answer(held)
	if !held.writes(r) {
		if err := s.opt.DB.Confirm(r.Context(), since); err != nil {
			if !errors.Is(err, store.ErrOutdated) && !errors.Is(err, context.Canceled) {
				s.opt.Log.Error("what was read could not be confirmed", "error", err)
			}
			clear(w.Header())
			w.Header().Set("Retry-After", "1")
			fail(w, api, http.StatusServiceUnavailable, "ServiceUnavailable", "The standby of the database cannot be reached at the moment. Try again.", call)
			return
		}
	}
	held.send(w)
}
