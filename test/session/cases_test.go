package session

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/test/server"
)

// testCase is what every way must do.
type testCase struct {
	name string
	run  func(e *env, w way)
}

const (
	caseOrder      = "messages keep their order"
	casePayloads   = "payloads arrive as they were"
	caseCuts       = "nothing is lost or repeated over cuts"
	caseLost       = "what is lost is told"
	caseRefused    = "a closed channel is refused"
	casePresence   = "a session is present while it lasts"
	caseDisconnect = "a backend ends the session"
	caseLiveness   = "a session outlives its pings"
	caseStop       = "a stop ends the session"
)

var cases = []testCase{
	{caseOrder, order},
	{casePayloads, payloads},
	{caseCuts, cuts},
	{caseLost, lost},
	{caseRefused, closed},
	{casePresence, present},
	{caseDisconnect, disconnected},
	{caseLiveness, alive},
	{caseStop, stopped}, // the last: the server is gone afterwards
}

func order(e *env, w way) {
	const n = 60
	channels := []string{e.channel("hist", 1), e.channel("hist", 2)}
	h := e.listen(w, channels, nil)
	for i := range n {
		for _, c := range channels {
			e.publish(c, i)
		}
	}
	seen := map[string]int{}
	for _, m := range h.messages(n * len(channels)) {
		if m.data != fmt.Sprint(seen[m.channel]) {
			e.Fatalf("%+v, want %d", m, seen[m.channel])
		}
		seen[m.channel]++
	}
}

func payloads(e *env, w way) {
	c := e.channel("hist", 1)
	h := e.listen(w, []string{c}, nil)
	for _, p := range []any{
		map[string]any{"text": "Ünïcödé ✓ 🚀\u2028", "n": []any{1.5, nil, true}},
		map[string]any{"ends": "a\r\nb\n\nid: 1\n\ndata: x", "html": "<&>"},
		map[string]any{"large": strings.Repeat("x", 64<<10)},
		[]any{},
		"text",
	} {
		e.publish(c, p)
		want, err := json.Marshal(p)
		if err != nil {
			e.Fatal(err)
		}
		got := h.messages(1)[0].data
		var a, b any
		if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal(want, &b) != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			e.Errorf("%.80s, want %.80s", got, want)
		}
	}
}

// cuts ends the session again and again while messages are published.
func cuts(e *env, w way) {
	const n = 300
	c := e.channel("hist", 1)
	h := e.listen(w, []string{c}, nil)
	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := range n {
			if err := e.tryPublish(c, i); err != nil {
				e.Errorf("publish %d: %v", i, err)
				return
			}
		}
	}()
	defer func() { <-published }()
	random := rand.New(rand.NewPCG(1, uint64(len(w.String()))))
	for seen := 0; seen < n; {
		for range 1 + random.IntN(60) {
			if m := h.messages(1)[0]; m.data != fmt.Sprint(seen) {
				e.Fatalf("%+v, want %d", m, seen)
			}
			if seen++; seen == n {
				break
			}
		}
		h.l.cut()
		h = e.listen(w, []string{c}, h.l.where())
		if !h.recovered[0] {
			e.Fatal("not recovered")
		}
	}
}

func lost(e *env, w way) {
	c := e.channel("small", 1)
	h := e.listen(w, []string{c}, nil)
	e.publish(c, 0)
	h.messages(1)
	h.l.cut()
	for i := range 10 {
		e.publish(c, i)
	}
	if h = e.listen(w, []string{c}, h.l.where()); h.recovered[0] {
		e.Error("recovered what is not there any more")
	}
	e.publish(c, "live")
	if m := h.messages(1)[0]; m.data != `"live"` {
		e.Errorf("%+v", m)
	}
}

func closed(e *env, w way) {
	l, err := w.open(e, []string{e.channel("closed", 1)}, nil)
	if err != nil {
		e.Fatal(err)
	}
	h := &hearer{e: e, l: l}
	defer l.cut()
	if ev := h.next(); ev.kind != refused || ev.code == 0 {
		e.Errorf("%+v, want refused", ev)
	}
}

func present(e *env, w way) {
	c := e.channel("hist", 1)
	h := e.listen(w, []string{c}, nil)
	e.until("one is present", func() bool { return e.clients(c) == 1 })
	h.l.cut()
	e.until("nobody is present", func() bool { return e.clients(c) == 0 })
}

func (e *env) clients(channel string) int {
	e.Helper()
	var stats struct {
		NumClients int `json:"num_clients"`
	}
	if err := e.api.Do(e.Context(), "presence_stats", map[string]any{"channel": channel}, &stats); err != nil {
		e.Fatal(err)
	}
	return stats.NumClients
}

func (e *env) until(what string, met func() bool) {
	e.Helper()
	for deadline := time.Now().Add(timeout); !met(); {
		if time.Now().After(deadline) {
			e.Fatal("not in time: " + what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func disconnected(e *env, w way) {
	e.user = "ann"
	h := e.listen(w, []string{e.channel("hist", 1)}, nil)
	if err := e.api.Do(e.Context(), "disconnect", map[string]any{"user": "ann"}, nil); err != nil {
		e.Fatal(err)
	}
	if ev := h.next(); ev.kind != ended || ev.code != 3503 {
		e.Errorf("%+v, want ended with 3503", ev)
	}
}

// alive waits for two of the server's pings, which come every two seconds.
func alive(e *env, w way) {
	c := e.channel("hist", 1)
	h := e.listen(w, []string{c}, nil)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		if m := h.messages(1)[0]; m.data != `"still there"` {
			e.Errorf("%+v", m)
		}
	}()
	select {
	case <-heard:
	case <-time.After(4500 * time.Millisecond):
	}
	e.publish(c, "still there")
	<-heard
}

func stopped(e *env, w way) {
	h := e.listen(w, []string{e.channel("hist", 1)}, nil)
	done := make(chan error, 1)
	go func(s *server.Server) {
		code, err := s.Stop(e.Context())
		if err == nil && code != 0 {
			err = fmt.Errorf("exit code %d", code)
		}
		done <- err
	}(e.server)
	if ev := h.next(); ev.kind != ended {
		e.Errorf("%+v, want ended", ev)
	}
	h.l.cut()
	if err := <-done; err != nil {
		e.Error(err)
	}
}
