package app

import (
	"net/http"

	"github.com/fanfare-push/fanfare/internal/api"
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
	a.audit.Refuse(a.refusedFrom(r, audit.KeyRefused, audit.KeyID(api.KeyOf(r))), "missing or wrong API key")
}

// refusedPassword writes down that a password did not open the page. Nothing names
// the password: a digest of one that is nearly right would help who guesses on.
func (a *App) refusedPassword(r *http.Request, problem string) {
	a.audit.Refuse(a.refusedFrom(r, audit.PasswordRefused, ""), problem)
}

func (a *App) refusedFrom(r *http.Request, action, keyID string) audit.Entry {
	return audit.Entry{Action: action, App: channel.DefaultApp, KeyID: keyID, Remote: r.RemoteAddr, Target: audit.Target{Method: r.URL.Path}}
}
