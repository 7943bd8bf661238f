package centrifuge

import (
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// sink is a session that answers at once and keeps nothing.
type sink struct{ *fakeSession }

func (sink) Send([]byte) {}
func (sink) Alive() bool { return true }
func (sink) Pong()       {}
func (sink) Publish(_ hub.ClientPublish, done func(engine.PublishResult, error)) {
	done(engine.PublishResult{}, nil)
}

func tagged() *hub.Event {
	return &hub.Event{Kind: hub.EventPublication, Channel: "chat:lobby", Publication: &engine.Publication{
		Offset: 123456, Time: 1700000000123, Event: "said", Data: []byte(`{"text":"` + strings.Repeat("x", 128) + `"}`),
		Tags: map[string]string{"lang": "en", "room": "1"},
		Info: &engine.ClientInfo{User: "alice", Client: "7f2c2c0e-4e0c-4e9b-9d2e-0a4c6a2b8f11", ConnInfo: []byte(`{"name":"A"}`)},
	}}
}

var publishFrame = []byte(`{"id":5,"publish":{"channel":"chat:lobby","data":{"text":"` + strings.Repeat("x", 128) + `"}}}`)

func benchClient(tb testing.TB) *client {
	tb.Helper()
	c, f := newTestClient(tb, Config{})
	c.s = sink{f}
	return c
}

// fewest is how often fn allocates at best: the race detector makes pools
// forgetful.
func fewest(fn func()) float64 {
	n := testing.AllocsPerRun(1, fn)
	for range 50 {
		n = min(n, testing.AllocsPerRun(1, fn))
	}
	return n
}

// A publish allocates what it hands on: the request, the channel, the data, and
// what waits for the answer.
func TestAllocations(t *testing.T) {
	e, dst := tagged(), make([]byte, 0, 1024)
	for _, p := range []*Protocol{New(Config{}), NewProtobuf(Config{}), NewUni(Config{})} {
		if n := fewest(func() { dst = p.Append(dst[:0], e) }); n > 0 {
			t.Errorf("%s: Append allocates %v times", p.Name(), n)
		}
	}
	c := benchClient(t)
	if n := fewest(func() { c.receive(publishFrame) }); n > 4 {
		t.Errorf("a publish allocates %v times", n)
	}
	pong := []byte("{}")
	if n := fewest(func() { c.ping(); c.receive(pong) }); n > 0 {
		t.Errorf("a ping and its pong allocate %v times", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, p := range []*Protocol{New(Config{}), NewProtobuf(Config{})} {
		b.Run(p.codec.name(), func(b *testing.B) {
			e, dst := tagged(), make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				dst = p.Append(dst[:0], e)
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}

func BenchmarkPublishCommand(b *testing.B) {
	c := benchClient(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(publishFrame)))
	for b.Loop() {
		c.receive(publishFrame)
	}
}
