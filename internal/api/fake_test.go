package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/tenant"
)

const testKey = "key of the tests"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeHub answers with what it is given and remembers what it was asked.
type fakeHub struct {
	err     error // of every method that can fail
	history engine.HistoryResult
	members engine.Members
	rows    []hub.ChannelInfo
	more    bool

	// onPublish answers instead of err, when it is set.
	onPublish func(p hub.Publish) (engine.PublishResult, error)

	mu       sync.Mutex
	asked    []any
	together []int // sizes of what PublishAll was given
}

// Questions beside hub.Publish and hub.ChannelQuery.
type (
	askedHistory struct {
		app, channel string
		query        hub.HistoryQuery
	}
	askedChannel struct{ method, app, channel string }
	askedSession struct {
		target  hub.Target
		channel string
		options engine.SubscribeOptions
		goodbye hub.Disconnect
	}
)

func (f *fakeHub) note(question any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, question)
}

// questions gives what was asked since the last call.
func (f *fakeHub) questions() []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

func (f *fakeHub) Publish(_ context.Context, p hub.Publish) (engine.PublishResult, error) {
	f.note(p)
	if f.onPublish != nil {
		return f.onPublish(p)
	}
	return engine.PublishResult{Position: engine.Position{Epoch: "e", Offset: 7}}, f.err
}

// PublishThen answers before it returns.
func (f *fakeHub) PublishThen(p hub.Publish, done func(engine.PublishResult, error)) {
	done(f.Publish(context.Background(), p))
}

// PublishAll answers as Publish does, once all have been handed in.
func (f *fakeHub) PublishAll(ctx context.Context, all []hub.Publish) []hub.Published {
	f.mu.Lock()
	f.together = append(f.together, len(all))
	f.mu.Unlock()
	out := make([]hub.Published, len(all))
	for i, p := range all {
		out[i].PublishResult, out[i].Err = f.Publish(ctx, p)
	}
	return out
}

func (f *fakeHub) History(_ context.Context, app, channel string, q hub.HistoryQuery) (engine.HistoryResult, error) {
	f.note(askedHistory{app, channel, q})
	return f.history, f.err
}

func (f *fakeHub) RemoveHistory(_ context.Context, app, channel string) error {
	f.note(askedChannel{"history_remove", app, channel})
	return f.err
}

func (f *fakeHub) Presence(_ context.Context, app, channel string) (engine.Members, error) {
	f.note(askedChannel{"presence", app, channel})
	return f.members, f.err
}

func (f *fakeHub) PresenceStats(_ context.Context, app, channel string) (engine.PresenceStats, error) {
	f.note(askedChannel{"presence_stats", app, channel})
	return engine.PresenceStats{Clients: 3, Users: 2}, f.err
}

func (f *fakeHub) Subscribe(_ context.Context, t hub.Target, channel string, o engine.SubscribeOptions) error {
	f.note(askedSession{target: t, channel: channel, options: o})
	return f.err
}

func (f *fakeHub) Unsubscribe(_ context.Context, t hub.Target, channel string) error {
	f.note(askedSession{target: t, channel: channel})
	return f.err
}

func (f *fakeHub) Disconnect(_ context.Context, t hub.Target, d hub.Disconnect) error {
	f.note(askedSession{target: t, goodbye: d})
	return f.err
}

func (f *fakeHub) Channels(_ context.Context, q hub.ChannelQuery) (rows []hub.ChannelInfo, more bool, err error) {
	f.note(q)
	return f.rows, f.more, f.err
}

func (f *fakeHub) UseOfAll(_ context.Context, app string) ([]hub.AppUse, error) {
	all := []hub.AppUse{{App: "default", Sessions: 3, Users: 2, Channels: 1, Subscriptions: 4, Published: 5}, {App: "shop", Sessions: 7}}
	return slices.DeleteFunc(all, func(u hub.AppUse) bool { return app != "" && u.App != app }), f.err
}

// Info is of this node.
func (f *fakeHub) Info() hub.Info { return hub.Info{UID: "u"} }

