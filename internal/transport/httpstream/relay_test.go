package httpstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/pack"
)

// mesh is nodes that reach each other, in this process.
type mesh struct {
	*testing.T

	nodes []*fixture
	xhrs  []*XHR
	wires *wires
}

// wires carry what nodes say to each other.
type wires struct {
	mu    sync.Mutex
	alive map[string]engine.Respondent
	lose  func(m *relayMessage) bool // nil: nothing
}

// meshEngine is the engine of one of them.
type meshEngine struct {
	noEngine

	wires *wires
	id    string
}

type respondent interface {
	engine.Follower
	engine.Respondent
}

func (e *meshEngine) Attach(f engine.Follower) {
	e.wires.mu.Lock()
	defer e.wires.mu.Unlock()
	e.wires.alive[e.id] = f.(respondent) //nolint:forcetypeassert // a hub is one
}

func (e *meshEngine) others() map[string]engine.Respondent {
	e.wires.mu.Lock()
	defer e.wires.mu.Unlock()
	list := make(map[string]engine.Respondent)
	for id, r := range e.wires.alive {
		if id != e.id {
			list[id] = r
		}
	}
	return list
}

func (e *meshEngine) Alive() (list []string) {
	for id := range e.others() {
		list = append(list, id)
	}
	return list
}

func (e *meshEngine) Ask(q []byte, done func([]engine.Answer, error)) {
	var answers []engine.Answer
	for id, r := range e.others() {
		answers = append(answers, engine.Answer{Node: id, Data: r.Answer(q)})
	}
	done(answers, nil)
}

func (e *meshEngine) Control(c engine.Control, done func(error)) {
	m, err := readRelay(c.Data)
	if err != nil {
		panic(err)
	}
	e.wires.mu.Lock()
	lost := e.wires.lose != nil && e.wires.lose(m)
	e.wires.mu.Unlock()
	r := e.others()[c.Node]
	if r == nil {
		done(engine.ErrUnknownNode)
		return
	}
	if !lost {
		r.(respondent).Control(c) //nolint:forcetypeassert // as Attach has it
	}
	done(nil)
}

func newMesh(t *testing.T, m mode) *mesh {
	t.Helper()
	c := &mesh{T: t, wires: &wires{alive: make(map[string]engine.Respondent)}}
	for i := range 3 {
		f := &fixture{t: t, mode: m}
		id := fmt.Sprint("n", i)
		c.xhrs = append(c.xhrs, f.serveXHROn(&meshEngine{wires: c.wires, id: id}, id))
		c.nodes = append(c.nodes, f)
	}
	t.Cleanup(c.loseAll)
	return c
}

// loseAll ends the sessions: a stop would wait for their clients to ask why.
func (c *mesh) loseAll() {
	for _, x := range c.xhrs {
		x.mu.Lock()
		list := slices.Collect(maps.Values(x.sessions))
		x.mu.Unlock()
		for _, s := range list {
			s.shard.Post(s.lose)
		}
	}
}

func eachMesh(t *testing.T, fn func(c *mesh)) {
	t.Helper()
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) { fn(newMesh(t, m)) })
	}
}

// kill takes a node from the others' sight.
func (n *wires) kill(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.alive, id)
}

func (n *wires) setLose(lose func(m *relayMessage) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lose = lose
}

// open opens a session at node 0 by a request of that kind.
func (c *mesh) open(kind string) *hub.Session {
	c.Helper()
	s := c.nodes[0].post("/key/1/abc/"+kind, "")
	s.expect("o", `a["hello key"]`)
	hs := <-c.nodes[0].proto.opened
	if kind == "xhr_streaming" { // what a client has before it asks for another stream
		on(hs, func() {
			for range 5 {
				hs.Send([]byte(strings.Repeat("x", xhrStream/4)))
			}
		})
		for read := 0; read <= xhrStream; {
			read += len(s.line()) + 1
		}
		s.leave()
		c.nodes[0].until("the stream is left", func() bool { return c.answer(hs) == nil })
	}
	return hs
}

// answer is the response that a session has.
func (c *mesh) answer(hs *hub.Session) (a *answer) {
	on(hs, func() { a = hs.Conn().(*carrier).now }) //nolint:forcetypeassert // of an XHR
	return a
}

