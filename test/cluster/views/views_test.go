package views

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/test/wire"
)

type channelsReply struct {
	Channels map[string]struct {
		Clients int `json:"num_clients"`
	} `json:"channels"`
	Next string `json:"next_cursor"`
}

type infoReply struct {
	Nodes []struct {
		Name    string `json:"name"`
		Clients int    `json:"num_clients"`
		Subs    int    `json:"num_subs"`
	} `json:"nodes"`
}

// TestViews asks every node what is on all of them, and then what is left when one
// has died.
func TestViews(t *testing.T) {
	c := newTrio(t)
	for _, tt := range []struct {
		name string
		run  func(c *trio)
	}{
		{"lists and numbers", lists},
		{"Pusher's lists", pusherLists},
		{"presence", presence},
		{"a user is subscribed, unsubscribed and disconnected", control},
		{"a user's connections are limited over all nodes", limits},
		{"emulation over HTTP stream", func(c *trio) { emulation(c, "http_stream") }},
		{"emulation over SSE", func(c *trio) { emulation(c, "sse") }},
		{"XHR of Pusher", xhr},
		{"a backend is told once", tells},
		{"a node dies", death},
	} {
		t.Run(tt.name, func(t *testing.T) {
			here := *c
			here.t = t
			tt.run(&here)
		})
	}
}

func lists(c *trio) {
	for i := range 3 {
		c.join(i, fmt.Sprintf("lists-%d", i), "all-shared", fmt.Sprintf("all-own-%d", i))
	}
	for i := range 3 {
		var got channelsReply
		c.do(i, "channels", map[string]any{"pattern": "all-*"}, &got)
		if len(got.Channels) != 4 || got.Channels["all-shared"].Clients != 3 || got.Channels["all-own-2"].Clients != 1 {
			c.t.Errorf("node %d lists %+v", i+1, got.Channels)
		}
		// In pages nothing is missing and nothing twice.
		seen, cursor := map[string]int{}, ""
		for range 4 {
			var page channelsReply
			c.do(i, "channels", map[string]any{"pattern": "all-*", "limit": 1, "cursor": cursor}, &page)
			for name, row := range page.Channels {
				seen[name] += row.Clients
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if len(seen) != 4 || cursor != "" || seen["all-shared"] != 3 {
			c.t.Errorf("node %d pages through %v, then %q", i+1, seen, cursor)
		}
		var info infoReply
		c.do(i, "info", struct{}{}, &info)
		clients := 0
		for _, n := range info.Nodes {
			clients += n.Clients
		}
		if len(info.Nodes) != 3 || clients < 3 || info.Nodes[0].Name != fmt.Sprintf("n%d", i+1) {
			c.t.Errorf("node %d: %+v", i+1, info)
		}
	}
}

func pusherLists(c *trio) {
	c.join(0, "p-0", "room-p")
	c.join(1, "p-1", "room-p")
	var list struct {
		Channels map[string]struct {
			Count int `json:"subscription_count"`
		} `json:"channels"`
	}
	c.pusherGet(2, "/apps/views/channels", map[string]string{"filter_by_prefix": "room-", "info": "subscription_count"}, &list)
	if len(list.Channels) != 1 || list.Channels["room-p"].Count != 2 {
		c.t.Errorf("%+v", list)
	}
	var one struct {
		Occupied bool `json:"occupied"`
		Count    int  `json:"subscription_count"`
	}
	c.pusherGet(2, "/apps/views/channels/room-p", map[string]string{"info": "subscription_count"}, &one)
	if !one.Occupied || one.Count != 2 {
		c.t.Errorf("%+v", one)
	}
}

type presenceReply struct {
	Presence map[string]struct {
		User string `json:"user"`
	} `json:"presence"`
}

func presence(c *trio) {
	_, one := c.join(0, "ann", "present")
	_, two := c.join(1, "ann", "present")
	_, three := c.join(1, "ben", "present")
	for i := range 3 {
		c.eventually("all are present", func() bool {
			var got presenceReply
			c.do(i, "presence", map[string]any{"channel": "present"}, &got)
			return len(got.Presence) == 3 && got.Presence[one].User == "ann" && got.Presence[two].User == "ann" && got.Presence[three].User == "ben"
		})
		var stats struct {
			Clients int `json:"num_clients"`
			Users   int `json:"num_users"`
		}
		c.do(i, "presence_stats", map[string]any{"channel": "present"}, &stats)
		if stats.Clients != 3 || stats.Users != 2 {
			c.t.Errorf("node %d: %+v", i+1, stats)
		}
	}
}

// ends waits for a connection to be closed, and gives the code.
func ends(ctx context.Context, conn *wire.Conn) int {
	for {
		if _, err := conn.Next(ctx); err != nil {
			closed := &wire.Closed{}
			_ = errors.As(err, &closed)
			return closed.Code
		}
	}
}

func control(c *trio) {
	conns := make([]*wire.Conn, 2)
	for i := range conns {
		conns[i], _ = c.join(i, "carl")
	}
	members := func() int {
		var got presenceReply
		c.do(2, "presence", map[string]any{"channel": "made"}, &got)
		return len(got.Presence)
	}
	c.do(2, "subscribe", map[string]any{"user": "carl", "channel": "made"}, nil)
	c.eventually("both are subscribed", func() bool { return members() == 2 })
	c.do(2, "unsubscribe", map[string]any{"user": "carl", "channel": "made"}, nil)
	c.eventually("both are unsubscribed", func() bool { return members() == 0 })
	c.do(2, "disconnect", map[string]any{"user": "carl"}, nil)
	for i, conn := range conns {
		if code := ends(c.ctx, conn); code != 3503 {
			c.t.Errorf("the connection to node %d ends with %d", i+1, code)
		}
	}
}

func limits(c *trio) {
	conns := []*wire.Conn{}
	for i := range 3 {
		conn, _ := c.join(i, "dora")
		conns = append(conns, conn)
	}
	// Others know of them a beat later.
	for i := range 3 {
		c.eventually("one more is refused", func() bool { return c.refused(i, "dora") })
	}
	conns[0].Drop()
	c.eventually("there is room again", func() bool { return !c.refused(2, "dora") })
}

// refused tries whether a user may have one more connection.
func (c *trio) refused(i int, user string) bool {
	conn, _, err := c.connect(i, user)
	if err == nil {
		conn.Drop()
	}
	return err != nil
}

// request gives the status and the body, which the end of the test closes.
func (c *trio) request(method, url, contentType, body string) (int, *bufio.Reader) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.ctx, method, url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	res, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = res.Body.Close() })
	return res.StatusCode, bufio.NewReader(res.Body)
}

