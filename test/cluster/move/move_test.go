package move

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/client"
	"github.com/fanfare-push/fanfare/test/cluster/trio"
	"github.com/fanfare-push/fanfare/test/server"
	"github.com/fanfare-push/fanfare/test/wire"
)

// subscribe subscribes a new client to room; since "": from now on.
func subscribe(t *testing.T, s *server.Server, since string) (*wire.Conn, *wire.Subscribed) {
	t.Helper()
	c, err := wire.Connect(within(t), s.WebSocketURL())
	must(t, err)
	t.Cleanup(c.Drop)
	must(t, c.Send(within(t), `{"id":2,"subscribe":{"channel":"room"`+since+`}}`))
	m, err := c.Reply(within(t), 2)
	must(t, err)
	if m.Subscribe == nil {
		t.Fatalf("subscribe: %s", m.Raw)
	}
	return c, m.Subscribe
}

// next is the data of the next publications that a client is pushed.
func next(t *testing.T, c *wire.Conn, n int) (list []string) {
	t.Helper()
	for len(list) < n {
		m, err := c.Next(within(t))
		must(t, err)
		if m.Push != nil && m.Push.Pub != nil {
			list = append(list, fmt.Sprintf("%d:%s", m.Push.Pub.Offset, m.Push.Pub.Data))
		}
	}
	return list
}

// TestMove is the whole way: channels, a subscriber, an App with a key and a
// namespace, to a cluster and on.
func TestMove(t *testing.T) {
	old, oldDir := node(t)
	operator := api(t, old, operatorKey)
	publish(t, operator, "room", numbers(1, 10)...)
	c, sub := subscribe(t, old, "")
	if !sub.Recoverable || sub.Offset != 10 {
		t.Fatalf("subscribed: %+v", sub)
	}
	publish(t, operator, "room", 11)
	if got := next(t, c, 1); got[0] != "11:11" {
		t.Fatalf("pushed %v", got)
	}
	c.Drop() // and what follows is missed
	at := publish(t, operator, "room", numbers(12, 20)...)
	large := batch(t, operator, "large", 4000)
	for i := range 300 {
		publish(t, operator, fmt.Sprint("small", i), i)
	}
	shopKey := furnish(t, operator)
	shop := api(t, old, shopKey)
	publish(t, shop, "chat:1", numbers(1, 3)...)
	want := map[string]string{"room": history(t, operator, "room"), "large": history(t, operator, "large"), "small7": history(t, operator, "small7")}
	wantShop := history(t, shop, "chat:1")
	old.Kill() // the worst that can be: a stop leaves no less

	nodes, three := startCluster(t)
	code, printed := importTo(t, nodes[0], oldDir)
	if code != 0 || !strings.Contains(printed, fmt.Sprintf("%d publications (0 of them before)", 20+large+300+3+4)) {
		t.Fatalf("import ended with %d:\n%s", code, printed)
	}
	for i, n := range nodes {
		a := api(t, n, operatorKey)
		for name, want := range want {
			// The other nodes apply what this one was told of in a moment.
			eventually(t, fmt.Sprintf("node %d has the history of %s", i+1, name), func() (bool, string) {
				got := history(t, a, name)
				return got == want, fmt.Sprintf("%.300s, want %.300s", got, want)
			})
		}
		eventually(t, fmt.Sprintf("node %d knows the app", i+1), func() (bool, string) {
			h, err := api(t, n, shopKey).History(within(t), "chat:1", client.HistoryQuery{Limit: -1})
			got, _ := json.Marshal(h)
			return err == nil && string(got) == wantShop, fmt.Sprintf("%s %v", got, err)
		})
	}

	goesOn(t, nodes, at)
	if p, err := api(t, nodes[1], shopKey).Publish(within(t), client.Message{Channel: "chat:1", Data: json.RawMessage("4")}); err != nil || p.Offset != 4 {
		t.Errorf("the app goes on with %+v %v", p, err)
	}

	// Again, from another node and with clients on it: nothing is changed.
	before := history(t, api(t, nodes[2], operatorKey), "room")
	code, printed = importTo(t, nodes[2], oldDir)
	if code != 0 || !strings.Contains(printed, fmt.Sprintf("(%d of them before)", 20+large+300+3+4)) {
		t.Errorf("repeated, the import ended with %d:\n%s", code, printed)
	}
	if after := history(t, api(t, nodes[2], operatorKey), "room"); after != before {
		t.Errorf("repeated, the import made %s of %s", after, before)
	}
	wayBack(t, oldDir, three, at)
}

