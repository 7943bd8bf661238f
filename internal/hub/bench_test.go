package hub

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// nullConn takes everything and keeps nothing.
type nullConn struct{}

func (nullConn) Write(p []byte) (int, error) { return len(p), nil }
func (nullConn) Close([]byte, Disconnect)    {}
func (nullConn) Abort()                      {}
func (nullConn) Pause()                      {}
func (nullConn) Resume()                     {}
func (nullConn) Remote() string              { return "null" }

// BenchmarkFanOut is what the hub itself costs per delivery, without a socket.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{2, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ns, err := channel.NewNamespaces(channel.Options{AllowSubscribeForClient: true, AllowSubscribeForAnonymous: true}, nil)
			if err != nil {
				b.Fatal(err)
			}
			h, err := New(Config{Engine: newMemEngine(), Namespaces: ns, Auth: fakeAuth{}, AllowAnonymous: true, Shards: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer h.shards[0].loop.Stop()
			enc := h.NewEncoding(&textProtocol{}, lineFraming{}, metrics.Via{})
			ready := make(chan struct{})
			sh := h.shards[0]
			sh.Post(func() {
				for range n {
					place, err := h.Enter("", netip.Addr{})
					if err != nil {
						b.Error(err)
					}
					s := place.Open(nullConn{}, enc, nil)
					s.Connect(ConnectRequest{}, func(ConnectResult, error) {})
					s.Subscribe(SubscribeRequest{Channel: "a"}, func(SubscribeResult, error) {})
				}
				close(ready)
			})
			<-ready
			id := channel.ID{App: channel.DefaultApp, Name: "a"}
			pub := &engine.Publication{Data: make([]byte, 128)}
			done := make(chan struct{})
			b.ReportAllocs()
			for b.Loop() {
				h.Publication(id, "", pub)
				sh.Post(func() { done <- struct{}{} })
				<-done
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/delivery")
		})
	}
}
