package bus

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// counting is a Follower that counts publications.
type counting struct {
	engine.Follower

	heard atomic.Int64
}

func (c *counting) Publication(channel.ID, string, *engine.Publication) { c.heard.Add(1) }

// BenchmarkCross is a publication of 128 bytes from one node to another of the same
// process, on the same NATS server and on the next, with at most 10,000 under way;
// lost are those that never came.
func BenchmarkCross(b *testing.B) {
	for name, n := range map[string]int{"one server": 1, "two servers": 2} {
		b.Run(name, func(b *testing.B) {
			srv := servers(b, n)
			from, to := &counting{}, &counting{}
			nodes := []*Bus{
				start(b, srv[0], Config{Node: "from"}, from),
				start(b, srv[n-1], Config{Node: "to"}, to),
			}
			acquainted(b, nodes)
			nodes[1].Follow(room)
			data := make([]byte, 128)
			missed := func() int64 { return int64(nodes[1].Counters().Missed) }
			b.ReportAllocs()
			b.ResetTimer()
			for i := range int64(b.N) {
				if i%1000 == 0 {
					for i-to.heard.Load()-missed() > 10_000 {
						runtime.Gosched()
					}
				}
				nodes[0].Publish(room, &engine.Publication{Data: data, Binary: true}, func(err error) {
					if err != nil {
						b.Error(err)
					}
				})
			}
			eventually(b, "all have come or are missed", func() bool { return to.heard.Load()+missed() >= int64(b.N) })
			b.ReportMetric(float64(missed())/float64(b.N), "lost/op")
		})
	}
}

// BenchmarkFollow is the first channel in a stream, for which other nodes are
// waited for, and one in a stream that is listened to.
func BenchmarkFollow(b *testing.B) {
	for name, known := range map[string]int{"new": 0, "known": 1} {
		b.Run(name, func(b *testing.B) {
			srv := servers(b, 3)
			var nodes []*Bus
			for i, id := range []string{"a", "b", "c"} {
				nodes = append(nodes, start(b, srv[i], Config{Node: id}, deaf{}))
			}
			acquainted(b, nodes)
			nodes[0].Follow(room)
			st := nodes[0].streamOf(room)
			for b.Loop() {
				nodes[0].Unfollow(room)
				if known == 0 {
					st.mu.Lock()
					nodes[0].restLocked(st, time.Now().Add(time.Hour))
					st.mu.Unlock()
				}
				nodes[0].Follow(room)
			}
		})
	}
}
