package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"time"

	"github.com/fanfare-push/fanfare/internal/egress"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// Headers of a question, which no client can set.
const (
	HeaderHook      = "X-Fanfare-Hook"      // which hook
	HeaderTimestamp = "X-Fanfare-Timestamp" // when it was asked, Unix seconds
	HeaderSignature = "X-Fanfare-Signature" // see Sign
)

// A question that finds no connection is asked again: nothing has been sent.
const (
	maxAttempts  = 3
	firstRetryIn = 100 * time.Millisecond // doubles
)

// Sign is what HeaderSignature says: "v1=" and the HMAC-SHA256, in hex, of the
// timestamp, the hook and the body with a dot between each.
func Sign(secret []byte, timestamp string, hook hub.Hook, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s.%s.", timestamp, hook) // a hash takes everything
	_, _ = mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// failure is a question without an answer.
type failure struct {
	outcome metrics.HookOutcome
	status  int // of HTTP, where that is it
	err     error
}

func (f *failure) Error() string {
	if f.status != 0 {
		return fmt.Sprintf("answered with status %d", f.status)
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

func outcomeOf(err error) metrics.HookOutcome {
	var f *failure
	switch {
	case err == nil:
		return metrics.HookOK
	case errors.As(err, &f):
		return f.outcome
	}
	return metrics.HookMalformed
}

// isServerError reports a backend that says itself that it fails.
func isServerError(err error) bool {
	var f *failure
	return errors.As(err, &f) && (f.status >= http.StatusInternalServerError || f.status == http.StatusTooManyRequests)
}

// call posts a question, again where that is harmless, and reads the answer.
func (c *Client) call(ctx context.Context, l *line, q *hub.Question) ([]byte, error) {
	body := encode(q)
	for attempt := 1; ; attempt++ {
		reply, sent, err := c.post(ctx, l, q, body)
		if err == nil || sent || attempt == maxAttempts || ctx.Err() != nil || outcomeOf(err) != metrics.HookUnreachable {
			return reply, err
		}
		if !pause(ctx, firstRetryIn<<(attempt-1)) {
			return nil, err
		}
		c.cfg.Metrics.HookRetries.Inc()
	}
}

// pause waits for about d; false: ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// post makes one attempt; sent reports whether the backend may have seen it.
func (c *Client) post(ctx context.Context, l *line, q *hub.Question, body []byte) (reply []byte, sent bool, err error) {
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent = true }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return nil, false, &failure{outcome: metrics.HookAddress, err: err}
	}
	c.setHeaders(req, l, q, body)
	res, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return nil, sent, &failure{outcome: whyNot(ctx, err, sent), err: err}
	}
	defer func() { _ = res.Body.Close() }()
	reply, err = io.ReadAll(io.LimitReader(res.Body, int64(c.cfg.MaxReply)+1))
	switch {
	case res.StatusCode < 200 || res.StatusCode > 299:
		return nil, true, &failure{outcome: metrics.HookStatus, status: res.StatusCode}
	case err != nil:
		return nil, true, &failure{outcome: whyNot(ctx, err, true), err: err}
	case len(reply) > c.cfg.MaxReply:
		return nil, true, &failure{outcome: metrics.HookTooLarge, err: fmt.Errorf("the answer has more than %d bytes", c.cfg.MaxReply)}
	}
	return reply, true, nil
}

func (c *Client) setHeaders(req *http.Request, l *line, q *hub.Question, body []byte) {
	passOn(req.Header, c.cfg.Headers, c.cfg.ClientHeaders, q)
	req.Header.Set("Content-Type", "application/json")
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "fanfare")
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set(HeaderHook, string(q.Hook))
	req.Header.Set(HeaderTimestamp, now)
	if len(l.secret) > 0 {
		req.Header.Set(HeaderSignature, Sign(l.secret, now, q.Hook, body))
	}
	if q.Hook != hub.HookPublish && q.Hook != hub.HookRPC {
		// What only asks may be sent again on another connection when an idle one turns
		// out to be closed. net/http does so with this header, and does not send it.
		req.Header["Idempotency-Key"] = nil
	}
}

// whyNot says what an error of net/http is.
func whyNot(ctx context.Context, err error, sent bool) metrics.HookOutcome {
	switch {
	case errors.Is(err, egress.ErrAddress), errors.Is(err, egress.ErrScheme), errors.Is(err, egress.ErrURL):
		return metrics.HookAddress
	case ctx.Err() != nil:
		return metrics.HookTimeout
	case !sent:
		return metrics.HookUnreachable
	}
	return metrics.HookBroken
}
