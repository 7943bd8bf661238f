package hub

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/limit"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// BenchmarkLimits is what limits cost a client's publish on its way from the
// session through the gate and the engine to a subscriber, and back: hubs with
// none, with those that are there by default, with every one of a connection, and
// with all there are take turns. The ratios of the medians are what to look at.
func BenchmarkLimits(b *testing.B) {
	rate := limit.Rate{PerSecond: 1 << 30, Burst: 1 << 30}
	all := Activity{Subscribes: rate, Publishes: rate, RPCs: rate, Bytes: rate}
	hubs := []struct {
		name   string
		limits Limits
	}{
		{"none", Limits{}},
		{"default", Limits{Connection: Activity{Subscribes: rate, Publishes: rate, RPCs: rate}}},
		{"connection", Limits{Connection: all}},
		{"all", Limits{PublishesPerApp: rate, Connection: all, User: all, ConnectionsPerUser: 100, ConnectionsPerApp: 100}},
	}
	publishers := make([]*publisher, len(hubs))
	for i := range hubs {
		publishers[i] = newPublisher(b, hubs[i].limits)
	}
	const chunk = 200
	took := make([][]time.Duration, len(hubs))
	for n := 0; b.Loop(); n++ {
		for k := range hubs {
			i := (n + k) % len(hubs) // none is always the first
			start := time.Now()
			publishers[i].publish(chunk)
			took[i] = append(took[i], time.Since(start))
		}
	}
	median := func(i int) float64 {
		slices.Sort(took[i])
		return float64(took[i][len(took[i])/2].Nanoseconds()) / chunk
	}
	none := median(0)
	b.ReportMetric(none, "ns/publish")
	for i := 1; i < len(hubs); i++ {
		b.ReportMetric(median(i)/none, "ratio-"+hubs[i].name)
	}
}

// publisher is a session on a hub of its own that publishes to itself.
type publisher struct {
	sh  *Shard
	s   *Session
	msg []byte
}

func newPublisher(b *testing.B, limits Limits) *publisher {
	b.Helper()
	ns, err := channel.NewNamespaces(channel.Options{AllowSubscribeForClient: true, AllowPublishForClient: true}, nil)
	if err != nil {
		b.Fatal(err)
	}
	h, err := New(Config{Engine: newMemEngine(), Namespaces: ns, Auth: fakeAuth{}, Shards: 1, Limits: limits})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(h.shards[0].loop.Stop)
	enc := h.NewEncoding(&relay{}, lineFraming{}, metrics.Via{})
	p := &publisher{sh: h.shards[0], msg: make([]byte, 128)}
	place, err := h.Enter("", netip.Addr{})
	if err != nil {
		b.Fatal(err)
	}
	ready := make(chan struct{})
	p.sh.Post(func() {
		p.s = place.Open(nullConn{}, enc, nil)
		p.s.Connect(ConnectRequest{Token: "ann"}, func(ConnectResult, error) {})
		p.s.Subscribe(SubscribeRequest{Channel: "a"}, func(SubscribeResult, error) {})
		close(ready)
	})
	<-ready
	return p
}

func (p *publisher) publish(n int) {
	done := make(chan struct{})
	for range n {
		p.sh.Post(func() { p.s.Receive(p.msg) })
	}
	p.sh.Post(func() { p.sh.Post(func() { close(done) }) })
	<-done
}

// relay publishes each message that it receives.
type relay struct{ textProtocol }

func (*relay) Receive(s *Session, msg []byte) {
	s.Publish(ClientPublish{Channel: "a", Data: msg}, func(engine.PublishResult, error) {})
}
