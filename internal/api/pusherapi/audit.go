package pusherapi

import (
	"errors"
	"net/http"

	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// disconnect ends a user's connections, and has the Auditor told.
func (h *call) disconnect(r *http.Request, user string) error {
	target := hub.Target{App: h.app, User: user}
	if h.cfg.Auditor == nil {
		return h.hub.Disconnect(r.Context(), target, hub.DisconnectForced)
	}
	e := h.entry(r)
	e.Action, e.Target.User = "disconnect", user
	done, err := h.cfg.Auditor.Begin(e)
	if err != nil {
		return refused(http.StatusServiceUnavailable, "the audit log cannot be written: nothing was done, try again later")
	}
	if err = h.hub.Disconnect(r.Context(), target, hub.DisconnectForced); err != nil {
		done(audit.Failed, "")
	} else {
		done(audit.OK, "")
	}
	return err
}

// unauthenticated tells the Auditor of a request whose signature is not right.
func (h *call) unauthenticated(r *http.Request, err error) {
	why := (*refusal)(nil)
	if h.cfg.Auditor != nil && errors.As(err, &why) {
		e := h.entry(r)
		e.Target.Method = r.URL.Path
		h.cfg.Auditor.Refuse(e, why.text)
	}
}

// entry says who asks: a key's id is that of the public auth_key.
func (h *call) entry(r *http.Request) audit.Entry {
	return audit.Entry{App: h.app, KeyID: audit.KeyID(r.URL.Query().Get("auth_key")), Remote: r.RemoteAddr, Detail: "pusher"}
}