func (c *trio) post(url, contentType, body string) (int, *bufio.Reader) {
	c.t.Helper()
	return c.request(http.MethodPost, url, contentType, body)
}

// lineWith reads a stream up to a line that holds a text.
func lineWith(t *testing.T, in *bufio.Reader, text string) string {
	t.Helper()
	for {
		line, err := in.ReadString('\n')
		if strings.Contains(line, text) {
			return line
		}
		if err != nil {
			t.Fatalf("the stream ends without %q: %v", text, err)
		}
	}
}

// emulation: a session on the first node is spoken for on the second.
func emulation(c *trio, how string) {
	connect := `{"id":1,"connect":{"token":"` + token("emma-"+how) + `"}}`
	where := c.url(0) + "/connection/" + how
	var in *bufio.Reader
	if how == "sse" {
		_, in = c.request(http.MethodGet, where+"?"+url.Values{"cf_connect": {connect}}.Encode(), "", "")
	} else {
		_, in = c.post(where, "application/json", connect)
	}
	line := lineWith(c.t, in, `"connect"`)
	var m struct {
		Connect struct{ Session, Node string } `json:"connect"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &m); err != nil || m.Connect.Session == "" {
		c.t.Fatalf("%s: %v", line, err)
	}
	body, err := json.Marshal(map[string]string{
		"session": m.Connect.Session, "node": m.Connect.Node, "data": `{"id":2,"subscribe":{"channel":"emulated-` + how + `"}}`,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if code, _ := c.post(c.url(1)+"/emulation", "application/json", string(body)); code != http.StatusNoContent {
		c.t.Fatalf("HTTP %d", code)
	}
	lineWith(c.t, in, `"id":2`)
	c.do(2, "publish", map[string]any{"channel": "emulated-" + how, "data": "hello"}, nil)
	lineWith(c.t, in, `"hello"`)
}

// xhr: what a client of XHR says to the second node reaches its session on the first.
func xhr(c *trio) {
	path := "/pusher/app/views/123/abcdefgh/"
	_, in := c.post(c.url(0)+path+"xhr_streaming?protocol=7&client=js&version=8", "text/plain", "")
	lineWith(c.t, in, "connection_established")
	say := func(i int, text string) int {
		data, err := json.Marshal([]string{text})
		if err != nil {
			c.t.Fatal(err)
		}
		code, _ := c.post(c.url(i)+path+"xhr_send", "text/plain", string(data))
		return code
	}
	if code := say(1, `{"event":"pusher:subscribe","data":{"channel":"by-xhr"}}`); code != http.StatusNoContent {
		c.t.Fatalf("HTTP %d", code)
	}
	lineWith(c.t, in, "subscription_succeeded")
	// The audience of all nodes is told.
	c.join(2, "fred", "by-xhr")
	for line := ""; !strings.Contains(line, ":2}"); {
		line = lineWith(c.t, in, `subscription_count`)
	}
	// The next stream takes the place of this one, at whichever node it is asked for.
	for i := range 3 {
		_, next := c.post(c.url(2-i)+path+"xhr_streaming?protocol=7&client=js&version=8", "text/plain", "")
		_, _ = io.Copy(io.Discard, in) // it ends
		if code := say(i, `{"event":"pusher:ping","data":{}}`); code != http.StatusNoContent {
			c.t.Fatalf("HTTP %d", code)
		}
		lineWith(c.t, next, "pong")
		in = next
	}
	if code, _ := c.post(c.url(1)+"/pusher/app/views/123/unknown/xhr_send", "text/plain", `[]`); code != http.StatusNotFound {
		c.t.Errorf("a session that is nowhere: HTTP %d", code)
	}
}

func tells(c *trio) {
	b := c.backend
	var conns []*wire.Conn
	var clients []string
	for i := range 3 {
		conn, client := c.join(i, fmt.Sprintf("told-%d", i), "told")
		conns, clients = append(conns, conn), append(clients, client)
		c.do(i, "publish", map[string]any{"channel": "told", "data": i}, nil)
	}
	c.eventually("what happened on each node is told", func() bool {
		return len(b.of(event{Name: "subscribed", Channel: "told"})) == 3 && len(b.of(event{Name: "published", Channel: "told"})) == 3 &&
			len(b.of(event{Name: "channel_occupied", Channel: "told"})) == 1
	})
	for _, conn := range conns[:2] {
		conn.Drop()
	}
	c.eventually("who left is told", func() bool {
		return len(b.of(event{Name: "disconnected", Client: clients[0]})) == 1 && len(b.of(event{Name: "disconnected", Client: clients[1]})) == 1
	})
	conns[2].Drop()
	c.eventually("the channel is vacated", func() bool { return len(b.of(event{Name: "channel_vacated", Channel: "told"})) == 1 })
	if n := len(b.of(event{Name: "channel_occupied", Channel: "told"})); n != 1 {
		c.t.Errorf("occupied %d times", n)
	}
	for i, client := range clients {
		if n := len(b.of(event{Name: "connected", Client: client})); n != 1 {
			c.t.Errorf("the session of node %d is told %d times to have connected", i+1, n)
		}
	}
}

// death kills the second node: within 3 s nothing of it is in presence, lists and
// limits, and a backend is told of its sessions, once, by a node that is left.
func death(c *trio) {
	b := c.backend
	const clients = 20
	ids := map[string]bool{}
	for i := range clients {
		_, id := c.join(1, fmt.Sprintf("late-%d", i), "doomed", fmt.Sprintf("doomed-%d", i))
		ids[id] = true
	}
	_, left := c.join(0, "left", "doomed")
	for range 3 {
		c.join(1, "many")
	}
	c.eventually("all are told to be there", func() bool { return len(b.of(event{Name: "subscribed", Channel: "doomed"})) == clients+1 })
	c.eventually("limits know", func() bool { return c.refused(0, "many") })
	died := time.Now()
	c.nodes[1].Kill()
	presence := func() int {
		var got presenceReply
		if c.ask(2, "presence", map[string]any{"channel": "doomed"}, &got) != nil {
			return -1
		}
		if _, there := got.Presence[left]; !there {
			c.t.Error("who is left is not present")
		}
		return len(got.Presence)
	}
	c.eventually("presence is right", func() bool { return presence() == 1 })
	c.t.Logf("presence is right after %s", time.Since(died))
	c.eventually("limits are right", func() bool { return !c.refused(0, "many") })
	c.t.Logf("limits are right after %s", time.Since(died))
	c.eventually("lists are right", func() bool {
		var got channelsReply
		var info infoReply
		return c.ask(2, "channels", map[string]any{"pattern": "doomed*"}, &got) == nil && len(got.Channels) == 1 &&
			c.ask(2, "info", struct{}{}, &info) == nil && len(info.Nodes) == 2
	})
	c.t.Logf("lists are right after %s", time.Since(died))
	c.eventually("their end is told", func() bool { return len(b.of(event{Name: "unsubscribed", Channel: "doomed"})) >= clients })
	c.eventually("their channels are vacated", func() bool {
		for i := range clients {
			if len(b.of(event{Name: "channel_vacated", Channel: fmt.Sprintf("doomed-%d", i)})) == 0 {
				return false
			}
		}
		return true
	})
	c.t.Logf("all is told after %s", time.Since(died))
	for id := range ids {
		if gone := b.of(event{Name: "disconnected", Client: id}); len(gone) != 1 || gone[0].Code != 3000 {
			c.t.Errorf("the end of %s is told as %+v", id, gone)
		}
	}
	if len(b.of(event{Name: "disconnected", Client: left})) > 0 || len(b.of(event{Name: "channel_vacated", Channel: "doomed"})) > 0 {
		c.t.Error("who is left is told to have gone")
	}
	// What happens now is told, too.
	c.do(0, "publish", map[string]any{"channel": "doomed", "data": 1}, nil)
	c.eventually("what happens afterwards is told", func() bool { return len(b.of(event{Name: "published", Channel: "doomed"})) == 1 })
	b.mu.Lock()
	defer b.mu.Unlock()
	c.t.Logf("%d events, %d calls were made again", len(b.events), b.again)
}