// Nodes are two; with an App its use is Use's of it.
func (f *fakeHub) Nodes(_ context.Context, app string) ([]hub.Info, error) {
	nodes := []hub.Info{{
		UID: "u", Name: "n", Version: "v", Clients: 1, Users: 2, Channels: 3, Subs: 4,
		Uptime: 5*time.Second + time.Millisecond, Published: 6, Delivered: 7,
	}, {UID: "u2", Name: "n2", Version: "v"}}
	if app != "" {
		nodes[0].Clients, nodes[0].Users, nodes[0].Channels, nodes[0].Subs, nodes[0].Published, nodes[0].Delivered = 3, 2, 1, 4, 5, 0
	}
	return nodes, nil
}

// fixture is a handler over a fake hub, and what both left behind.
type fixture struct {
	hub      *fakeHub
	handler  *Handler
	observed []observation
	log      bytes.Buffer
	apps     *tenant.Registry
}

// fakeKeys are keys of the API by their secrets.
type fakeKeys map[string]fakeKey

type fakeKey struct {
	app   string
	scope tenant.Scope
}

func operatorOf(app string) fakeKey { return fakeKey{app, tenant.Operator} }

func (k fakeKeys) Caller(secret string) (*tenant.App, *tenant.Key, bool) {
	found, known := k[secret]
	return &tenant.App{Name: found.app}, &tenant.Key{Scope: found.scope}, known
}

func (k fakeKeys) Callers() bool { return len(k) > 0 }

// fakeLog keeps one channel in memory.
type fakeLog struct {
	mu  sync.Mutex
	all []*engine.Publication
}

func (l *fakeLog) Publish(req engine.PublishRequest, done func(engine.PublishResult, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	pub := req.Publication
	pub.Offset = uint64(len(l.all)) + 1
	l.all = append(l.all, &pub)
	done(engine.PublishResult{Position: engine.Position{Epoch: "e", Offset: pub.Offset}}, nil)
}

func (l *fakeLog) History(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	done(engine.HistoryResult{Publications: l.all[req.Since.Offset:], Top: engine.Position{Epoch: "e", Offset: uint64(len(l.all))}, Oldest: 1}, nil)
}

func (l *fakeLog) RemoveHistory(channel.ID, engine.Retention, func(error)) { panic("not asked for") }

// namespaces read no more of a namespace than its name and one option.
var namespaces = Namespaces{
	Parse: func(text []byte) (n channel.Namespace, err error) {
		var said struct {
			Name     string
			Presence bool
		}
		err = json.Unmarshal(text, &said)
		n.Name, n.Presence = said.Name, said.Presence
		return n, err
	},
	Print: func(n *channel.Namespace) ([]byte, error) {
		return json.Marshal(map[string]any{"name": n.Name, "presence": n.Presence})
	},
}

type observation struct {
	method string
	status int
}

func (f *fixture) APIRequest(method string, status int, took time.Duration) {
	if took < 0 {
		panic("negative duration")
	}
	f.observed = append(f.observed, observation{method, status})
}

// deadLetters are two.
func deadLetters(_ context.Context, limit int) ([]json.RawMessage, error) {
	letter := json.RawMessage(`{"url":"u","time_ms":1,"event":{"name":"e"},"error":"x"}`)
	return []json.RawMessage{letter, letter}[:min(limit, 2)], nil
}

// fakeNode has three clients.
type fakeNode struct{}

func (fakeNode) Overview(context.Context) (engine.Overview, error) {
	return engine.Overview{Cluster: "c", Nodes: []engine.NodeOverview{
		{ID: "u1", Name: "n1", Self: true, Clients: 3, Ready: true, Logs: []engine.LogOverview{{Name: "disk-0", Leader: "n2", Last: 9, Applied: 8}}},
		{ID: "u2", Name: "n2", Silent: true},
	}}, nil
}

func (fakeNode) Drain(rate int) Drained { return Drained{Clients: 3, Rate: cmp.Or(rate, 500)} }

// importPiece takes pieces that begin with an a, and has those that begin with a b.
func importPiece(_ context.Context, piece []byte) (there bool, err error) {
	switch text := string(piece); {
	case strings.HasPrefix(text, "a"), strings.HasPrefix(text, "\x02"):
		return false, nil
	case strings.HasPrefix(text, "b"):
		return true, nil
	case strings.HasPrefix(text, "conflict"):
		return false, ErrPieceConflict
	case strings.HasPrefix(text, "full"):
		return false, hub.ErrBusy
	case strings.HasPrefix(text, "large"):
		return false, ErrPieceTooLarge
	case strings.HasPrefix(text, "order"):
		return false, ErrPieceOrder
	}
	return false, fmt.Errorf("%w: of a newer version", ErrBadPiece)
}

func newFixture(limits Limits) *fixture {
	f := &fixture{hub: &fakeHub{}}
	log := slog.New(slog.NewTextHandler(&f.log, nil))
	registry, err := tenant.Open(context.Background(), tenant.Config{Log: &fakeLog{}, Fixed: []*tenant.App{{
		Name: channel.DefaultApp, Fixed: true, Keys: []tenant.Key{tenant.FixedKey("api.key", tenant.Operator, testKey)},
	}}})
	if err != nil {
		panic(err)
	}
	k, _ := tenant.NewKey("acme-backend", tenant.Publish, time.Now())
	for _, c := range []tenant.Change{
		{App: "acme", Create: &tenant.Settings{}},
		{App: "acme", CreateKey: &k},
		{App: "acme", SetNamespace: &channel.Namespace{Name: "chat"}},
	} {
		if err := registry.Do(context.Background(), c); err != nil {
			panic(err)
		}
	}
	f.apps = registry
	f.handler = New(Config{Keys: registry, Apps: registry, Namespaces: namespaces, Limits: limits, Observer: f, DeadLetters: deadLetters, Node: fakeNode{}, Import: importPiece}, f.hub, log)
	return f
}

// post makes a request as net/http would hand it over: good where edit changes
// nothing.
func post(method, body string, edit ...func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodPost, Prefix+method, iotest.DataErrReader(strings.NewReader(body)))
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-API-Key", testKey)
	for _, e := range edit {
		e(r)
	}
	return r
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Del(name)
		if value != "" {
			r.Header.Set(name, value)
		}
	}
}

