package metrics

import (
	"fmt"
	"strings"
)

// Types of metric.
const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

// Definition is a row of the catalogue: a metric, and what an operator is told
// of it.
type Definition struct {
	Name   string
	Type   string
	Labels []string // their values come from closed sets
	Help   string
}

// Names of the metrics.
const (
	TokenRequests      = "cambio_token_requests_total"
	TokenSeconds       = "cambio_token_request_seconds"
	TokenLimited       = "cambio_token_requests_limited_total"
	PolicyReports      = "cambio_policy_reports_total"
	IssuerFetches      = "cambio_issuer_fetches_total"
	IssuerFetchSeconds = "cambio_issuer_fetch_seconds"
	IssuerKeyChanges   = "cambio_issuer_key_changes_total"
	Management         = "cambio_management_requests_total"
	ManagementSeconds  = "cambio_management_request_seconds"
	StoreCommits       = "cambio_store_commits_total"
	StoreCommitSeconds = "cambio_store_commit_seconds_total"
	StoreWrites        = "cambio_store_writes_total"
	StoreOutdated      = "cambio_store_outdated_decisions_total"
	StoreQueued        = "cambio_store_queued_writes"
	StoreReads         = "cambio_store_reads_total"
	StoreFailing       = "cambio_store_failing"
	StoreSessions      = "cambio_store_sessions_total"
	FeedPosition       = "cambio_feed_position"
	RecordLoads        = "cambio_record_loads_total"
	RecordEvictions    = "cambio_record_evictions_total"
	RecordBytes        = "cambio_record_bytes"
	KeyRotation        = "cambio_signing_key_rotation_timestamp_seconds"
	KeysUnread         = "cambio_signing_keys_unread"
	AuditCheckpoint    = "cambio_audit_checkpoint_timestamp_seconds"
	AuditTampered      = "cambio_audit_tampered"
	AuditExported      = "cambio_audit_exported_records_total"
	AuditExportBehind  = "cambio_audit_export_behind_records"
	AuditExportFailing = "cambio_audit_export_failing"
	AuditHeld          = "cambio_audit_retention_held"
	CertificateExpiry  = "cambio_certificate_expiry_timestamp_seconds"
	BuildInfo          = "cambio_build_info"
)

// Catalogue lists every metric of the server, but for those of Go and of the
// process, which are Prometheus' own.
func Catalogue() []Definition {
	return []Definition{
		{TokenRequests, counter, []string{"code", "error"}, "Answers of the token endpoint by AADSTS code; code 0 is an issued token."},
		{TokenSeconds, histogram, nil, "Time from the first byte of a token request's body to its answer, audit record included; of requests that were examined."},
		{TokenLimited, counter, []string{"kind"}, "Token requests that were not examined, since refusals had used up an allowance: of their source, client or issuer, or of all."},
		{PolicyReports, counter, []string{"policy"}, "Token requests that a rule of the tenant's federation policy would have refused, if it were not report-only: by its issuer (allowedIssuers) or its claims (requiredClaims)."},
		{IssuerFetches, counter, []string{"document", "outcome"}, "Fetches of discovery documents and key sets of external issuers."},
		{IssuerKeyChanges, counter, []string{"change"}, "Keys that managed issuers began (added) or ceased (removed) to publish; for those that are discovered, as this server saw it."},
		{IssuerFetchSeconds, histogram, nil, "Time of a fetch of an external issuer's document."},
		{Management, counter, []string{"api", "status"}, "Answers of the management APIs by status class."},
		{ManagementSeconds, histogram, nil, "Time of a request to a management API."},
		{StoreCommits, counter, nil, "Transactions committed by the store's writers."},
		{StoreCommitSeconds, counter, nil, "Time that those transactions took together, waiting for the disk or the database included."},
		{StoreWrites, counter, nil, "Decisions and management writes in those transactions."},
		{StoreOutdated, counter, nil, "Decisions that were made again, since something had changed that they rested on."},
		{StoreQueued, gauge, nil, "Decisions and management writes that wait for a commit."},
		{StoreReads, counter, nil, "Queries that read from the database."},
		{StoreFailing, gauge, nil, "1 while the database takes no writes: nothing can be recorded, and so nothing is issued."},
		{StoreSessions, counter, nil, "Sessions of the writers with the database. One more each is usual at start; each further one is a lost connection."},
		{FeedPosition, gauge, nil, "Up to which change this server has applied. Servers of one database differ by what the last poll interval brought."},
		{RecordLoads, counter, []string{"outcome"}, "Records of tenants, clients and resources that were read from the database: found, absent or failed."},
		{RecordEvictions, counter, nil, "Records that were dropped from memory for want of room."},
		{RecordBytes, gauge, nil, "Estimated memory of the records."},
		{KeyRotation, gauge, []string{"algorithm"}, "When the signing key in use is due to be replaced."},
		{KeysUnread, gauge, nil, "1 while the signing keys could not be read from the database."},
		{AuditCheckpoint, gauge, nil, "When this server last signed a checkpoint of the audit trail, or found nothing new; 0 on a server that has not kept the trail yet. Absent with `audit.checkpoint_every: 0`."},
		{AuditTampered, gauge, nil, "1 while the audit trail contradicts what its checkpoints attest to, so that this server signs none: `cambio audit verify` says where."},
		{AuditExported, counter, nil, "Audit records that this server exported."},
		{AuditExportBehind, gauge, nil, "Audit records that the slowest export had still to deliver when this server last looked; 0 on a server that does not keep the trail."},
		{AuditExportFailing, gauge, nil, "1 while the last export of audit records failed."},
		{AuditHeld, gauge, nil, "1 while audit records are past their time and kept only because an export has not delivered them."},
		{CertificateExpiry, gauge, nil, "When the TLS certificate of the public listener expires."},
		{BuildInfo, gauge, []string{"version", "go"}, "1, with the version of the program and of Go."},
	}
}

func definition(name string) Definition {
	for _, d := range Catalogue() {
		if d.Name == name {
			return d
		}
	}
	panic("metrics: " + name + " is not in the catalogue")
}

// Markdown is docs/metrics.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Metrics\n\nThe operations listener serves them at `/metrics` in Prometheus' text format. Nothing that a caller sent is ever a label. Beside these there are those of Go and of the process (`go_…`, `process_…`). [operations.md](operations.md) says what to make of them; a dashboard and alerts are in [deploy](../deploy).\n\n| metric | type | labels | |\n|---|---|---|---|\n")
	for _, d := range Catalogue() {
		labels := ""
		if len(d.Labels) > 0 {
			labels = "`" + strings.Join(d.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Type, labels, d.Help)
	}
	return b.String()
}
