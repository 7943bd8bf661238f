package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/fanfare-push/fanfare/internal/audit"
	"github.com/fanfare-push/fanfare/internal/channel"
)

// action is a command that an Auditor is told of.
type action interface {
	command
	audited() audit.Entry // without who asks
}

var (
	_ action = (*subscribeRequest)(nil)
	_ action = (*unsubscribeRequest)(nil)
	_ action = (*disconnectRequest)(nil)
	_ action = (*refreshRequest)(nil)
	_ action = (*historyRemoveRequest)(nil)
	_ action = (*historyImportRequest)(nil)
)

func (r *subscribeRequest) audited() audit.Entry {
	return audit.Entry{Action: "subscribe", Target: r.target.audited(r.channel)}
}

func (r *unsubscribeRequest) audited() audit.Entry {
	return audit.Entry{Action: "unsubscribe", Target: r.target.audited(r.channel)}
}

func (r *disconnectRequest) audited() audit.Entry {
	e := audit.Entry{Action: "disconnect", Target: r.target.audited("")}
	if d := r.disconnect; d != nil {
		e.Detail = fmt.Sprintf("code %d, reason %q", d.code, d.reason)
	}
	if n := len(r.whitelist); n > 0 {
		e.Detail = strings.TrimPrefix(fmt.Sprintf("%s, except %d sessions", e.Detail, n), ", ")
	}
	return e
}

func (r *refreshRequest) audited() audit.Entry {
	return audit.Entry{Action: "refresh", Target: r.target.audited("")}
}

func (r *historyRemoveRequest) audited() audit.Entry {
	return audit.Entry{Action: "history_remove", Target: audit.Target{Channel: r.channel}}
}

func (t *target) audited(channel string) audit.Target {
	return audit.Target{Channel: channel, User: t.user, Client: t.client}
}

// do runs a command, and has an Auditor told if it is an action.
func (h *call) do(ctx context.Context, cmd command, out []byte) ([]byte, error) {
	a, isAction := cmd.(action)
	if h.auditor == nil || !isAction {
		return cmd.run(ctx, h, out)
	}
	e := a.audited()
	e.App, e.KeyID, e.Remote = cmp.Or(e.App, h.app), h.keyID(), h.remote
	done, err := h.auditor.Begin(e)
	if err != nil {
		return out, unaudited
	}
	out, err = cmd.run(ctx, h, out)
	done(outcome(err))
	return out, err
}

// unaudited refuses an action that could not be written down.
var unaudited = temporary(codeInternal, http.StatusServiceUnavailable, "the audit log cannot be written: nothing was done, try again later")

// outcome says how a command ended. Internal errors are told in the server's log
// alone.
func outcome(err error) (audit.Outcome, string) {
	if err == nil {
		return audit.OK, ""
	}
	f := faultOf(err)
	if f == nil || f == unknownOutcome {
		return audit.Failed, "see the server's log"
	}
	return audit.Refused, f.message
}

// refusedScope tells an Auditor of a key that is not for what was asked.
func (h *Handler) refusedScope(c *caller, method string, f *fault) {
	if h.auditor != nil {
		h.auditor.Refuse(audit.Entry{App: c.app, KeyID: c.keyID(), Remote: c.remote, Target: audit.Target{Method: method}}, f.message)
	}
}

// refusedKey tells an Auditor of a key that opened nothing.
func (h *Handler) refusedKey(r *http.Request, f *fault) {
	if h.auditor != nil {
		h.auditor.Refuse(audit.Entry{
			App: channel.DefaultApp, KeyID: audit.KeyID(KeyOf(r)), Remote: r.RemoteAddr, Target: audit.Target{Method: strings.TrimPrefix(r.URL.Path, Prefix)},
		}, f.message)
	}
}
