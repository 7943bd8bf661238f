package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/test/server"
)

// publishes measures HTTP publishes to channels without subscribers, with this
// program as the load.
func (b *bench) publishes(ctx context.Context) (string, error) {
	t := &table{head: []string{"history", "connections", "publishes/s", "publishes per CPU-second of the server", "CPU"}}
	for _, kind := range []struct{ history, prefix string }{{"none", ""}, {"memory", "memory:"}, {"disk, fsynced", "disk:"}} {
		for _, writers := range []int{1, 64} {
			m, err := b.repeat(ctx, fmt.Sprintf("history %s, %d connections", kind.history, writers), func(ctx context.Context) (numbers, error) {
				return b.publishRun(ctx, kind.prefix, writers)
			})
			if err != nil {
				return "", err
			}
			t.add(kind.history, strconv.Itoa(writers), human(m["rate"]), human(m["per_cpu"]), fmt.Sprintf("%.0f %%", 100*m["cpu"]))
		}
	}
	return "\n## HTTP publishes\n\n`POST /api/publish`, 128 bytes of data, 100 channels, no subscribers.\n\n" + t.String(), nil
}

func (b *bench) publishRun(ctx context.Context, prefix string, writers int) (numbers, error) {
	srv, err := b.start(ctx, 1, false)
	if err != nil {
		return nil, err
	}
	defer srv.end()
	channel := func(i int) string { return fmt.Sprintf("%sbench%d", prefix, i%100) }
	if _, err := publishFor(ctx, srv.api, channel, writers, b.dur/4); err != nil {
		return nil, err
	}
	before, err := cpuSeconds(srv.PID())
	if err != nil {
		return nil, err
	}
	start := time.Now()
	n, err := publishFor(ctx, srv.api, channel, writers, b.dur)
	if err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds()
	after, err := cpuSeconds(srv.PID())
	if err != nil {
		return nil, err
	}
	return numbers{"rate": float64(n) / took, "per_cpu": float64(n) / (after - before), "cpu": (after - before) / took}, nil
}

// publishFor publishes from several goroutines until d is over and counts; each goes
// through the channels by itself.
func publishFor(ctx context.Context, api *server.API, channel func(i int) string, writers int, d time.Duration) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	end := time.Now().Add(d)
	pad := strings.Repeat("x", 126)
	var n atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; time.Now().Before(end) && ctx.Err() == nil; i++ {
				body := fmt.Appendf(nil, `{"channel":%q,"data":"%s"}`, channel(i), pad)
				reply, err := api.Post(ctx, "publish", body)
				if err == nil && reply.Error != nil {
					err = reply.Error
				}
				if err != nil {
					cancel(err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return n.Load(), context.Cause(ctx)
}
