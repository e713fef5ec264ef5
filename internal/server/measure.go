package server

import (
	"runtime"
	"time"

	"cambio/internal/metrics"
	"cambio/internal/store"
)

// measure registers the figures that others keep.
func (s *Server) measure() {
	db, records := s.opt.DB, s.directory.records
	for name, read := range map[string]func(store.Stats) float64{
		metrics.StoreCommits:       func(st store.Stats) float64 { return float64(st.Commits) },
		metrics.StoreCommitSeconds: func(st store.Stats) float64 { return st.CommitTime.Seconds() },
		metrics.StoreWrites:        func(st store.Stats) float64 { return float64(st.Jobs) },
		metrics.StoreOutdated:      func(st store.Stats) float64 { return float64(st.Outdated) },
		metrics.StoreQueued:        func(st store.Stats) float64 { return float64(st.Queued) },
		metrics.StoreReads:         func(st store.Stats) float64 { return float64(st.SQLReads) },
		metrics.StoreSessions:      func(st store.Stats) float64 { return float64(st.Sessions) },
		metrics.FeedPosition:       func(st store.Stats) float64 { return float64(st.FeedPosition) },
	} {
		s.metrics.Func(name, func() float64 { return read(db.Stats()) })
	}
	s.metrics.Func(metrics.StoreFailing, func() float64 { return metrics.Bool(db.WriteFailed()) })
	for outcome, read := range map[string]func(store.RecordStats) int64{
		"found":  func(st store.RecordStats) int64 { return st.Found },
		"absent": func(st store.RecordStats) int64 { return st.Absent },
		"failed": func(st store.RecordStats) int64 { return st.Failed },
	} {
		s.metrics.Func(metrics.RecordLoads, func() float64 { return float64(read(records.Stats())) }, outcome)
	}
	s.metrics.Func(metrics.RecordEvictions, func() float64 { return float64(records.Stats().Evictions) })
	s.metrics.Func(metrics.RecordBytes, func() float64 { return float64(records.Stats().Bytes) })
	for _, algorithm := range []string{"RS256", "ES256"} {
		s.metrics.Func(metrics.KeyRotation, func() float64 { return metrics.Time(s.rotation(algorithm)) }, algorithm)
	}
	s.metrics.Func(metrics.KeysUnread, func() float64 { return metrics.Bool(s.keysUnread.Load()) })
	s.metrics.Func(metrics.BuildInfo, func() float64 { return 1 }, s.opt.Version, runtime.Version())
	if s.opt.CertificateExpiry != nil {
		s.metrics.Func(metrics.CertificateExpiry, func() float64 { return metrics.Time(s.opt.CertificateExpiry()) })
	}
}

// rotation is when the key that signs with an algorithm is to be replaced.
func (s *Server) rotation(algorithm string) time.Time {
	for _, key := range s.ring.Keys() {
		if key.Algorithm == algorithm && key.State == store.KeyActive {
			return key.RetireAt
		}
	}
	return time.Time{}
}

// AuditFigures are what is known of the keeping of the audit trail.
type AuditFigures struct {
	Checkpoint                    time.Time
	Exported, Behind              int64
	ExportFailing, Held, Tampered bool
}

// MeasureAudit registers the figures of the audit trail, which is kept outside
// of the server. Without checkpoints there is no time of the last one.
func (s *Server) MeasureAudit(checkpoints bool, read func() AuditFigures) {
	if checkpoints {
		s.metrics.Func(metrics.AuditCheckpoint, func() float64 { return metrics.Time(read().Checkpoint) })
	}
	s.metrics.Func(metrics.AuditTampered, func() float64 { return metrics.Bool(read().Tampered) })
	s.metrics.Func(metrics.AuditExportBehind, func() float64 { return float64(read().Behind) })
	s.metrics.Func(metrics.AuditExported, func() float64 { return float64(read().Exported) })
	s.metrics.Func(metrics.AuditExportFailing, func() float64 { return metrics.Bool(read().ExportFailing) })
	s.metrics.Func(metrics.AuditHeld, func() float64 { return metrics.Bool(read().Held) })
}
