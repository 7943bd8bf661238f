package app

import (
	"net/http"

	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// openAudit opens the audit log where one is set; nil: none is kept.
func (a *App) openAudit() (*audit.Log, error) {
	c := a.cfg.Audit
	if c.File == "" {
		return nil, nil
	}
	of := a.metrics.Audit.Of
	return audit.Open(audit.Config{
		Path: c.File, Required: c.Required, Logger: a.log,
		Written: of(metrics.AuditWritten).Inc, Lost: of(metrics.AuditLost).Inc, Suppressed: of(metrics.AuditSuppressed).Inc,
	})
}

// auditor is nil, and not a nil *audit.Log, where no log is kept.
func (a *App) auditor() audit.Auditor {
	if a.audit == nil {
		return nil
	}
	return a.audit
}

// refusedKey writes down a key that did not open what is beside the API.
func (a *App) refusedKey(r *http.Request) {
	a.audit.Refuse(audit.Entry{
		App: channel.DefaultApp, KeyID: audit.KeyID(r.Header.Get("X-API-Key")), Remote: r.RemoteAddr, Target: audit.Target{Method: r.URL.Path},
	}, "missing or wrong API key")
}