// node is one that is alone, and its working directory.
func node(t *testing.T) (*server.Server, string) {
	t.Helper()
	dir := t.TempDir()
	return start(t, server.Options{Dir: dir}), dir
}

// batch publishes many at once, and says how many.
func batch(t *testing.T, a *client.API, channel string, n int) int {
	t.Helper()
	for part := range slices.Chunk(numbers(1, n), 500) {
		done := make(chan error, len(part))
		for range part {
			go func() {
				_, err := a.Publish(context.WithoutCancel(t.Context()), client.Message{Channel: channel, Data: json.RawMessage(`"` + strings.Repeat("x", 300) + `"`)})
				done <- err
			}()
		}
		for range part {
			must(t, <-done)
		}
	}
	return n
}

// furnish makes an App at run time, and gives a key of it. It takes four entries in
// the log of Apps.
func furnish(t *testing.T, a *client.API) (key string) {
	t.Helper()
	must(t, a.CreateApp(within(t), "shop", client.AppSettings{}))
	k, err := a.CreateKey(within(t), "shop", "backend", "admin")
	must(t, err)
	must(t, a.SetNamespace(within(t), "shop", json.RawMessage(`{"name":"chat","history_size":100,"history_ttl":"1h"}`)))
	must(t, a.SetNamespace(within(t), "", json.RawMessage(`{"name":"news","history_size":1,"history_ttl":"1h"}`)))
	return k.Secret
}

// goesOn brings the subscriber of the old node back on one node of the cluster: it
// recovers exactly what it missed, and is pushed what another publishes next.
func goesOn(t *testing.T, nodes [trio.Size]*server.Server, at client.Position) {
	t.Helper()
	c, sub := subscribe(t, nodes[2], `,"recover":true,"epoch":"`+at.Epoch+`","offset":11`)
	var missed []string
	for _, p := range sub.Publications {
		missed = append(missed, fmt.Sprintf("%d:%s", p.Offset, p.Data))
	}
	if want := strings.Fields("12:12 13:13 14:14 15:15 16:16 17:17 18:18 19:19 20:20"); !sub.Recovered || sub.Epoch != at.Epoch || !slices.Equal(missed, want) {
		t.Errorf("recovered %v in %s: %v, want %v in %s", sub.Recovered, sub.Epoch, missed, want, at.Epoch)
	}
	if got := publish(t, api(t, nodes[0], operatorKey), "room", 21); got.Offset != 21 || got.Epoch != at.Epoch {
		t.Errorf("published at %+v after %+v", got, at)
	}
	if got := next(t, c, 1); got[0] != "21:21" {
		t.Errorf("pushed %v", got)
	}
}

// wayBack: neither directory is taken for what it is not, and the old node comes back
// only in new epochs.
func wayBack(t *testing.T, oldDir string, c *trio.Trio, at client.Position) {
	t.Helper()
	refuses := func(dir, words string) {
		t.Helper()
		s, err := server.Start(within(t), server.Options{Bin: bin, Dir: dir, Config: settings})
		var exit *server.ExitError
		if err == nil {
			s.Kill()
		}
		if !errors.As(err, &exit) || !strings.Contains(exit.Output, words) {
			t.Errorf("a node that is alone on %s: %v, want %q", dir, err, words)
		}
	}
	refuses(oldDir, "was moved to a cluster")
	c.Kill(0)
	refuses(c.Dir(0), "is that of a node of a cluster")
	data := filepath.Join(oldDir, "data")
	must(t, os.Rename(filepath.Join(data, "MOVED"), filepath.Join(data, "RESTORED")))
	back := start(t, server.Options{Dir: oldDir})
	if got := publish(t, api(t, back, operatorKey), "room", 21); got.Offset != 21 || got.Epoch == at.Epoch {
		t.Errorf("the old node goes on at %+v, the cluster is at %+v", got, at)
	}
}

