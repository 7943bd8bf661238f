package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Defaults of SubscriberConfig.
const (
	DefaultMinDelay = 200 * time.Millisecond
	DefaultMaxDelay = 20 * time.Second
	DefaultTimeout  = 10 * time.Second
	DefaultMaxFrame = 16 << 20
)

// Channel is one channel to subscribe to.
type Channel struct {
	Name  string
	Token string    // subscription token; "": none
	Since *Position // bring what follows it; nil: from now on
}

// SubscriberConfig says what a Subscriber listens to, and who is told. Zero
// fields mean their defaults. The functions are called one at a time on Run's
// goroutine: while one works nothing is read, and one that works for long makes
// the server end the connection, after which the Subscriber comes back with its
// position.
type SubscriberConfig struct {
	Channels []Channel
	Token    string // connection token; "": none
	Name     string // what the client calls itself to the server

	// Refresh fetches a token in place of an expired one: the connection's for
	// "", otherwise that of a channel. nil: an expired token is final.
	Refresh func(ctx context.Context, channel string) (token string, err error)

	OnPublication  func(channel string, p *Publication)
	OnSubscribed   func(channel string, s Subscribed)
	OnDisconnected func(err error, retryIn time.Duration) // the connection is lost, and tried again

	MinDelay   time.Duration // ceiling of the first wait before coming back
	MaxDelay   time.Duration // and of the last
	Timeout    time.Duration // of the handshake with its connect reply, of a write, and of silence beyond the server's ping interval
	MaxFrame   int64         // bytes of one frame of the server; a larger one is final
	HTTPClient *http.Client  // makes the handshake; nil: http.DefaultClient
	Header     http.Header   // of the handshake
}

// Subscribed tells that publications of a channel come from here on.
type Subscribed struct {
	Position         // where it starts; zero: the channel has none for this client
	Recoverable bool // the Subscriber can come back to this channel without loss
	Recovered   bool // what was missed since the last position follows
	// Lost: it came back, or started at Since, and the server could not bring what
	// was published in between, which may be nothing or much.
	Lost bool
}

// SubscribeError says why a channel cannot be listened to any more. Its cause is
// an *Error; of a code from 2000 when the server ended the subscription.
type SubscribeError struct {
	Channel string
	Err     error
}

// Error implements error.
func (e *SubscribeError) Error() string { return fmt.Sprintf("channel %s: %s", e.Channel, e.Err) }

// Unwrap gives the cause.
func (e *SubscribeError) Unwrap() error { return e.Err }

// Subscriber listens to channels. Publications of each come in order; those with
// an offset without gap and duplicate, or Subscribed.Lost says where.
type Subscriber struct {
	cfg   SubscriberConfig
	url   string
	token string
	stale bool // token has expired
	subs  map[string]*subscription
	order []*subscription
}

// NewSubscriber makes a Subscriber of the server at addr: "host:port", or a URL
// with http, https, ws or wss. A path in it is where the server's own paths
// begin; that of a ws or wss URL is the whole.
func NewSubscriber(addr string, cfg SubscriberConfig) (*Subscriber, error) {
	u, err := parseAddress(addr, "ws", "wss", "http", "https")
	if err != nil {
		return nil, err
	}
	if len(cfg.Channels) == 0 {
		return nil, errors.New("no channel to subscribe to")
	}
	s := &Subscriber{cfg: cfg.withDefaults(), url: endpoint(u), token: cfg.Token, subs: make(map[string]*subscription)}
	for _, c := range cfg.Channels {
		switch {
		case c.Name == "":
			return nil, errors.New("a channel needs a name")
		case s.subs[c.Name] != nil:
			return nil, fmt.Errorf("channel %s: given twice", c.Name)
		}
		sub := newSubscription(c, s.backoff())
		s.subs[c.Name] = sub
		s.order = append(s.order, sub)
	}
	return s, nil
}

func (s *Subscriber) backoff() backoff { return backoff{first: s.cfg.MinDelay, last: s.cfg.MaxDelay} }

func endpoint(u *url.URL) string {
	whole := strings.HasPrefix(u.Scheme, "ws") && strings.Trim(u.Path, "/") != ""
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	if whole {
		return u.String()
	}
	return u.JoinPath("connection", "websocket").String()
}

func (c SubscriberConfig) withDefaults() SubscriberConfig {
	if c.MinDelay <= 0 {
		c.MinDelay = DefaultMinDelay
	}
	if c.MaxDelay <= 0 {
		c.MaxDelay = max(DefaultMaxDelay, c.MinDelay)
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxFrame <= 0 {
		c.MaxFrame = DefaultMaxFrame
	}
	if c.OnPublication == nil {
		c.OnPublication = func(string, *Publication) {}
	}
	if c.OnSubscribed == nil {
		c.OnSubscribed = func(string, Subscribed) {}
	}
	if c.OnDisconnected == nil {
		c.OnDisconnected = func(error, time.Duration) {}
	}
	return c
}

// Run connects, subscribes and listens, and comes back when the connection is
// lost, until ctx ends (its cause is returned) or an error that coming back
// cannot mend: an *Error of the connection, or a *SubscribeError of a channel.
// It is called once at a time; called again it goes on from where it stood.
func (s *Subscriber) Run(ctx context.Context) error {
	delay := s.backoff()
	for {
		lived, err := s.attend(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case s.expired(err):
			s.stale = true
		case final(err):
			return err
		}
		delay.after(lived)
		wait := delay.next()
		s.cfg.OnDisconnected(err, wait)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// expired says whether another connection token mends err.
func (s *Subscriber) expired(err error) bool {
	var sub *SubscribeError
	if s.cfg.Refresh == nil || errors.As(err, &sub) {
		return false
	}
	code := CodeOf(err)
	return code == CodeTokenExpired || code == codeConnectionExpired
}

// freshToken is the connection token, a new one if it has expired. Where none
// can be had now, the connection is tried again later.
func (s *Subscriber) freshToken(ctx context.Context) error {
	if !s.stale {
		return nil
	}
	token, err := s.cfg.Refresh(ctx, "")
	if err != nil {
		return fmt.Errorf("fetch a connection token: %w", err)
	}
	s.token, s.stale = token, false
	return nil
}
