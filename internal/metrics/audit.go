package metrics

// AuditResult says what became of a line of the audit log.
type AuditResult string

// The results of a line.
const (
	AuditWritten    AuditResult = "written"
	AuditLost       AuditResult = "lost"       // it could not be written; the server's log has it
	AuditSuppressed AuditResult = "suppressed" // refused keys and passwords beyond those that are written down in a minute
)

func allAuditResults() []AuditResult {
	return []AuditResult{AuditWritten, AuditLost, AuditSuppressed}
}

func (m *Metrics) newAudit(f *families) {
	m.Audit = byReason(f, "audit_lines_total", "Lines of the audit log by what became of them; lost should stay 0.", "result", allAuditResults())
}
