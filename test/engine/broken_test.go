package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestNoDescriptorsLeft: while the process may open no more, those who are there
// are served; when there are some again, so are new ones.
func TestNoDescriptorsLeft(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // there is no limit to reach
	}
	const limit = 128
	wrap := []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, limit), "sh"}
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			n := start(t, "", mode+"log: {level: debug}\n", wrap)
			here := n.subscribed("cut:a")
			n.publish("cut:a", 0, nil) // the API's own connection is open
			if _, err := here.publication(); err != nil {
				t.Fatal(err)
			}
			hoard := hoardUntil(t, n, 2*limit, "too many open files")
			for i := range 20 {
				n.publish("cut:a", i, nil)
				if p, err := here.publication(); err != nil || string(p.Push.Pub.Data) != fmt.Sprint(i) {
					t.Fatalf("%+v, %v", p, err)
				}
			}
			for _, c := range hoard {
				_ = c.Close()
			}
			another := n.subscribed("cut:a") // its deadline is patience
			n.publish("cut:a", "new", nil)
			for _, c := range []*client{here, another} {
				if p, err := c.publication(); err != nil || string(p.Push.Pub.Data) != `"new"` {
					t.Errorf("%+v, %v", p, err)
				}
			}
		})
	}
}

// hoardUntil opens connections that say nothing until the server complains.
func hoardUntil(t *testing.T, n *node, count int, complaint string) (hoard []net.Conn) {
	t.Helper()
	for range count {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", n.srv.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		hoard = append(hoard, c)
	}
	for deadline := time.Now().Add(patience); !strings.Contains(n.srv.Output(), complaint); {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections and no complaint:\n%s", count, n.srv.Output())
		}
		runtime.Gosched()
	}
	return hoard
}

// TestDescriptorsAreNotConfused: descriptors of sessions that went with messages
// under way belong to others at once, who must get nothing of them.
func TestDescriptorsAreNotConfused(t *testing.T) {
	eachMode(t, "", "", func(n *node) {
		t := n.t
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for round := range 25 {
					if err := n.comeAndGo(t.Context(), fmt.Sprintf("cut:%d-%d", worker, round), round%3); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		n.untilSessions(0)
	})
}

// comeAndGo subscribes to a channel of its own, takes some of its publications and
// goes while the others are under way.
func (n *node) comeAndGo(ctx context.Context, channel string, way int) error {
	c, err := n.dial(ctx)
	if err != nil {
		return err
	}
	defer c.reset()
	if err := c.open(channel); err != nil {
		return err
	}
	for range 5 {
		if err := n.api.Do(ctx, "publish", map[string]any{"channel": channel, "data": channel}, nil); err != nil {
			return err
		}
	}
	for range 2 {
		p, err := c.publication()
		if err != nil {
			return err
		}
		if got := string(p.Push.Pub.Data); p.Push.Channel != channel || got != fmt.Sprintf("%q", channel) {
			return fmt.Errorf("%s of %s in %s", got, p.Push.Channel, channel)
		}
	}
	switch way {
	case 0:
		return nil // reset
	case 1:
		return c.Close()
	}
	_, err = c.Write([]byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8}) // a close frame
	return errors.Join(err, c.Close())
}

// TestResetWithinAFrame: whatever is cut off where, it ends one session.
func TestResetWithinAFrame(t *testing.T) {
	eachMode(t, "", "", func(n *node) {
		t := n.t
		beside := n.subscribed("cut:a")
		whole := frame(`{"id":3,"history":{"channel":"cut:a"}}` + strings.Repeat(" ", 200))
		for cut := 1; cut < len(whole); cut += 7 {
			c := n.subscribed("cut:a")
			if _, err := c.Write(whole[:cut]); err != nil {
				t.Fatal(err)
			}
			c.reset()
		}
		n.untilSessions(1)
		n.publish("cut:a", "still there", nil)
		if p, err := beside.publication(); err != nil || string(p.Push.Pub.Data) != `"still there"` {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

// TestHandshakesThatNeverEnd: connections that say half of a request hold nobody
// up.
func TestHandshakesThatNeverEnd(t *testing.T) {
	eachMode(t, "max_handshakes: 1", "", func(n *node) {
		t := n.t
		for range 50 {
			c, err := n.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.raw.Close() })
			if _, err := c.Write([]byte(upgrade[:len(upgrade)/2])); err != nil {
				t.Fatal(err)
			}
		}
		n.subscribed("cut:a")
	})
}

// TestUpgradeThenNothing: a client that is upgraded and never connects is told so
// and gone.
func TestUpgradeThenNothing(t *testing.T) {
	eachMode(t, "connect_timeout: 100ms", "", func(n *node) {
		t := n.t
		c, err := n.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.raw.Close() }()
		if _, err := c.Write([]byte(upgrade)); err != nil {
			t.Fatal(err)
		}
		status, _, err := c.answer()
		if err != nil || status != http.StatusSwitchingProtocols {
			t.Fatal(status, err)
		}
		var end *closed
		if _, err := c.next(); !errors.As(err, &end) || end.code != 3502 {
			t.Errorf("%v, want 3502", err)
		}
		_ = c.Close()
		n.untilSessions(0)
	})
}
