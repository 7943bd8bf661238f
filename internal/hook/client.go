package hook

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// Defaults of Config.
const (
	DefaultTimeout         = 3 * time.Second
	DefaultMaxConcurrent   = 256
	DefaultMaxReply        = 256 << 10
	DefaultBreakerFailures = 20
	DefaultBreakerPause    = 5 * time.Second
)

// MaxWaiting bounds the questions of one hook under way and waiting for a place, but
// for those that each App may have beside others'; those beyond are not asked.
const MaxWaiting = 10_000

// Endpoint is where a hook is asked.
type Endpoint struct {
	URL     string
	Timeout time.Duration // of a question, waiting and retries included; 0: DefaultTimeout
	Secret  []byte        // signs its questions; empty: the Secret of Config
}

// Config is what a Client is made of. HTTP is required.
type Config struct {
	Hooks         map[hub.Hook]Endpoint
	Backends      map[string]Endpoint // that questions about channels may name
	HTTP          *http.Client        // see egress; it must follow no redirects
	Secret        []byte              // signs questions; empty: they are not signed
	Headers       []string            // of the client's request that are passed on
	ClientHeaders []string            // of those that a client says in its connect

	MaxConcurrent   int           // questions of one hook and App under way; 0: DefaultMaxConcurrent
	MaxReply        int           // bytes of an answer; 0: DefaultMaxReply
	BreakerFailures int           // in a row that open the breaker of a hook and App; 0: DefaultBreakerFailures
	BreakerPause    time.Duration // until one question tries it again; 0: DefaultBreakerPause

	Log     *slog.Logger
	Metrics *metrics.Metrics
}

// Client asks a backend; it implements hub.Backend.
type Client struct {
	cfg   Config
	lines map[lineID]*line

	ctx    context.Context // of every call
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup
}

var _ hub.Backend = (*Client)(nil)

// lineID is who is asked what; backend is "" for that of the hook itself.
type lineID struct {
	hook    hub.Hook
	backend string
}

// DefaultBackend is another name for the backend of the hook itself: Centrifugo's.
const DefaultBackend = "default"

// Named lists the hooks that a namespace may have another backend for.
func Named() []hub.Hook { return []hub.Hook{hub.HookSubscribe, hub.HookPublish, hub.HookSubRefresh} }

// line is one hook of one backend. Each has its own places and breaker for each App, so
// that a slow one does not hold up the others.
type line struct {
	lineID

	url     string
	secret  []byte
	timeout time.Duration
	lanes   lanes
	times   metrics.Histogram
	warned  atomic.Int64 // Unix seconds of the last warning
	quiet   atomic.Int64 // failures since that were not told
}

// New makes a Client. Close ends it.
func New(cfg Config) *Client {
	cfg.setDefaults()
	c := &Client{cfg: cfg, lines: make(map[lineID]*line, len(cfg.Hooks))}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for hook, at := range cfg.Hooks {
		c.add(lineID{hook, ""}, at)
	}
	for name, at := range cfg.Backends {
		for _, hook := range Named() {
			c.add(lineID{hook, name}, at)
		}
	}
	for _, hook := range metrics.Hooks() {
		cfg.Metrics.HookBreaker[hook].Bind(func() int64 { return c.worst(hub.Hook(hook)) })
	}
	return c
}

func (c *Client) add(who lineID, at Endpoint) {
	l := &line{
		lineID: who, url: at.URL, secret: at.Secret, timeout: at.Timeout,
		lanes: lanes{make: c.lane, of: make(map[string]*lane)},
		times: c.cfg.Metrics.HookTimes[string(who.hook)],
	}
	if l.timeout == 0 {
		l.timeout = DefaultTimeout
	}
	if len(l.secret) == 0 {
		l.secret = c.cfg.Secret
	}
	c.lines[who] = l
}

func (c *Client) lane(app string) *lane {
	return &lane{
		app: app, places: make(chan struct{}, c.cfg.MaxConcurrent),
		breaker: breaker{limit: c.cfg.BreakerFailures, pause: c.cfg.BreakerPause},
	}
}

// worst is the state of that breaker of a hook which lets the fewest questions
// through.
func (c *Client) worst(hook hub.Hook) int64 {
	worst := int64(stateClosed)
	for who, l := range c.lines {
		if who.hook == hook {
			worst = worse(worst, l.lanes.worst())
		}
	}
	return worst
}

func (c *Config) setDefaults() {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = metrics.New("")
	}
	if c.MaxConcurrent == 0 {
		c.MaxConcurrent = DefaultMaxConcurrent
	}
	if c.MaxReply == 0 {
		c.MaxReply = DefaultMaxReply
	}
	if c.BreakerFailures == 0 {
		c.BreakerFailures = DefaultBreakerFailures
	}
	if c.BreakerPause == 0 {
		c.BreakerPause = DefaultBreakerPause
	}
}

// Close ends the questions under way, which count as not answered, and returns when
// all are.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.calls.Wait()
	c.cfg.HTTP.CloseIdleConnections()
}

