package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// BenchmarkLeave is how long publishing with history pauses on two nodes of three
// while the third hands over what it leads, and then stops. The longest pause of
// any publisher counts.
func BenchmarkLeave(b *testing.B) {
	c := newCast(b, 3)
	var engines []*Engine
	for i := range 3 {
		engines = append(engines, c.open(i, Config{Name: "bench", Logs: DefaultLogs, PublishWait: time.Minute}, silent{}))
	}
	defer func() { closeAll(b, engines...) }()
	ready(b, engines...)
	var down, stop, calm []time.Duration
	for i := 0; b.Loop(); i++ {
		who := i % 3
		w := pauses(b, slices.Delete(slices.Clone(engines), who, who+1))
		hold(time.Second)
		calm = append(calm, w.longest())
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		if err := engines[who].StepDown(ctx, fmt.Sprintf("n%d", who+1)); err != nil {
			b.Log(err)
		}
		cancel()
		hold(time.Second)
		down = append(down, w.longest())
		closeAll(b, engines[who])
		c.stop(who)
		hold(3 * time.Second)
		stop = append(stop, w.longest())
		w.end()
		c.start(who)
		engines[who] = c.open(who, Config{Name: "bench", Logs: DefaultLogs, PublishWait: time.Minute}, silent{})
		ready(b, engines...)
	}
	b.Logf("calm %v, handed over %v, stopped %v", calm, down, stop)
	for name, list := range map[string][]time.Duration{"calm": calm, "handover": down, "stop": stop} {
		slices.Sort(list)
		b.ReportMetric(float64(list[len(list)/2].Microseconds())/1000, name+"-ms")
		b.ReportMetric(float64(list[len(list)-1].Microseconds())/1000, "max-"+name+"-ms")
	}
	b.ReportMetric(0, "ns/op")
}

// hold lets what runs beside go on for a while.
func hold(d time.Duration) { <-time.After(d) }

// watch is publishers, and the longest time that one of them waited.
type watch struct {
	mu   sync.Mutex
	most time.Duration
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// pauses starts a publisher on each of some channels on each engine.
func pauses(b *testing.B, engines []*Engine) *watch {
	b.Helper()
	ctx, stop := context.WithCancel(b.Context())
	w := &watch{stop: stop}
	r := keep(1000, channel.Disk)
	for _, e := range engines {
		for i := range 2 * DefaultLogs {
			w.wg.Go(func() {
				for ctx.Err() == nil {
					began := time.Now()
					if got := <-send(e, named(i), r, "x", ""); got.err != nil {
						b.Error(got.err)
						return
					}
					took := time.Since(began)
					w.mu.Lock()
					w.most = max(w.most, took)
					w.mu.Unlock()
				}
			})
		}
	}
	return w
}

// longest is the longest pause since it was asked last.
func (w *watch) longest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	most := w.most
	w.most = 0
	return most
}

func (w *watch) end() {
	w.stop()
	w.wg.Wait()
}