// outlet waits for the response to be at another node.
func (c *mesh) outlet(hs *hub.Session) (o *outlet) {
	c.Helper()
	c.nodes[0].until("the response is at another node", func() bool {
		if a := c.answer(hs); a != nil {
			o, _ = a.stream.(*outlet)
		}
		return o != nil
	})
	return o
}

// visitor is the response that node i has; there is one.
func (c *mesh) visitor(i int) (v *visitor) {
	c.Helper()
	r := &c.xhrs[i].relays
	c.nodes[i].until("there is a relay", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, v = range r.visitors {
			return r.open.Value() > 0 // it is open
		}
		return false
	})
	return v
}

// ended waits until no node has a relay, and node 0 no session.
func (c *mesh) ended() {
	c.Helper()
	c.rest()
	c.nodes[0].ended()
}

// rest waits until no node has a relay.
func (c *mesh) rest() {
	c.Helper()
	for i, x := range c.xhrs {
		c.nodes[i].until("no relay is left", func() bool {
			x.relays.mu.Lock()
			defer x.relays.mu.Unlock()
			return len(x.relays.outlets)+len(x.relays.visitors) == 0
		})
		c.nodes[i].until("no guest is counted", func() bool { return x.relays.open.Value() == 0 })
	}
}

// poll asks in the background, and gives the status and the body.
func (c *mesh) poll(i int) func() (int, string) {
	type reply struct {
		status int
		body   string
	}
	replies := make(chan reply, 1)
	go func() {
		req, err := http.NewRequestWithContext(c.Context(), http.MethodPost, c.nodes[i].url("/key/1/abc/xhr"), http.NoBody)
		if err != nil {
			panic(err)
		}
		res, err := c.nodes[i].client.Do(req)
		if err != nil {
			replies <- reply{0, err.Error()}
			return
		}
		defer func() { _ = res.Body.Close() }()
		body, _ := io.ReadAll(res.Body)
		replies <- reply{res.StatusCode, string(body)}
	}()
	return func() (int, string) {
		r := <-replies
		return r.status, r.body
	}
}

// A session is told the same, wherever its client asks and speaks.
func TestRelayedStreams(t *testing.T) {
	eachMesh(t, func(c *mesh) {
		const session, messages = "/key/1/abc", 200
		s := c.nodes[0].post(session+"/xhr_streaming", "")
		s.expect("o", `a["hello key"]`)
		hs := <-c.nodes[0].proto.opened
		text := strings.Repeat("é", 1500)
		on(hs, func() {
			for i := range messages {
				hs.Send([]byte(fmt.Sprint(i, text)))
			}
		})
		seen, streams := 0, 1
		for read := len("o\n") + len(`a["hello key"]`) + 1; seen < messages; {
			if read > xhrStream {
				s.leave()
				s = c.nodes[streams%3].post(session+"/xhr_streaming", "")
				read, streams = 0, streams+1
			}
			line := s.line()
			read += len(line) + 1
			var got []string
			if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "a")), &got); err != nil || len(got) != 1 || got[0] != fmt.Sprint(seen, text) {
				c.Fatalf("line %d is %.40q…: %v", seen, line, err)
			}
			seen++
		}
		if streams != 7 {
			c.Errorf("%d streams", streams)
		}
		for i, f := range c.nodes {
			f.say(session, fmt.Sprintf(`["to %d"]`, i), http.StatusNoContent)
			s.expect(fmt.Sprintf(`a["to %d"]`, i))
		}
		c.nodes[2].say(session, `["bye"]`, http.StatusNoContent)
		s.expect(`c[3503,"force disconnect"]`)
		c.ended()
		for _, f := range c.nodes {
			f.say(session, `["one"]`, http.StatusNotFound)
		}
	})
}

