package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// Limits of one call.
const (
	maxEvents = 100
	maxBody   = 1 << 20  // of events, before they are put together
	maxAnswer = 64 << 10 // of an answer that is read, so that its connection can serve again
)

// The delay before a call is tried again doubles from the first to the last.
const (
	firstDelay = time.Second
	lastDelay  = 30 * time.Second
)

// sender tells one receiver everything, in order.
type sender struct {
	d      *Dispatcher
	url    string
	target string        // url without user
	user   *url.Userinfo // nil: the receiver asks for none
	name   string        // url without a password
	log    *slog.Logger
	client *http.Client
	more   chan struct{} // there may be something in the queue

	at engine.Position // up to here everything is told
}

func newSender(d *Dispatcher, target string, at engine.Position) *sender {
	name, plain := target, target
	var user *url.Userinfo
	if u, err := url.Parse(target); err == nil {
		name, user = u.Redacted(), u.User
		u.User = nil
		plain = u.String()
	}
	return &sender{
		d: d, url: target, target: plain, user: user, name: name, log: d.log.With("url", name), more: make(chan struct{}, 1), at: at,
		client: &http.Client{
			Transport: d.cfg.Transport, Timeout: d.cfg.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// run tells what is in the queue until ctx ends. calls ends later, when what is
// under way has to be given up.
func (s *sender) run(ctx, calls context.Context) {
	delay := time.Duration(0)
	for ctx.Err() == nil {
		told, err := s.step(calls)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			delay = min(max(2*delay, firstDelay), lastDelay)
			s.log.Warn("webhook failed", "again_in", delay, "error", err)
			wait(ctx, nil, delay/2+rand.N(delay/2+1))
		case told:
			delay = 0
		default:
			wait(ctx, s.more, idle)
		}
	}
}

// idle is how long a sender waits for news of the queue before it looks by itself.
const idle = 30 * time.Second

// wait returns when there is news, after d, or when ctx ends.
func wait(ctx context.Context, news <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-news:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// step makes one call with what comes next; told is false when nothing does.
func (s *sender) step(ctx context.Context) (told bool, err error) {
	res, err := s.d.waiting(ctx, s.at)
	if err != nil || len(res.Publications) == 0 {
		return false, err
	}
	pubs := res.Publications
	if s.at.Epoch == res.Top.Epoch && pubs[0].Offset > s.at.Offset+1 {
		s.drop(pubs[0].Offset-s.at.Offset-1, metrics.DropWebhookQueue)
	}
	next := engine.Position{Epoch: res.Top.Epoch, Offset: pubs[len(pubs)-1].Offset}
	if err := s.call(ctx, pubs, next); err != nil {
		s.d.cfg.Metrics.WebhookFailed.Inc()
		return s.giveUp(ctx, pubs, res.Top.Epoch, err), err
	}
	s.d.cfg.Metrics.WebhookSent.Inc()
	s.at = next
	return true, s.d.advance(ctx, s.url, s.at)
}

// giveUp passes over the events that have been tried for long enough. They are
// kept as dead letters.
func (s *sender) giveUp(ctx context.Context, pubs []*engine.Publication, epoch string, why error) bool {
	oldest := time.Now().Add(-s.d.cfg.RetryFor).UnixMilli()
	n := 0
	for n < len(pubs) && pubs[n].Time <= oldest {
		n++
	}
	if n == 0 || ctx.Err() != nil {
		return false
	}
	s.drop(uint64(n), metrics.DropWebhookExpired)
	s.d.lay(s.name, pubs[:n], why)
	s.at = engine.Position{Epoch: epoch, Offset: pubs[n-1].Offset}
	if err := s.d.advance(ctx, s.url, s.at); err != nil {
		s.log.Warn("webhook position is not kept", "error", err)
	}
	return true
}

func (s *sender) drop(n uint64, why metrics.DropReason) {
	s.d.cfg.Metrics.Drops.Of(why).Add(n)
	s.log.Warn("webhook events are dropped", "events", n, "reason", string(why))
}

// call posts events, which end at a position.
func (s *sender) call(ctx context.Context, pubs []*engine.Publication, end engine.Position) error {
	body := strconv.AppendInt([]byte(`{"time_ms":`), pubs[0].Time, 10)
	body = append(body, `,"events":[`...)
	for i, pub := range pubs {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, pub.Data...)
	}
	body = append(body, "]}"...)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if s.user != nil {
		password, _ := s.user.Password()
		req.SetBasicAuth(s.user.Username(), password)
	}
	mac := hmac.New(sha256.New, []byte(s.d.cfg.Secret))
	mac.Write(body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Pusher-Key", s.d.cfg.Key)
	req.Header.Set("X-Pusher-Signature", hex.EncodeToString(mac.Sum(nil)))
	// The same events may be told twice; their id is the same then.
	req.Header.Set("X-Fanfare-Webhook-Id", fmt.Sprintf("%s-%d-%d", end.Epoch, pubs[0].Offset, end.Offset))
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // only its status counts
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("answered with status %d", res.StatusCode)
	}
	return nil
}
