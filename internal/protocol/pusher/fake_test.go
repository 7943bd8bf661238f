package pusher

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The session of every transcript, as the hub and as the protocol call it.
const (
	sessionID = "00000000-0000-0001-0000-000000000002"
	socketID  = "1.2"
)

// fakeSession writes down what it is asked, and answers what it was told to:
// with an error, at once, or when its answers are released.
type fakeSession struct {
	calls []string // what was asked and not yet looked at
	sent  []string // messages
	ended *hub.Disconnect

	errs    map[string]error // by operation, for ever
	holding bool
	held    []func()
	sub     hub.SubscribeResult
	probes  bool // the transport can ask for a sign of life
	online  []string
	app     string // that it was opened for; "": key
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

// Disconnect takes the reason as the client is told it.
func (f *fakeSession) Disconnect(d hub.Disconnect) {
	if f.ended == nil {
		d = farewell(d)
		f.ended = &d
	}
}

func (f *fakeSession) Alive() bool { return f.ended == nil }
func (f *fakeSession) Pong()       {}

func (f *fakeSession) Probe() bool {
	if f.probes {
		f.note("probe")
	}
	return f.probes
}

// App is that of the key "key", see fakeKeys.
func (f *fakeSession) App() string { return cmp.Or(f.app, "key") }

func (f *fakeSession) Member(name string) string { return "member-of-" + name }

func (f *fakeSession) Connect(r hub.ConnectRequest, done func(hub.ConnectResult, error)) {
	f.note("connect vouched=%t name=%q version=%q", r.Vouched, r.Name, r.Version)
	answer(f, "connect", hub.ConnectResult{Client: sessionID}, done)
}

func (f *fakeSession) SignIn(user string, info []byte) error {
	f.note("signin %q %s", user, info)
	return f.errs["signin"]
}

func (f *fakeSession) Watch(users []string, done func([]string)) {
	f.note("watch %q", users)
	done(f.online)
}

func (f *fakeSession) Subscribe(r hub.SubscribeRequest, done func(hub.SubscribeResult, error)) {
	f.note("subscribe %q%s%s", r.Channel, grantText(r.Grant), wishes(&r))
	answer(f, "subscribe", f.sub, done)
}

func grantText(g *channel.SubscriptionGrant) string {
	if g == nil {
		return ""
	}
	text := " grant " + g.Channel
	for _, part := range [][2]string{{"user", g.User}, {"member", g.Member}, {"info", string(g.Info)}, {"may", opText(g.Ops)}} {
		if part[1] != "" {
			text += " " + part[0] + "=" + part[1]
		}
	}
	return text
}

func opText(o channel.Op) string {
	if o == 0 {
		return ""
	}
	return o.String()
}

func wishes(r *hub.SubscribeRequest) (text string) {
	for _, wish := range []struct {
		name string
		on   bool
	}{
		{"live", r.Live},
		{"latest", r.Latest},
		{"members", r.Members && r.MaxMembers == MaxMembers},
		{"users", r.Users && r.JoinLeave},
		{"count", r.Count},
	} {
		if wish.on {
			text += " +" + wish.name
		}
	}
	return text
}

func (f *fakeSession) Unsubscribe(name string) { f.note("unsubscribe %q", name) }

func (f *fakeSession) Publish(p hub.ClientPublish, done func(engine.PublishResult, error)) {
	f.note("publish %q %s %s to others=%t", p.Channel, p.Event, p.Data, p.ToOthers)
	answer(f, "publish", engine.PublishResult{}, done)
}

// fakeTeller writes down what a backend would be told.
type fakeTeller struct{ f *fakeSession }

func (t fakeTeller) ClientEvent(ch channel.ID, event string, data []byte, socket, user string) {
	t.f.note("tell client_event %q %s %s from %s %q", ch.Name, event, data, socket, user)
}

func (t fakeTeller) CacheMiss(ch channel.ID) { t.f.note("tell cache_miss %q", ch.Name) }

// fakeKeys are the secrets of keys, each that of an App of the same name.
type fakeKeys map[string]string

func (k fakeKeys) App(key string) (string, bool) {
	_, known := k[key]
	return key, known
}

func (k fakeKeys) Signed(key, text, signature string) bool { return Signed(k[key], text, signature) }

// named are the errors a transcript can ask for.
var named = map[string]error{
	"unknown_channel":    hub.ErrUnknownChannel,
	"bad_request":        hub.ErrBadRequest,
	"permission_denied":  hub.ErrPermissionDenied,
	"already_subscribed": hub.ErrAlreadySubscribed,
	"limit_exceeded":     hub.ErrLimitExceeded,
	"busy":               hub.ErrBusy,
	"read_only":          hub.ErrReadOnly,
	"quota":              hub.ErrQuota,
	"too_many_requests":  hub.ErrTooManyRequests,
	"shutdown":           hub.ErrShutdown,
	"disk":               errors.New("write /var/lib/secret: input/output error"),
}

func TestEveryErrorHasAName(t *testing.T) {
	if !slices.IsSortedFunc(Codes(), func(a, b uint32) int { return int(a) - int(b) }) {
		t.Error("codes are not in order")
	}
	for name, err := range named {
		if _, known := refusalOf(fmt.Errorf("subscribe: %w", err)); known == (name == "disk") {
			t.Errorf("%s: known %t", name, known)
		}
	}
}