func TestRelayedPolls(t *testing.T) {
	eachMesh(t, func(c *mesh) {
		hs := c.open("xhr")
		const messages = 60
		go func() {
			for i := range messages {
				on(hs, func() { hs.Send([]byte(fmt.Sprint(i))) })
			}
		}()
		got, want := "", ""
		for i := range messages {
			want += fmt.Sprintf("a[\"%d\"]\n", i)
		}
		for i := 1; len(got) < len(want); i++ {
			status, body := c.poll(i % 3)()
			if got += body; status != http.StatusOK || !strings.HasPrefix(want, got) {
				c.Fatalf("poll %d: %d %q", i, status, body)
			}
		}
		// One message that takes many of those between nodes.
		large := strings.Repeat("y", 5*relayWindow)
		on(hs, func() { hs.Send([]byte(large)) })
		if _, body := c.poll(1)(); body != `a["`+large+"\"]\n" {
			c.Errorf("%d bytes", len(body))
		}
		// No poll has had a guest's place for longer than it took.
		for _, f := range c.nodes[1:] {
			f.until("no connection is counted", func() bool { return f.hub.Connections() == 0 })
		}
		on(hs, func() { hs.Disconnect(hub.DisconnectForced) })
		if _, body := c.poll(2)(); body != "c[3503,\"force disconnect\"]\n" {
			c.Errorf("%q", body)
		}
		c.ended()
	})
}

// Whoever leaves a response that had more to bring is gone, and who asks again takes
// the place of the response before.
func TestRelayedClientLeaves(t *testing.T) {
	eachMesh(t, func(c *mesh) {
		hs := c.open("xhr_streaming")
		s := c.nodes[1].post("/key/1/abc/xhr_streaming", "")
		first := s.line() // what the stream before had no room for
		later := c.nodes[2].post("/key/1/abc/xhr_streaming", "")
		if rest, err := io.ReadAll(s.lines); err == nil && len(rest) > 0 {
			c.Errorf("after %.10q… %.10q…", first, rest)
		}
		c.nodes[1].say("/key/1/abc", `["one"]`, http.StatusNoContent)
		later.expect(`a["one"]`)
		later.leave()
		c.ended()
		if hs.Alive() {
			c.Error("the session goes on")
		}
	})
}

// A client that does not read costs a bounded number of bytes at both nodes.
func TestRelayedSlowClient(t *testing.T) {
	eachMesh(t, func(c *mesh) {
		hs := c.open("xhr")
		on(hs, func() { hs.Conn().(*carrier).polls = false }) //nolint:forcetypeassert // of an XHR; as if it had begun so
		text := strings.Repeat("z", 1000)
		s := c.nodes[1].post("/key/1/abc/xhr_streaming", "")
		o, v := c.outlet(hs), c.visitor(1)
		on(hs, func() {
			for i := range 3000 {
				hs.Send([]byte(fmt.Sprint(i, text)))
			}
		})
		for i := range 200 {
			s.expect(fmt.Sprintf(`a["%d%s"]`, i, text))
			var onWay, held int
			on(hs, func() { onWay = int(o.sent - o.taken) })
			done := make(chan struct{})
			v.place.Post(func() { held = len(v.out); close(done) })
			<-done
			if onWay > relayWindow || held > relayWindow {
				c.Fatalf("%d bytes on their way, %d held", onWay, held)
			}
		}
		on(hs, func() { hs.Disconnect(hub.DisconnectSlow) })
		s.leave()
		c.ended()
	})
}

// When the session's node dies a response says so, and the next begins a session.
func TestRelayedNodeDies(t *testing.T) {
	eachMesh(t, func(c *mesh) {
		c.open("xhr")
		answer := c.poll(1)
		v := c.visitor(1)
		c.wires.kill("n0")
		v.place.Post(v.tick)
		if status, body := answer(); status != http.StatusServiceUnavailable {
			c.Errorf("%d %q", status, body)
		}
		c.nodes[1].until("the relay has ended", func() bool { return c.xhrs[1].relays.visitor(v.relay) == nil })
		if _, body := c.poll(1)(); body != "o\na[\"hello key\"]\n" && body != "o\n" {
			c.Errorf("%q", body)
		}
		if n := c.nodes[1].count.NodeRelaysBroken.Value(); n != 1 {
			c.Errorf("%d relays are counted as broken", n)
		}
	})
}