// Asks implements hub.Backend.
func (c *Client) Asks(hook hub.Hook) bool {
	for who := range c.lines {
		if who.hook == hook {
			return true
		}
	}
	return false
}

// Ask implements hub.Backend. What need not be tried is answered at once, without a
// goroutine: a backend that is down costs little.
func (c *Client) Ask(q hub.Question, done func(hub.Answer, error)) {
	who := lineID{q.Hook, q.Backend}
	if who.backend == DefaultBackend {
		who.backend = ""
	}
	l := c.lines[who]
	if l == nil {
		c.cfg.Log.Debug("permission denied", "channel", q.Channel, "user", q.User, "rule", "the namespace asks a backend that is not set", "backend", q.Backend)
		done(hub.Answer{}, hub.ErrNoAnswer)
		return
	}
	if why := c.admit(l, &q, done); why != "" {
		c.finish(l, why, nil)
		done(hub.Answer{}, hub.ErrNoAnswer)
	}
}

// admit starts a question, or says why it is not asked.
func (c *Client) admit(l *line, q *hub.Question, done func(hub.Answer, error)) (why metrics.HookOutcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return metrics.HookStopping
	}
	now := time.Now()
	at, room := l.lanes.enter(q.App, now)
	if !room {
		return metrics.HookBusy
	}
	if !at.breaker.allow(now) {
		l.lanes.leave(at)
		return metrics.HookBreakerOpen
	}
	c.calls.Go(func() {
		answer, err := c.ask(l, at, q)
		l.lanes.leave(at)
		done(answer, err)
	})
	return ""
}

// ask puts one question, from its place in line to its outcome.
func (c *Client) ask(l *line, at *lane, q *hub.Question) (hub.Answer, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(c.ctx, l.timeout)
	defer cancel()
	defer func() { l.times.Took(time.Since(start)) }()
	if !c.take(ctx, at) {
		at.breaker.pass()
		c.finish(l, metrics.HookBusy, ctx.Err())
		return hub.Answer{}, hub.ErrNoAnswer
	}
	c.cfg.Metrics.HooksOpen.Add(1)
	body, err := c.call(ctx, l, q)
	c.cfg.Metrics.HooksOpen.Add(-1)
	<-at.places

	outcome := outcomeOf(err)
	if outcome == metrics.HookTimeout && c.ctx.Err() != nil {
		outcome = metrics.HookStopping
	}
	c.judge(l, at, outcome, err)
	if err != nil {
		c.finish(l, outcome, err)
		return hub.Answer{}, hub.ErrNoAnswer
	}
	answer, outcome, err := parse(q.Hook, body)
	switch outcome {
	case metrics.HookError, metrics.HookDisconnect:
		c.finish(l, outcome, nil)
		return hub.Answer{}, err
	case metrics.HookOK:
		c.finish(l, outcome, nil)
		return answer, nil
	}
	c.finish(l, outcome, err)
	return hub.Answer{}, hub.ErrNoAnswer
}

// take waits for a place.
func (c *Client) take(ctx context.Context, at *lane) bool {
	c.cfg.Metrics.HooksWait.Add(1)
	defer c.cfg.Metrics.HooksWait.Add(-1)
	select {
	case at.places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// judge tells the breaker. Only what a backend does not do for anybody counts as its
// failure: an answer that makes no sense may be what one client has asked for.
func (c *Client) judge(l *line, at *lane, outcome metrics.HookOutcome, err error) {
	switch {
	case outcome == metrics.HookStopping:
		at.breaker.pass()
	case outcome == metrics.HookTimeout, outcome == metrics.HookUnreachable, outcome == metrics.HookBroken, isServerError(err):
		if at.breaker.failed(time.Now()) {
			c.cfg.Log.Warn("hook breaker is open", "hook", string(l.hook), "backend", l.backend, "app", at.app, "pause", c.cfg.BreakerPause, "error", err)
		}
	default:
		if at.breaker.worked() {
			c.cfg.Log.Info("hook breaker is closed again", "hook", string(l.hook), "backend", l.backend, "app", at.app)
		}
	}
}

// finish counts an outcome. Failures are warned of once in a second for each hook.
func (c *Client) finish(l *line, outcome metrics.HookOutcome, err error) {
	c.cfg.Metrics.HookCalls.Of(metrics.HookCall{Hook: string(l.hook), Outcome: outcome}).Inc()
	switch outcome {
	case metrics.HookOK, metrics.HookError, metrics.HookDisconnect, metrics.HookStopping:
		return
	}
	now := time.Now().Unix()
	last := l.warned.Load()
	if now == last || !l.warned.CompareAndSwap(last, now) {
		l.quiet.Add(1)
		return
	}
	c.cfg.Log.Warn("hook failed", "hook", string(l.hook), "backend", l.backend, "outcome", string(outcome), "error", err, "not_told", l.quiet.Swap(0))
}