// call gives status and body; every body is one line of JSON.
func (f *fixture) call(t *testing.T, r *http.Request) (status int, body string) {
	t.Helper()
	rec := httptest.NewRecorder()
	f.handler.ServeHTTP(rec, r)
	text, err := io.ReadAll(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(text) || bytes.ContainsAny(text, "\n\r") {
		t.Errorf("the reply is not a line of JSON: %.300q", text)
	}
	if ct := rec.Header().Get("Content-Type"); ct != "application/json" {
		t.Errorf("content type %q", ct)
	}
	return rec.Code, string(text)
}

// good calls a method that has to succeed and gives its result.
func (f *fixture) good(t *testing.T, method, body string) string {
	t.Helper()
	status, text := f.call(t, post(method, body))
	result, ok := strings.CutPrefix(text, `{"result":`)
	if status != http.StatusOK || !ok {
		t.Fatalf("HTTP %d: %s", status, text)
	}
	return strings.TrimSuffix(result, "}")
}

// refused gives the error of a call, wherever it stands in the body.
func (f *fixture) refused(t *testing.T, r *http.Request) (status int, e wireError) {
	t.Helper()
	status, text := f.call(t, r)
	if transportMode(r) {
		unmarshal(t, text, &e)
		return status, e
	}
	var reply struct{ Error wireError }
	unmarshal(t, text, &reply)
	return status, reply.Error
}

// wireError is an error object as a backend reads it.
type wireError struct {
	Code      uint32
	Message   string
	Temporary bool
	RequestID string `json:"request_id"`
}

func unmarshal(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func methodNames(h *Handler) []string {
	var names []string
	for name := range h.methods {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