// When the node of a response dies its session is lost, as if the client had left; so
// it is when nothing is heard of it.
func TestRelayedResponseDies(t *testing.T) {
	for name, die := range map[string]func(c *mesh, o *outlet){
		"dead":   func(c *mesh, _ *outlet) { c.wires.kill("n1") },
		"silent": func(_ *mesh, o *outlet) { o.heard = o.heard.Add(-2 * relaySilence) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newMesh(t, modes()[0])
			hs := c.open("xhr_streaming")
			s := c.nodes[1].post("/key/1/abc/xhr_streaming", "")
			s.line()
			o := c.outlet(hs)
			on(hs, func() { die(c, o); o.tick() })
			c.nodes[0].ended()
			if name == "silent" {
				if rest, err := io.ReadAll(s.lines); err == nil && strings.Contains(string(rest), "\n") {
					c.Errorf("%.20q", rest)
				}
				c.rest()
				return
			}
			s.leave()
		})
	}
}

// A message that is lost is never skipped: the response breaks.
func TestRelayLosesMessages(t *testing.T) {
	for _, kind := range []relayKind{relayOpen, relayPart, relayLast} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			c := newMesh(t, modes()[0])
			hs := c.open("xhr")
			answer := c.poll(1)
			v := c.visitor(1)
			if kind != relayOpen {
				c.outlet(hs)
			}
			left := 1
			c.wires.setLose(func(m *relayMessage) bool {
				if m.kind == kind && left > 0 {
					left--
					return true
				}
				return false
			})
			if kind == relayOpen { // another one, to lose it
				answer = c.poll(2)
				v = c.visitor(2)
			}
			on(hs, func() { hs.Send([]byte(strings.Repeat("x", 3*relayChunk))) })
			v.place.Post(func() {
				if kind != relayPart { // that is noticed by the next
					v.heard = v.heard.Add(-2 * relaySilence)
					v.tick()
				}
			})
			// Whichever of the two nodes notices first: an error, or no answer at all.
			if status, body := answer(); status != http.StatusServiceUnavailable && status != 0 {
				c.Errorf("%d %.20q", status, body)
			}
		})
	}
}

// What is lost at the end of a stream is noticed by the next sign of life.
func TestRelayLosesTheEnd(t *testing.T) {
	c := newMesh(t, modes()[0])
	hs := c.open("xhr_streaming")
	s := c.nodes[1].post("/key/1/abc/xhr_streaming", "")
	s.line()
	o := c.outlet(hs)
	c.wires.setLose(func(m *relayMessage) bool { return m.kind == relayPart && len(m.bytes) > 0 })
	on(hs, func() { hs.Send([]byte("lost")) })
	on(hs, func() { o.ticks = 2; o.tick() })
	if rest, err := io.ReadAll(s.lines); err == nil && strings.Contains(string(rest), "a[") {
		c.Errorf("%.20q", rest)
	}
	c.ended()
}

// What a request says costs the session's node what it says, and not what it was
// wrapped in.
func TestRelayCarriesWhatIsSaid(t *testing.T) {
	c := newMesh(t, modes()[0])
	c.open("xhr")
	carried := make(chan []byte, 2)
	c.wires.setLose(func(m *relayMessage) bool {
		if m.kind == relaySaid {
			carried <- m.bytes
		}
		return false
	})
	blank := strings.Repeat(" ", 1000)
	c.nodes[1].say("/key/1/abc", "["+blank+"]", http.StatusNoContent)
	if b := <-carried; len(b) != 0 {
		c.Errorf("%d bytes say nothing", len(b))
	}
	c.nodes[1].say("/key/1/abc", `[`+blank+`"\u00e9", "\n"]`, http.StatusNoContent)
	if said, err := readTexts(<-carried); err != nil || !slices.Equal(said, []string{"é", "\n"}) {
		c.Errorf("%q, %v", said, err)
	}
	for _, b := range []string{"\x01", "\x00\x02a", "\xff"} {
		if said, err := readTexts([]byte(b)); err == nil {
			t.Errorf("%q is %q", b, said)
		}
	}
}

// No App's session is reached by another's request, whatever it is called.
func TestRelayKeepsAppsApart(t *testing.T) {
	c := newMesh(t, modes()[0])
	hs := c.open("xhr")
	for i, f := range c.nodes {
		other := func(r *http.Request) { r.URL.RawQuery = "app=other" }
		res := f.ask(http.MethodPost, `["one"]`, func(r *http.Request) { r.URL.Path = "/key/1/abc/xhr_send"; other(r) })
		if res.StatusCode != http.StatusNotFound {
			c.Errorf("node %d takes it: %d", i, res.StatusCode)
		}
	}
	res := c.nodes[1].ask(http.MethodPost, "", func(r *http.Request) { r.URL.Path = "/key/1/abc/xhr"; r.URL.RawQuery = "app=other" })
	if first := res.line(); first != "o" {
		c.Errorf("%q", first)
	}
	if a := c.answer(hs); a != nil {
		c.Error("the session has a response")
	}
}

