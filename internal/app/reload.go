package app

import "github.com/fanfare-push/fanfare/internal/audit"

// Reloads reports whether there are files that Reload reads again.
func (a *App) Reloads() bool { return a.audit != nil || len(a.certs) > 0 }

// Reload reads the files of certificates again, and goes on in the audit log that
// has the path now, after the one of before was moved away. What is not fit for use
// is not taken, and the log says why. Any goroutine may call it.
func (a *App) Reload() {
	for _, files := range a.certs {
		files.Reload()
	}
	if a.audit == nil {
		return
	}
	if err := a.audit.Reopen(); err != nil {
		a.log.Error("the audit log was not opened again, the file of before goes on", "error", err)
	}
	if done, err := a.audit.Begin(audit.Entry{Action: audit.Reload}); err == nil {
		done(audit.OK, "")
	}
}
