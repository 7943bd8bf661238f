package api

import (
	"context"
	"net/http"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/tenant"
)

// MethodPublish is the method that Begin calls.
const MethodPublish = "publish"

// Begin is POST /api/publish for those who must not wait: done is called once, by
// any goroutine, with the body of a reply with status 200. body is not kept. It
// returns false, and has done nothing, for what ServeHTTP refuses before it asks
// the hub, so that the words of a refusal are in one place.
func (h *Handler) Begin(apiKey, authorization string, body []byte, done func(reply []byte)) bool {
	start := time.Now()
	who, f := identify(h.keys, apiKey, authorization)
	if f != nil || who.may(tenant.Publish) != nil || len(body) > h.limits.MaxBody {
		return false
	}
	cmd, err := h.parse(h.methods[MethodPublish], body)
	if err != nil {
		return false
	}
	r, ok := cmd.(*publishRequest)
	if !ok {
		return false
	}
	p, err := r.publication(&call{h, who})
	if err != nil {
		return false
	}
	if h.tooOften(who.secret) != nil {
		return false
	}
	h.hub.PublishThen(p, func(res engine.PublishResult, err error) {
		status := http.StatusOK
		out := make([]byte, 0, 128)
		if err != nil {
			f := h.faultOf(context.Background(), MethodPublish, about(p.Channel, "publishing", err))
			status = f.status
			out = appendReply(out, f, false)
		} else {
			out = append(appendPublishResult(append(out, `{"result":`...), res), '}')
		}
		h.observer.APIRequest(MethodPublish, status, time.Since(start))
		done(out)
	})
	return true
}
