package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanfare-push/fanfare/test/server"
)

const apiKey = "bench"

// serverConfig has a namespace for each kind of history; pushbench subscribes to
// channels as an anonymous client.
const serverConfig = `
log:
  level: warn
api:
  key: ` + apiKey + `
client:
  allow_anonymous: true
channel:
  without_namespace:
    allow_subscribe_for_client: true
    allow_subscribe_for_anonymous: true
  namespaces:
    - name: memory
      history_size: 100
      history_ttl: 1h
      history_durability: memory
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
    - name: disk
      history_size: 100
      history_ttl: 1h
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
`

// start runs the server on its core, over an empty data directory.
func (b *bench) start(ctx context.Context) (*server.Server, error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return nil, err
	}
	opts := server.Options{Bin: b.bin, Dir: dir, Config: serverConfig, APIKey: apiKey, Wrap: b.pin(serverCore)}
	if b.cpu != nil {
		opts.Env = []string{"GOMAXPROCS=1"}
	}
	return server.Start(ctx, opts)
}

// publishes measures HTTP publishes to channels without subscribers, with this
// program as the load.
func (b *bench) publishes(ctx context.Context) (string, error) {
	fmt.Println("HTTP publishes")
	t := &table{head: []string{"history", "connections", "publishes/s", "publishes per CPU-second of the server", "CPU"}}
	for _, kind := range []struct{ history, prefix string }{{"none", ""}, {"memory", "memory:"}, {"disk, fsynced", "disk:"}} {
		for _, writers := range []int{1, 64} {
			var runs []numbers
			for range b.runs {
				run, err := b.publishRun(ctx, kind.prefix, writers)
				if err != nil {
					return "", fmt.Errorf("publishes, history %s: %w", kind.history, err)
				}
				runs = append(runs, run)
			}
			m := median(runs)
			t.add(kind.history, strconv.Itoa(writers), human(m["rate"]), human(m["per_cpu"]), fmt.Sprintf("%.0f %%", 100*m["cpu"]))
		}
	}
	return "\n## HTTP publishes\n\n`POST /api/publish`, 128 bytes of data, 100 channels, no subscribers.\n\n" + t.String(), nil
}

func (b *bench) publishRun(ctx context.Context, prefix string, writers int) (numbers, error) {
	srv, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer srv.Kill()
	transport := &http.Transport{MaxIdleConnsPerHost: writers}
	defer transport.CloseIdleConnections()
	api := srv.API(&http.Client{Transport: transport})
	if _, err := publishFor(ctx, api, prefix, writers, b.dur/4); err != nil {
		return nil, err
	}
	before, err := cpuSeconds(ctx, api)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	n, err := publishFor(ctx, api, prefix, writers, b.dur)
	if err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds()
	after, err := cpuSeconds(ctx, api)
	if err != nil {
		return nil, err
	}
	return numbers{"rate": float64(n) / took, "per_cpu": float64(n) / (after - before), "cpu": (after - before) / took}, nil
}

// publishFor publishes from several goroutines until d is over and counts.
func publishFor(ctx context.Context, api *server.API, prefix string, writers int, d time.Duration) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	end := time.Now().Add(d)
	pad := strings.Repeat("x", 126)
	var n atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; time.Now().Before(end) && ctx.Err() == nil; i++ {
				body := fmt.Appendf(nil, `{"channel":"%sbench%d","data":"%s"}`, prefix, i%100, pad)
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

// cpuSeconds is what the server's process has used, user and system.
func cpuSeconds(ctx context.Context, api *server.API) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+api.Addr+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set("X-API-Key", api.Key)
	res, err := api.Client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	for s := bufio.NewScanner(res.Body); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "process_cpu_seconds_total "); ok {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, fmt.Errorf("/metrics, HTTP %d, has no process_cpu_seconds_total", res.StatusCode)
}

// temp is a path in the directory that goes with the run.
func (b *bench) temp(name string) string { return filepath.Join(b.dir, name) }
