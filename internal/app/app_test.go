package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/client"
	"github.com/fanfare-push/fanfare/internal/config"
	"github.com/fanfare-push/fanfare/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const timeout = 60 * time.Second

// running is a server in this process.
type running struct {
	*App
	http *http.Client
	end  context.CancelFunc
	done chan error
}

// settings are those of a server in a directory of its own, on a free port.
func settings(t *testing.T, flags map[string]string) config.Config {
	t.Helper()
	all := map[string]string{"listen": "127.0.0.1:0", "data_dir": t.TempDir(), "shutdown_timeout": "10s"}
	for key, value := range flags {
		all[key] = value
	}
	cfg, err := config.Load(config.Sources{Flags: all})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func start(t *testing.T, cfg config.Config) *running {
	t.Helper()
	a, err := New(cfg, "1.2.3", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	transport := &http.Transport{}
	r := &running{App: a, http: &http.Client{Transport: transport, Timeout: timeout}, end: end, done: make(chan error, 1)}
	go func() { r.done <- a.Run(ctx) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		r.stop(t)
	})
	return r
}

// stop ends the server gracefully; harmless when repeated.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.end()
	select {
	case err := <-r.done:
		if err != nil {
			t.Errorf("stop: %v", err)
		}
		r.done <- nil
	case <-time.After(timeout):
		t.Fatal("does not stop")
	}
}

// get asks for a path and gives status and body.
func (r *running) get(t *testing.T, path, key string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.Addr()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", key)
	res, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestPaths(t *testing.T) {
	open := start(t, settings(t, map[string]string{"dev": "true"}))
	shut := start(t, settings(t, map[string]string{"api.key": "k"}))
	off := start(t, settings(t, nil))
	tests := []struct {
		name      string
		server    *running
		path, key string
		status    int
		body      string
	}{
		{"alive", shut, "/health", "", 200, "ok"},
		{"ready", shut, "/ready", "", 200, "ready"},
		{"page", shut, "/", "", 200, "<html"},
		{"page in dev", open, "/", "", 200, "<html"},
		{"metrics", shut, "/metrics", "k", 200, "fanfare_publications_total"},
		{"metrics without key", shut, "/metrics", "", 401, "X-API-Key"},
		{"metrics with a wrong key", shut, "/metrics", "x", 401, "key"},
		{"metrics without a key configured", off, "/metrics", "", 403, "api.key"},
		{"metrics in dev", open, "/metrics", "", 200, `fanfare_build_info{go_version="go`},
		{"lists", shut, "/admin/channels", "k", 200, "{"},
		{"lists without key", shut, "/admin/channels", "", 401, "key"},
		{"lists in dev", open, "/admin/channels", "", 200, "{"},
		{"document", shut, "/api/openapi.json", "", 200, "{"},
		{"API by GET", shut, "/api/info", "k", 405, "POST"},
		{"no upgrade", shut, "/connection/websocket", "", 426, "Upgrade"},
		{"nowhere", shut, "/nowhere", "", 404, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := tt.server.get(t, tt.path, tt.key)
			if status != tt.status || !strings.Contains(body, tt.body) {
				t.Errorf("HTTP %d, want %d with %q: %.300s", status, tt.status, tt.body, body)
			}
		})
	}
	if _, metrics := shut.get(t, "/metrics", "k"); !strings.Contains(metrics, `fanfare_refusals_total{reason="api_key"} 3`) {
		t.Error("three refused keys are not counted as such")
	}
}

