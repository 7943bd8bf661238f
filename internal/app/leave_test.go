package app

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/client"
	"github.com/fanfare-push/fanfare/internal/config"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/bus"
)

// TestDrain: a node that is drained takes no new clients and says so, releases
// those it has, and goes on taking what is published.
func TestDrain(t *testing.T) {
	s := start(t, settings(t, map[string]string{"dev": "true"}))
	api, err := client.NewAPI(s.Addr(), "dev")
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	here, ended := make(chan struct{}), make(chan error, 1)
	sub, err := client.NewSubscriber(s.Addr(), client.SubscriberConfig{
		Channels:       []client.Channel{{Name: "news"}},
		OnSubscribed:   func(string, client.Subscribed) { close(here) },
		OnDisconnected: func(err error, _ time.Duration) { ended <- err },
		MinDelay:       time.Minute, MaxDelay: time.Minute, // it does not come back while this test looks
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	listening := make(chan struct{})
	go func() { defer close(listening); _ = sub.Run(ctx) }()
	defer func() { cancel(); <-listening }()
	<-here

	d, err := api.Drain(ctx, 100)
	if err != nil || d.Rate != 100 {
		t.Fatal(d, err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "3001") {
		t.Errorf("the client is told %v", err)
	}
	for d.Clients > 0 {
		if d, err = api.Drain(ctx, 7); err != nil || d.Rate != 100 {
			t.Fatal(d, err)
		}
	}
	if status, body := s.get(t, "/ready", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
		t.Errorf("/ready: %d %s", status, body)
	}
	for _, path := range []string{"/sse?channel=news", "/poll?channel=news"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
	}
	if _, err := api.Publish(ctx, client.Message{Channel: "news", Data: json.RawMessage("1")}); err != nil {
		t.Errorf("publishing meanwhile: %v", err)
	}
	if _, text := s.get(t, "/metrics", "dev"); !strings.Contains(text, "\nfanfare_draining 1\n") {
		t.Error("no metric tells of it")
	}
}

// TestDrainRate: without a setting, all leave in half of the time of a stop.
func TestDrainRate(t *testing.T) {
	for _, tt := range []struct {
		set, clients int
		timeout      time.Duration
		want         int
	}{
		{0, 0, 15 * time.Second, 500},
		{0, 3000, 15 * time.Second, 500},
		{0, 15_000, 15 * time.Second, 2000},
		{0, 1000, 0, 1_000_000},
		{20, 15_000, 15 * time.Second, 20},
	} {
		a := &App{cfg: config.Config{DrainRate: tt.set, ShutdownTimeout: tt.timeout}}
		if got := a.drainRate(tt.clients); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

// TestOverviewOfOne: a node that is alone shows itself.
func TestOverviewOfOne(t *testing.T) {
	s := start(t, settings(t, map[string]string{"dev": "true"}))
	api, err := client.NewAPI(s.Addr(), "dev")
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	c, err := api.Cluster(t.Context())
	if err != nil || c.Name != "" || len(c.Nodes) != 1 {
		t.Fatal(c, err)
	}
	if n := c.Nodes[0]; !n.Self || !n.Ready || n.Version != "1.2.3" || n.Address != s.Addr() || n.Role != "core" || len(n.Logs) > 0 {
		t.Errorf("%+v", n)
	}
}

// TestOverviewMerges: who answers is shown once, who does not by name, and who is
// not there, too.
func TestOverviewMerges(t *testing.T) {
	self := engine.NodeOverview{ID: "1", Name: "n2", Self: true, Ready: true}
	known := []bus.NodeInfo{{ID: "1", Name: "n2", Self: true}, {ID: "2", Name: "n1"}, {ID: "3", Name: "n3"}}
	answers := [][]byte{
		[]byte(`{"uid":"2","name":"n1","self":true,"ready":true,"num_clients":4}`),
		[]byte(`{"uid":"2","name":"n1"}`), []byte(`{"uid":""}`), []byte(`no JSON`),
	}
	nodes := addAbsent(merge([]engine.NodeOverview{self}, known, answers), []string{"n1", "n4"})
	var got []string
	for i := range nodes {
		n := &nodes[i]
		if n.Self != (n.ID == "1") || n.Silent != (n.ID == "3") || n.Ready != (n.ID == "1" || n.ID == "2") {
			t.Errorf("%+v", n)
		}
		got = append(got, n.Name+"/"+n.ID)
	}
	if want := "n1/2 n2/1 n3/3 n4/"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// TestTroubles: what a node waits for until it has joined is no trouble, what was
// wrong later is remembered.
func TestTroubles(t *testing.T) {
	var ts troubles
	log := func(reason string) []engine.LogOverview {
		return []engine.LogOverview{{Name: "disk-0", Reason: reason}}
	}
	last := func() string {
		l := log("")
		ts.add(l)
		return l[0].Error
	}
	for _, step := range []struct{ reason, want string }{
		{"not joined yet", ""}, {"", ""}, {"behind", "behind"}, {"", "behind"}, {"no quorum", "no quorum"}, {"", "no quorum"},
	} {
		ts.note(log(step.reason))
		if got := last(); got != step.want {
			t.Errorf("after %q: %q", step.reason, got)
		}
	}
}
