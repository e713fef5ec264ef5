package server

import (
	"context"
	"errors"
	"time"

	"cambio/internal/directory"
	"cambio/internal/oidc"
	"cambio/internal/store"
	"cambio/internal/trustapi"
)

// sightings are key sets that were fetched and wait to be compared with the
// history of managed issuers.
type sightings chan oidc.FetchEvent

// maxSightings is how many wait. When there are more, an issuer's next fetch
// tells the same.
const maxSightings = 64

func (s sightings) offer(e oidc.FetchEvent) {
	select {
	case s <- e:
	default:
	}
}

// recordIssuerKeys keeps the history of managed issuers that are discovered,
// until the server closes. No decision waits for it.
func (s *Server) recordIssuerKeys(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-s.seen:
			if err := s.sawIssuerKeys(ctx, e); err != nil && !errors.Is(err, context.Canceled) {
				s.opt.Log.Error("the keys of an issuer were not recorded; its next fetch tells them again", "issuer", e.Issuer, "error", err)
			}
		}
	}
}

func (s *Server) sawIssuerKeys(ctx context.Context, e oidc.FetchEvent) error {
	managed, err := s.opt.DB.ManagedAs(ctx, e.Issuer)
	if err != nil {
		return err
	}
	var seen []store.IssuerKey
	for _, k := range e.Found {
		seen = append(seen, store.IssuerKey{Thumbprint: k.Thumbprint(), KeyID: k.KeyID, Algorithm: k.Serves()})
	}
	for n := range managed {
		i := &managed[n]
		under := i.Compile().Terms
		if under == "" {
			under = i.Issuer
		}
		if i.Compile().Stored() || under != e.Under {
			continue
		}
		if err := s.sawKeysOf(ctx, i, seen); err != nil {
			return err
		}
	}
	return nil
}

// sawKeysOf records what changed, if anything did.
func (s *Server) sawKeysOf(ctx context.Context, i *directory.Issuer, seen []store.IssuerKey) error {
	recorded, err := s.opt.DB.IssuerKeys(ctx, i.ID)
	if err != nil {
		return err
	}
	if _, _, due := store.KeysChanged(recorded, seen, s.opt.Clock()); !due {
		return nil
	}
	var added, removed []store.IssuerKey
	change := store.Change{TenantID: i.TenantID, Via: "issuer", Action: "issuer.keys.see", Target: i.ID}
	err = s.opt.DB.Write(ctx, change, func(tx *store.Tx) error {
		if _, err := tx.Issuer(ctx, i.TenantID, i.ID); err != nil {
			return err
		}
		added, removed, err = tx.SeeIssuerKeys(i.ID, seen)
		return err
	})
	if store.IsNotFound(err) {
		return nil // it ceased to be managed meanwhile
	}
	if err == nil {
		s.issuerKeysChanged(i, added, removed)
	}
	return err
}

// issuerKeysChanged raises the alarm: in the log and in a metric. The audit
// trail has its rows from the write.
func (s *Server) issuerKeysChanged(i *directory.Issuer, added, removed []store.IssuerKey) {
	s.metrics.IssuerKeys(len(added), len(removed))
	for _, k := range added {
		s.opt.Log.Warn("an issuer publishes a new key", "issuer", i.Issuer, "tenant", i.TenantID, "thumbprint", k.Thumbprint, "kid", k.KeyID, "alg", k.Algorithm, "held", i.ApproveKeys)
	}
	for _, k := range removed {
		s.opt.Log.Warn("an issuer no longer publishes a key", "issuer", i.Issuer, "tenant", i.TenantID, "thumbprint", k.Thumbprint, "kid", k.KeyID)
	}
}

// issuerHealth is what this server knows of a managed issuer that is
// discovered.
func (s *Server) issuerHealth(i *directory.IssuerRecord) trustapi.IssuerHealth {
	status, known := s.issuers.StatusUnder(i.Issuer.Issuer, keySource{}.terms(i))
	if !known {
		return trustapi.IssuerHealth{}
	}
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.UTC()
		return &t
	}
	h := trustapi.IssuerHealth{FetchedAt: at(status.FetchedAt), ExpiresAt: at(status.ExpiresAt), FailedAt: at(status.FailedAt), KeyCount: len(status.Keys)}
	if status.LastError != nil {
		h.Error, h.Reason = status.LastError.Error(), string(status.LastError.Reason)
	}
	for _, k := range status.Ignored {
		h.IgnoredKeys = append(h.IgnoredKeys, trustapi.IgnoredKeyState{Index: k.Index, KeyID: k.KeyID, Reason: k.Reason})
	}
	return h
}