// A node that stops gives its responses back: a poll is asked again elsewhere and the
// session goes on, the client of a stream is told to come back.
func TestRelayedNodeStops(t *testing.T) {
	eachMesh(t, func(c *mesh) {
		hs := c.open("xhr")
		answer := c.poll(1)
		c.outlet(hs)
		ctx, cancel := context.WithTimeout(c.Context(), patience)
		defer cancel()
		if err := c.nodes[1].hub.Drain(ctx, 1000); err != nil {
			c.Error(err)
		}
		if status, body := answer(); status != http.StatusOK || body != "" {
			c.Errorf("%d %q", status, body)
		}
		// The node serves who comes back to it all the same.
		answer = c.poll(1)
		c.outlet(hs)
		on(hs, func() { hs.Send([]byte("still there")) })
		if _, body := answer(); body != "a[\"still there\"]\n" {
			c.Errorf("%q", body)
		}
		on(hs, func() { hs.Conn().(*carrier).polls = false }) //nolint:forcetypeassert // of an XHR; as if it had begun so
		s := c.nodes[1].post("/key/1/abc/xhr_streaming", "")
		c.outlet(hs)
		stopped := make(chan error)
		go func() { stopped <- c.nodes[1].hub.Shutdown(ctx) }()
		s.expect(`c[3001,"shutdown"]`)
		if err := <-stopped; err != nil {
			c.Error(err)
		}
		c.nodes[0].ended()
		c.open("xhr")
		if status, body := c.poll(1)(); status != http.StatusOK || body != "" {
			c.Errorf("a poll at a node that has stopped: %d %q", status, body)
		}
	})
}

// A request for a session that ends meanwhile is answered as on one node.
func TestRelayedSessionEnds(t *testing.T) {
	c := newMesh(t, modes()[0])
	c.open("xhr")
	x := c.xhrs[0]
	found := x.find("/key/1/abc")
	if found == nil {
		c.Fatal("no session")
	}
	c.wires.setLose(func(m *relayMessage) bool {
		if m.kind == relayOpen {
			x.remove(found)
		}
		return false
	})
	if status, body := c.poll(1)(); status != http.StatusNotFound {
		c.Errorf("%d %q", status, body)
	}
	found.shard.Post(func() { found.lose() })
}

// The number of connections counts responses whose session is elsewhere.
func TestRelayedAreLimited(t *testing.T) {
	c := newMesh(t, modes()[0])
	hs := c.open("xhr")
	answer := c.poll(1)
	c.outlet(hs)
	if n, clients := c.nodes[1].hub.Connections(), c.nodes[1].hub.Info().Clients; n != 1 || clients != 0 {
		c.Errorf("%d connections, %d clients", n, clients)
	}
	on(hs, func() { hs.Send([]byte("one")) })
	answer()
	c.rest()
}

func TestRelayMessages(t *testing.T) {
	m := relayMessage{kind: relayLast, from: "n1", relay: "r", session: "s", polls: true, count: 1 << 40, status: 404, bytes: []byte("x")}
	b := m.append(nil)
	got, err := readRelay(b)
	if err != nil || fmt.Sprint(*got) != fmt.Sprint(m) {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range len(b) - 1 {
		if _, err := readRelay(b[:n]); err == nil {
			t.Errorf("the first %d bytes are a message", n)
		}
	}
	newer := slices.Clone(b)
	newer[0] = relayVersion + 1
	if _, err := readRelay(newer); err == nil || errors.Is(err, pack.ErrMalformed) {
		t.Errorf("a newer version: %v", err)
	}
}

func FuzzRelay(f *testing.F) {
	f.Add((&relayMessage{kind: relayPart, from: "n1", relay: "r", count: 3, bytes: []byte("abc")}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readRelay(b)
		if err != nil {
			return
		}
		again, err := readRelay(m.append(nil))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(m) {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}
