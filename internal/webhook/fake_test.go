package webhook

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memLog is a Log without a disk.
type memLog struct {
	mu   sync.Mutex
	err  error // of every publish
	logs map[channel.ID][]*engine.Publication
	keys map[string]bool
}

func newLog() *memLog {
	return &memLog{logs: make(map[channel.ID][]*engine.Publication), keys: make(map[string]bool)}
}

func (l *memLog) Publish(req engine.PublishRequest, done func(engine.PublishResult, error)) {
	l.mu.Lock()
	err := l.err
	pub := req.Publication
	again := req.IdempotencyKey != "" && l.keys[req.IdempotencyKey]
	if err == nil && !again {
		l.keys[req.IdempotencyKey] = true
		pub.Offset = uint64(len(l.logs[req.Channel]) + 1)
		pub.Time = time.Now().UnixMilli()
		l.logs[req.Channel] = append(l.logs[req.Channel], &pub)
	}
	l.mu.Unlock()
	done(engine.PublishResult{Position: engine.Position{Epoch: "e", Offset: pub.Offset}}, err)
}

func (l *memLog) History(req engine.HistoryRequest, done func(engine.HistoryResult, error)) {
	l.mu.Lock()
	pubs := l.logs[req.Channel]
	res := engine.HistoryResult{Top: engine.Position{Epoch: "e", Offset: uint64(len(pubs))}, Oldest: 1}
	// Only the newest are kept.
	if drop := len(pubs) - req.Retention.Size; drop > 0 {
		pubs, res.Oldest = pubs[drop:], uint64(drop+1)
	}
	if req.Reverse {
		pubs = slices.Clone(pubs[max(len(pubs)-req.Limit, 0):])
		slices.Reverse(pubs)
	}
	for _, pub := range pubs {
		if len(res.Publications) < req.Limit && (req.Since == nil || pub.Offset > req.Since.Offset) {
			res.Publications = append(res.Publications, pub)
		}
	}
	l.mu.Unlock()
	done(res, nil)
}

func (l *memLog) RemoveHistory(channel.ID, engine.Retention, func(error)) {}

// members are those of a Config, of all channels.
type members struct {
	mu sync.Mutex
	m  map[hub.Member]bool
}

func newMembers(cfg *Config) *members {
	m := &members{m: make(map[hub.Member]bool)}
	cfg.IsMember = func(who hub.Member) bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.m[who]
	}
	return m
}

func (m *members) set(d *Dispatcher, name, user string, present bool) {
	who := hub.Member{Channel: ch(name), User: user}
	m.mu.Lock()
	m.m[who] = present
	m.mu.Unlock()
	d.Member(who)
}

// receiver is a backend; it checks what every call must have.
type receiver struct {
	t      *testing.T
	mu     sync.Mutex
	status int // 0: 200
	calls  []time.Time
	ids    []string
	got    []string      // events
	news   chan struct{} // after each call; nil: nobody waits
}

// patience bounds every wait; no test is decided by it.
const patience = 60 * time.Second

// until waits for something that calls make true.
func (r *receiver) until(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-r.news:
		case <-deadline:
			r.t.Fatalf("never: %s", what)
		}
	}
}

// RoundTrip lets a receiver be reached without a network.
func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	status := r.take(req)
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) { w.WriteHeader(r.take(req)) }

func (r *receiver) take(req *http.Request) int {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		r.t.Error(err)
	}
	if got, want := req.Header.Get("X-Pusher-Signature"), signature("secret", body); got != want {
		r.t.Errorf("signature %s, want %s", got, want)
	}
	if req.Header.Get("X-Pusher-Key") != "key" || req.Header.Get("Content-Type") != "application/json" || req.Method != http.MethodPost {
		r.t.Errorf("%s %v", req.Method, req.Header)
	}
	var call struct {
		Time   int64             `json:"time_ms"`
		Events []json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(body, &call); err != nil || len(call.Events) == 0 || len(call.Events) > maxEvents || call.Time == 0 {
		r.t.Errorf("%s: %v", body, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.tell()
	r.calls = append(r.calls, time.Now())
	r.ids = append(r.ids, req.Header.Get("X-Fanfare-Webhook-Id"))
	if r.status != 0 {
		return r.status
	}
	for _, e := range call.Events {
		r.got = append(r.got, string(e))
	}
	return http.StatusOK
}

func (r *receiver) tell() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) events() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.got...)
}

func (r *receiver) called() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]time.Time(nil), r.calls...)
}
