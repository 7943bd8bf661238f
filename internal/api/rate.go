package api

import (
	"net/http"
	"time"
)

// Allow takes one request of what an API key may ask for in a second; when that is
// too much, wait is until it no longer is. It must not block.
type Allow func(key string) (wait time.Duration, ok bool)

// tooOften refuses a request whose key, which has been checked, asks too often;
// nil: it does not.
func (h *Handler) tooOften(key string) *fault {
	if h.allow == nil {
		return nil
	}
	wait, ok := h.allow(key)
	if ok {
		return nil
	}
	f := temporary(codeTooManyRequests, http.StatusTooManyRequests, "too many requests with this API key: nothing was done, try again")
	f.after = wait
	return f
}
