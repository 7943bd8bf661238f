package centrifuge

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeSession writes down what it is asked, and answers what it was told to:
// with an error, at once, or when its answers are released.
type fakeSession struct {
	calls []string // what was asked and not yet looked at
	sent  []string // frames
	ended *hub.Disconnect

	errs     map[string]error // by operation, for ever
	holding  bool
	held     []func()
	sub      hub.SubscribeResult
	history  engine.HistoryResult
	members  engine.Members
	expireIn uint32
	rpc      hub.RPCResult // without Data: there is no backend
	publish  []hub.ClientPublish
	secret   string // of an emulated session
	node     string
}

func newFake() *fakeSession {
	return &fakeSession{errs: map[string]error{}}
}

func (f *fakeSession) note(format string, args ...any) {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

// answer calls done now, or once released.
func answer[T any](f *fakeSession, op string, res T, done func(T, error)) {
	err := f.errs[op]
	fn := func() {
		if f.ended == nil {
			done(res, err)
		}
	}
	if f.holding {
		f.held = append(f.held, fn)
		return
	}
	fn()
}

func (f *fakeSession) release() {
	held := f.held
	f.held, f.holding = nil, false
	for _, fn := range held {
		fn()
	}
}

func (f *fakeSession) Send(p []byte) {
	if f.ended == nil {
		f.sent = append(f.sent, string(p))
	}
}

func (f *fakeSession) Disconnect(d hub.Disconnect) {
	if f.ended == nil {
		f.ended = &d
	}
}

func (f *fakeSession) Emulation() (secret, node string) { return f.secret, f.node }
func (f *fakeSession) MayCall() error                   { return f.errs["may call"] }
func (f *fakeSession) Alive() bool                      { return f.ended == nil }
func (f *fakeSession) Pong()                            { f.note("pong") }

func (f *fakeSession) connectResult() hub.ConnectResult {
	return hub.ConnectResult{Client: "c1", Expires: f.expireIn > 0, ExpireIn: f.expireIn, Ping: 25, Pong: true}
}

func (f *fakeSession) Connect(r hub.ConnectRequest, done func(hub.ConnectResult, error)) {
	f.note("connect token=%q name=%q version=%q", r.Token, r.Name, r.Version)
	answer(f, methodConnect, f.connectResult(), done)
}

func (f *fakeSession) Refresh(token string, done func(hub.ConnectResult, error)) {
	f.note("refresh token=%q", token)
	answer(f, methodRefresh, f.connectResult(), done)
}

func (f *fakeSession) Subscribe(r hub.SubscribeRequest, done func(hub.SubscribeResult, error)) {
	if r.Delta != "" || r.Filter != nil {
		f.note("subscribe %q delta=%q filter=%v", r.Channel, r.Delta, r.Filter != nil)
	}
	f.note("subscribe %q token=%q recover=%v since=%s/%d positioned=%v recoverable=%v join_leave=%v",
		r.Channel, r.Token, r.Recover, r.Since.Epoch, r.Since.Offset, r.Positioned, r.Recoverable, r.JoinLeave)
	res := f.sub
	res.Channel, res.WasRecovering, res.Since = r.Channel, r.Recover, r.Since.Offset
	answer(f, methodSubscribe, res, done)
}

func (f *fakeSession) RPC(r hub.RPC, done func(hub.RPCResult, error)) {
	f.note("%s", strings.TrimSpace(fmt.Sprintf("rpc %q %s", r.Method, r.Data)))
	err := f.errs[methodRPC]
	if err == nil && f.rpc.Data == nil {
		err = hub.ErrNotAvailable
	}
	done(f.rpc, err)
}

func (f *fakeSession) Unsubscribe(name string) { f.note("unsubscribe %q", name) }

func (f *fakeSession) SubRefresh(name, token string, done func(uint32, error)) {
	f.note("sub_refresh %q token=%q", name, token)
	answer(f, methodSubRefresh, f.expireIn, done)
}

func (f *fakeSession) Publish(p hub.ClientPublish, done func(engine.PublishResult, error)) {
	f.note("publish %q %s", p.Channel, p.Data)
	f.publish = append(f.publish, p)
	answer(f, methodPublish, engine.PublishResult{}, done)
}

func (f *fakeSession) History(name string, q hub.HistoryQuery, done func(engine.HistoryResult, error)) {
	since := "start"
	if q.Since != nil {
		since = fmt.Sprintf("%s/%d", q.Since.Epoch, q.Since.Offset)
	}
	f.note("history %q since=%s limit=%d reverse=%v", name, since, q.Limit, q.Reverse)
	answer(f, methodHistory, f.history, done)
}

func (f *fakeSession) Presence(name string, done func(engine.Members, error)) {
	f.note("presence %q", name)
	answer(f, methodPresence, f.members, done)
}

func (f *fakeSession) PresenceStats(name string, done func(engine.PresenceStats, error)) {
	f.note("presence_stats %q", name)
	answer(f, methodPresenceStats, engine.PresenceStats{Clients: len(f.members), Users: min(len(f.members), 1)}, done)
}

// named are the errors a transcript can ask for.
var named = map[string]error{
	"unauthorized":       hub.ErrUnauthorized,
	"unknown_channel":    hub.ErrUnknownChannel,
	"bad_request":        hub.ErrBadRequest,
	"permission_denied":  hub.ErrPermissionDenied,
	"already_subscribed": hub.ErrAlreadySubscribed,
	"not_subscribed":     hub.ErrNotSubscribed,
	"limit_exceeded":     hub.ErrLimitExceeded,
	"not_available":      hub.ErrNotAvailable,
	"hub_token_expired":  hub.ErrTokenExpired,
	"token_expired":      fmt.Errorf("verify: %w", channel.ErrTokenExpired),
	"token_invalid":      fmt.Errorf("verify: %w", channel.ErrTokenInvalid),
	"too_many_requests":  hub.ErrTooManyRequests,
	"busy":               hub.ErrBusy,
	"read_only":          hub.ErrReadOnly,
	"quota":              hub.ErrQuota,
	"unrecoverable":      hub.ErrUnrecoverable,
	"shutdown":           hub.ErrShutdown,
	"closed":             engine.ErrClosed,
	"disk":               errors.New("write /var/lib/secret: input/output error"),
}