// listen subscribes; every publication's data goes to the channel it returns.
func (r *running) listen(t *testing.T, channel string) (data <-chan string, ended <-chan error) {
	t.Helper()
	got, end, subscribed := make(chan string, 16), make(chan error, 1), make(chan struct{}, 16)
	s, err := client.NewSubscriber(r.Addr(), client.SubscriberConfig{
		Channels:      []client.Channel{{Name: channel}},
		HTTPClient:    r.http,
		OnSubscribed:  func(string, client.Subscribed) { subscribed <- struct{}{} },
		OnPublication: func(_ string, p *client.Publication) { got <- string(p.Data) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { end <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-end; end <- nil })
	select {
	case <-subscribed:
	case err := <-end:
		t.Fatal(err)
	case <-time.After(timeout):
		t.Fatal("not subscribed")
	}
	return got, end
}

func (r *running) publish(t *testing.T, channel, data string) {
	t.Helper()
	api, err := client.NewAPIWith(r.http, r.Addr(), string(r.cfg.API.Key))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.Publish(t.Context(), client.Message{Channel: channel, Data: json.RawMessage(data)}); err != nil {
		t.Fatal(err)
	}
}

func TestFromPublishToSubscriber(t *testing.T) {
	r := start(t, settings(t, map[string]string{"dev": "true"}))
	for _, channel := range []string{"news", "chat:lobby"} {
		data, _ := r.listen(t, channel)
		r.publish(t, channel, `{"text":"hello"}`)
		select {
		case got := <-data:
			if got != `{"text":"hello"}` {
				t.Errorf("%s: %s", channel, got)
			}
		case <-time.After(timeout):
			t.Fatalf("%s: nothing arrives", channel)
		}
	}
	r.get(t, "/health", "")
	_, metrics := r.get(t, "/metrics", "")
	for _, line := range []string{
		`fanfare_publications_total{result="ok",source="api"} 2`, `fanfare_sessions{protocol="centrifuge",transport="websocket"} 2`,
		`fanfare_commands_total{code="0",method="subscribe"} 2`, `fanfare_api_requests_total{method="publish",status="200"} 2`,
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
	for _, name := range []string{"fanfare_store_batch_publications", "fanfare_store_sync_duration_seconds"} {
		if strings.Contains(metrics, name+"_count 0\n") {
			t.Errorf("%s counts nothing", name)
		}
	}
}

func TestHistorySurvivesARestart(t *testing.T) {
	cfg := settings(t, map[string]string{"dev": "true"})
	first := start(t, cfg)
	first.publish(t, "news", "1")
	first.stop(t)
	second := start(t, cfg)
	second.publish(t, "news", "2")
	api, err := client.NewAPIWith(second.http, second.Addr(), "dev")
	if err != nil {
		t.Fatal(err)
	}
	h, err := api.History(t.Context(), "news", client.HistoryQuery{Limit: -1})
	if err != nil || len(h.Publications) != 2 || h.Offset != 2 {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestStopTellsClientsToComeBack(t *testing.T) {
	r := start(t, settings(t, map[string]string{"dev": "true"}))
	lost := make(chan error, 1)
	subscribed := make(chan struct{}, 1)
	s, err := client.NewSubscriber(r.Addr(), client.SubscriberConfig{
		Channels: []client.Channel{{Name: "news"}}, HTTPClient: r.http,
		OnSubscribed: func(string, client.Subscribed) { subscribed <- struct{}{} },
		OnDisconnected: func(err error, _ time.Duration) {
			select {
			case lost <- err:
			default:
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	<-subscribed
	r.stop(t)
	if err := <-lost; client.CodeOf(err) != 3001 {
		t.Errorf("disconnected with %v, want 3001", err)
	}
}

func TestPortInUse(t *testing.T) {
	r := start(t, settings(t, nil))
	dir := t.TempDir()
	_, err := New(settings(t, map[string]string{"listen": r.Addr(), "data_dir": dir + "/data"}), "", slog.New(slog.DiscardHandler))
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), r.Addr()) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("%v", err)
	}
	// The data directory was left alone: another server can have it.
	start(t, settings(t, map[string]string{"data_dir": dir + "/data"}))
}

func TestDataDirectoryInUse(t *testing.T) {
	cfg := settings(t, nil)
	start(t, cfg)
	if _, err := New(cfg, "", slog.New(slog.DiscardHandler)); !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), cfg.DataDir) {
		t.Errorf("%v", err)
	}
}

func TestNotReadyWithoutSpace(t *testing.T) {
	cfg := settings(t, nil)
	cfg.Store.ReserveSize = 1 << 60
	status, body := start(t, cfg).get(t, "/ready", "")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "no space") {
		t.Errorf("HTTP %d: %s", status, body)
	}
}

func TestConnectionsAreLimitedByDescriptors(t *testing.T) {
	a := &App{}
	limit, known := maxDescriptors()
	if got := a.maxConnections(); known != (got > 0) || got > limit {
		t.Errorf("%d connections of %d descriptors (known: %v)", got, limit, known)
	}
	a.cfg.Client.MaxConnections = 3
	if got := a.maxConnections(); got != 3 {
		t.Errorf("%d, want the setting", got)
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct {
		flags map[string]string
		want  []string
	}{
		{nil, []string{"app.secret", "api.key"}},
		{map[string]string{"app.secret": "s"}, []string{"api.key"}},
		{map[string]string{"client.allow_anonymous": "true", "api.key": "k"}, nil},
		{map[string]string{"dev": "true"}, nil},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.flags), func(t *testing.T) {
			var log strings.Builder
			a := &App{cfg: settings(t, tt.flags), log: slog.New(slog.NewTextHandler(&log, nil))}
			a.warn()
			if n := strings.Count(log.String(), "\n"); n != len(tt.want) {
				t.Errorf("%d lines:\n%s", n, log.String())
			}
			for _, want := range tt.want {
				if !strings.Contains(log.String(), want) {
					t.Errorf("does not say %s:\n%s", want, log.String())
				}
			}
		})
	}
}
