package app

import (
	"net/http"

	"github.com/fanfare-push/fanfare/internal/api"
	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/config"
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
func (a *App) auditor() api.Auditor {
	if a.audit == nil {
		return nil
	}
	return a.audit
}

// ReopensAudit reports whether there is a file that Reopen would open.
func ReopensAudit(cfg *config.Config) bool { return cfg.Audit.File != "" }

// Reopen goes on in the files that have their paths now, after those of before
// were moved away. It may be called while the server runs.
func (a *App) Reopen() {
	if err := a.audit.Reopen(); err != nil {
		a.log.Error("the audit log was not opened again, the file of before goes on", "error", err)
	}
}

// refusedKey writes down a key that did not open what is beside the API.
func (a *App) refusedKey(r *http.Request) {
	a.audit.Refuse(audit.Entry{
		App: channel.DefaultApp, KeyID: audit.KeyID(r.Header.Get("X-API-Key")), Remote: r.RemoteAddr, Target: audit.Target{Method: r.URL.Path},
	}, "missing or wrong API key")
}