// What is there already is not overwritten, and the operator is told.
func TestImportSaysWhatItLeaves(t *testing.T) {
	old, oldDir := node(t)
	publish(t, api(t, old, operatorKey), "room", 1, 2)
	publish(t, api(t, old, operatorKey), "other", 1)
	alone, _ := node(t)
	if code, printed := importTo(t, alone, oldDir); code == 0 || !strings.Contains(printed, "in use by another fanfare process") {
		t.Errorf("of a node that runs: %d\n%s", code, printed)
	}
	old.Kill()
	if code, printed := importTo(t, alone, oldDir); code == 0 || !strings.Contains(printed, "this one is alone") {
		t.Errorf("to a node that is alone: %d\n%s", code, printed)
	}
	if code, printed := run(t, "cluster", "import", "--from", filepath.Join(oldDir, "data"), "--server", alone.Addr(), "--api-key", "wrong"); code == 0 || !strings.Contains(printed, "--api-key") {
		t.Errorf("with a wrong key: %d\n%s", code, printed)
	}
	nodes, _ := startCluster(t)
	early := publish(t, api(t, nodes[0], operatorKey), "room", 7)
	code, printed := importTo(t, nodes[1], oldDir)
	if code != 1 || !strings.Contains(printed, `left: channel "room" of app "default": the channel is in the cluster with another history`) ||
		!strings.Contains(printed, " 1 publications (0 of them before)") {
		t.Errorf("%d\n%s", code, printed)
	}
	if got := publish(t, api(t, nodes[0], operatorKey), "room", 8); got.Epoch != early.Epoch || got.Offset != 2 {
		t.Errorf("%+v after %+v", got, early)
	}
}

// An import whose process is killed, and in the middle of which a node dies, is
// repeated with another node, and all is there.
func TestImportIsInterrupted(t *testing.T) {
	old, oldDir := node(t)
	operator := api(t, old, operatorKey)
	names := []string{"room0", "room1", "room2", "room3", "room4", "room5"} // in more logs than one
	want := map[string]string{}
	for _, name := range names {
		batch(t, operator, name, 1500)
		want[name] = history(t, operator, name)
	}
	old.Kill()
	nodes, c := startCluster(t)

	ctx, kill := context.WithCancel(within(t))
	defer kill()
	first := exec.CommandContext(ctx, bin, "cluster", "import", "--from", filepath.Join(oldDir, "data"), "--server", nodes[0].Addr(), "--api-key", operatorKey)
	must(t, first.Start())
	watcher := api(t, nodes[2], operatorKey)
	eventually(t, "the import has begun", func() (bool, string) {
		h, err := watcher.History(within(t), names[0], client.HistoryQuery{}) // a look makes a channel, which gives way
		return h.Offset > 0, fmt.Sprintf("%+v %v", h.Position, err)
	})
	c.Kill(1)
	kill()
	_ = first.Wait() // killed, unless it was faster

	code, printed := importTo(t, nodes[2], oldDir)
	if code != 0 || !strings.Contains(printed, fmt.Sprintf("%d publications", len(names)*1500)) {
		t.Fatalf("the second import ended with %d:\n%s", code, printed)
	}
	t.Logf("%s", printed)
	must(t, c.Start(within(t), 1))
	must(t, c.AwaitReady(within(t)))
	for i := range trio.Size {
		a := api(t, c.Server(i), operatorKey)
		for _, name := range names {
			eventually(t, fmt.Sprintf("node %d has the history of %s", i+1, name), func() (bool, string) {
				got := history(t, a, name)
				return got == want[name], fmt.Sprintf("%.300s, want %.300s", got, want[name])
			})
		}
	}
}
