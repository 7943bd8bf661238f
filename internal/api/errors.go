package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// Error codes of replies: those of the Centrifuge protocol.
const (
	codeInternal         = 100
	codeUnauthorized     = 101
	codeUnknownChannel   = 102
	codePermissionDenied = 103
	codeNotFound         = 104
	codeLimitExceeded    = 106
	codeBadRequest       = 107
	codeNotAvailable     = 108
	codeTooManyRequests  = 111
	codeUnrecoverable    = 112
)

// fault is an error as a backend is told it.
type fault struct {
	code      uint32
	status    int // HTTP
	message   string
	temporary bool          // the same request may succeed later
	requestID string        // connects an internal error with the log
	after     time.Duration // with temporary: when; 0: soon
}

func (f *fault) Error() string { return f.message }

func final(code uint32, status int, message string) *fault {
	return &fault{code: code, status: status, message: message}
}

func temporary(code uint32, status int, message string) *fault {
	return &fault{code: code, status: status, message: message, temporary: true}
}

// table is the one place that gives a hub's error a code. What is not in it is
// an internal error, of which nothing but that is told.
var table = []struct {
	err   error
	fault *fault
}{
	{hub.ErrUnknownApp, final(codeUnauthorized, http.StatusUnauthorized, "the app of this key has been removed")},
	{hub.ErrUnknownChannel, final(codeUnknownChannel, http.StatusNotFound, "unknown channel")},
	{hub.ErrPermissionDenied, final(codePermissionDenied, http.StatusForbidden, "permission denied")},
	{hub.ErrLimitExceeded, final(codeLimitExceeded, http.StatusRequestEntityTooLarge, "limit exceeded")},
	{hub.ErrBadRequest, final(codeBadRequest, http.StatusBadRequest, "bad request")},
	{hub.ErrNotAvailable, final(codeNotAvailable, http.StatusBadRequest, "not available")},
	{hub.ErrBusy, temporary(codeTooManyRequests, http.StatusTooManyRequests, "too many requests: nothing was stored, try again")},
	{hub.ErrTooManyRequests, temporary(codeTooManyRequests, http.StatusTooManyRequests, "too many requests")},
	{hub.ErrReadOnly, temporary(codeTooManyRequests, http.StatusServiceUnavailable, "the store is read-only for want of space: nothing was stored, try again later")},
	{hub.ErrQuota, final(codeLimitExceeded, http.StatusRequestEntityTooLarge, "the app has as much history as it may store: nothing was stored, nor is it before some of that expires or is removed")},
	{hub.ErrUnrecoverable, final(codeUnrecoverable, http.StatusRequestedRangeNotSatisfiable, "unrecoverable position: of another epoch, or above the channel's top")},
	{hub.ErrShutdown, temporary(codeInternal, http.StatusServiceUnavailable, "shutting down: nothing was stored, try another node or later")},
	{engine.ErrClosed, unknownOutcome},
	{context.Canceled, unknownOutcome},
	{context.DeadlineExceeded, unknownOutcome},
}

var unknownOutcome = temporary(codeInternal, http.StatusServiceUnavailable, "no answer in time: whether it was done is unknown, repeat it with the same idempotency_key")

// faultOf names an error; nil: it has no name, and its text belongs into the log.
func faultOf(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	for i := range table {
		if errors.Is(err, table[i].err) {
			return table[i].fault
		}
	}
	return nil
}

// faultOf names an error for a reply. An internal one is logged, once, with an
// id that the reply repeats.
func (h *Handler) faultOf(ctx context.Context, method string, err error) *fault {
	if f := faultOf(err); f != nil {
		return f
	}
	f := temporary(codeInternal, http.StatusInternalServerError, "internal server error")
	f.requestID = rand.Text()
	h.log.ErrorContext(ctx, "api call failed", "request_id", f.requestID, "method", method, "error", err)
	return f
}

// about adds to the hub's plain errors what they mean for a channel. what is the
// namespace option that makes the operation available.
func about(name, what string, err error) error {
	switch {
	case errors.Is(err, hub.ErrUnknownChannel):
		return final(codeUnknownChannel, http.StatusNotFound,
			fmt.Sprintf("unknown channel: no namespace %q is defined", channel.NamespaceOf(name)))
	case errors.Is(err, hub.ErrBadRequest):
		return badRequest("channel: the namespace's channel_regex refuses it")
	case errors.Is(err, hub.ErrNotAvailable):
		return final(codeNotAvailable, http.StatusBadRequest, "not available: "+what+" is off in the channel's namespace")
	}
	return err
}

func badRequest(format string, args ...any) error {
	return final(codeBadRequest, http.StatusBadRequest, fmt.Sprintf(format, args...))
}

func limitExceeded(format string, args ...any) error {
	return final(codeLimitExceeded, http.StatusRequestEntityTooLarge, fmt.Sprintf(format, args...))
}
