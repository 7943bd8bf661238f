package hub

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/limit"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// limited is a house with limits and a log that can be looked at.
type limited struct {
	*house
	mu  sync.Mutex
	log strings.Builder
}

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

func newLimited(t *testing.T, limits Limits) *limited {
	t.Helper()
	l := &limited{}
	l.house = newHouse(t, func(c *Config) {
		c.Limits = limits
		c.Log = slog.New(slog.NewTextHandler(l, nil))
	})
	return l
}

// refused checks how often a limit refused, and that the log names it.
func (l *limited) refused(name metrics.Limit, times uint64) {
	l.t.Helper()
	l.settle()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.count.Limited.Of(name).Value(); n != times {
		l.t.Errorf("%s refused %d times, want %d", name, n, times)
	}
	if logged := strings.Contains(l.log.String(), "limit="+string(name)); logged != (times > 0) {
		l.t.Errorf("%s: the log says\n%s", name, &l.log)
	}
}

// publishBy publishes for a client, who has to be a subscriber, and waits for the answer.
func (l *limited) publishBy(c *fakeConn, name string) error {
	l.t.Helper()
	known := false
	on(c.session, func() { known = c.session.find(name) != nil })
	if !known {
		l.mustSubscribe(c, name)
	}
	answer := make(chan error, 1)
	c.session.shard.Post(func() {
		c.session.Publish(ClientPublish{Channel: name, Data: []byte("1")}, func(_ engine.PublishResult, err error) { answer <- err })
	})
	return <-answer
}

// do is one thing that is limited, by a session.
func (l *limited) do(a activity, c *fakeConn, i int) (err error) {
	l.t.Helper()
	switch a {
	case subscribing:
		_, err = l.subscribe(c, SubscribeRequest{Channel: fmt.Sprint("plain:", i)})
	case publishing:
		err = l.publishBy(c, "plain:a")
	case calling:
		on(c.session, func() { err = c.session.MayCall() })
	case sending:
		on(c.session, func() {
			c.session.Receive([]byte("x"))
			if c.session.ended {
				err = ErrTooManyRequests
			}
		})
	}
	return err
}

// three are two sessions that have one thing in common, and one that has not.
func (l *limited) three(common sharer) (first, second, other *fakeConn) {
	l.t.Helper()
	users, apps := [3]string{"ann", "ann", "ann"}, [3]string{}
	var hosts [3]string
	switch common {
	case byAddress: // with one user, and all of one host's addresses
		hosts = [3]string{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"}
	case byApp:
		l.SetApp(App{Name: "other", Namespaces: l.cfg.Namespaces, Auth: appAuth{"other"}, MaxSessions: 0})
		apps, hosts = [3]string{"", "", "other"}, [3]string{"192.0.2.1", "192.0.2.2", "192.0.2.1"}
	default: // the user
		users, hosts = [3]string{"ann", "ann", "ben"}, [3]string{"192.0.2.1", "192.0.2.2", "192.0.2.1"}
	}
	var all [3]*fakeConn
	for i := range all {
		all[i] = l.dialApp(apps[i], nil)
		all[i].remote = netip.AddrPortFrom(netip.MustParseAddr(hosts[i]), 4711).String()
		on(all[i].session, func() {
			all[i].session.Connect(ConnectRequest{Token: users[i]}, func(_ ConnectResult, err error) {
				if err != nil {
					l.t.Error(err)
				}
			})
		})
	}
	return all[0], all[1], all[2]
}

// appAuth is fakeAuth of another App.
type appAuth struct{ app string }

func (a appAuth) Connection(token string) (*channel.Identity, error) {
	identity, err := fakeAuth{}.Connection(token)
	if err == nil {
		identity.App = a.app
	}
	return identity, err
}

func (a appAuth) Subscription(token string) (*channel.SubscriptionGrant, error) {
	return fakeAuth{}.Subscription(token)
}

// How often sessions of one user, or of one App, connect.
func TestConnectsTogether(t *testing.T) {
	rate := limit.Rate{PerSecond: 1, Burst: 2}
	for name, limits := range map[metrics.Limit]Limits{metrics.ConnectsPerUser: {ConnectsPerUser: rate}, metrics.ConnectsPerApp: {ConnectsPerApp: rate}} {
		synctest.Test(t, func(t *testing.T) {
			l := newLimited(t, limits)
			for i := range 2 {
				if _, d := l.connectAs("ann"); d != nil {
					t.Errorf("%s, %d: %v", name, i, d)
				}
			}
			if _, d := l.connectAs("ann"); d == nil || *d != DisconnectTooManyRequests {
				t.Errorf("%s, beyond the burst: %v", name, d)
			}
			l.refused(name, 1)
			if _, d := l.connectAs("ben"); (d != nil) != (name == metrics.ConnectsPerApp) {
				t.Errorf("%s, another user: %v", name, d)
			}
			time.Sleep(time.Second)
			if _, d := l.connectAs("ann"); d != nil {
				t.Errorf("%s, a second later: %v", name, d)
			}
		})
	}
}

// Each rate lets its burst through and then what comes in time; what one session,
// or one user, has taken is not taken from others.
func TestRates(t *testing.T) {
	rate := limit.Rate{PerSecond: 2, Burst: 3}
	tests := []struct {
		name   metrics.Limit
		what   activity
		limits Limits
		shared sharer // sharers: it is the session's own
	}{
		{metrics.SubscribesPerConnection, subscribing, Limits{Connection: Activity{Subscribes: rate}}, sharers},
		{metrics.PublishesPerConnection, publishing, Limits{Connection: Activity{Publishes: rate}}, sharers},
		{metrics.RPCsPerConnection, calling, Limits{Connection: Activity{RPCs: rate}}, sharers},
		{metrics.BytesPerConnection, sending, Limits{Connection: Activity{Bytes: rate}}, sharers},
		{metrics.SubscribesPerUser, subscribing, Limits{User: Activity{Subscribes: rate}}, byUser},
		{metrics.PublishesPerUser, publishing, Limits{User: Activity{Publishes: rate}}, byUser},
		{metrics.RPCsPerUser, calling, Limits{User: Activity{RPCs: rate}}, byUser},
		{metrics.BytesPerUser, sending, Limits{User: Activity{Bytes: rate}}, byUser},
		{metrics.SubscribesPerIP, subscribing, Limits{IP: Activity{Subscribes: rate}}, byAddress},
		{metrics.PublishesPerIP, publishing, Limits{IP: Activity{Publishes: rate}}, byAddress},
		{metrics.RPCsPerIP, calling, Limits{IP: Activity{RPCs: rate}}, byAddress},
		{metrics.BytesPerIP, sending, Limits{IP: Activity{Bytes: rate}}, byAddress},
		{metrics.SubscribesPerApp, subscribing, Limits{App: Activity{Subscribes: rate}}, byApp},
		{metrics.RPCsPerApp, calling, Limits{App: Activity{RPCs: rate}}, byApp},
		{metrics.BytesPerApp, sending, Limits{App: Activity{Bytes: rate}}, byApp},
	}
	for _, tt := range tests {
		t.Run(string(tt.name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimited(t, tt.limits)
				first, second, other := l.three(tt.shared)
				for i := range 3 {
					if err := l.do(tt.what, first, i); err != nil {
						t.Fatalf("%d: %v", i, err)
					}
				}
				if tt.shared != sharers { // the other session's is the same bucket
					first, second = second, first
				}
				if err := l.do(tt.what, first, 3); !errors.Is(err, ErrTooManyRequests) {
					t.Errorf("beyond the burst: %v", err)
				}
				l.refused(tt.name, 1)
				if err := l.do(tt.what, other, 0); err != nil {
					t.Errorf("another: %v", err)
				}
				if tt.shared == sharers && tt.what != sending {
					if err := l.do(tt.what, second, 0); err != nil {
						t.Errorf("another session: %v", err)
					}
				}
				if tt.what == sending {
					if d := first.end(); d == nil || *d != DisconnectTooManyRequests {
						t.Errorf("ended with %v", d)
					}
					return
				}
				time.Sleep(time.Second)
				for i, want := range []error{nil, nil, ErrTooManyRequests} {
					if err := l.do(tt.what, first, 10+i); !errors.Is(err, want) {
						t.Errorf("a second later, %d: %v, want %v", i, err, want)
					}
				}
				l.refused(tt.name, 2)
			})
		})
	}
}

// What an App may have on disk is its own limit or that of all, goes with each
// publication, and what is refused for it is told, counted and logged.
func TestHistoryPerApp(t *testing.T) {
	l := newLimited(t, Limits{HistoryPerApp: 100})
	taken := map[string]int64{channel.DefaultApp: 7}
	l.cfg.Taken = func(app string) int64 { return taken[app] }
	l.SetApp(App{Name: "other", Namespaces: l.cfg.Namespaces, Auth: l.cfg.Auth, HistoryBytes: 200})
	publish := func(app string) (int64, error) {
		_, err := l.Publish(t.Context(), Publish{App: app, Channel: "open:c", Data: []byte("{}")})
		l.engine.mu.Lock()
		defer l.engine.mu.Unlock()
		return l.engine.quota, err
	}
	for app, want := range map[string]int64{channel.DefaultApp: 100, "other": 200} {
		if quota, err := publish(app); err != nil || quota != want {
			t.Errorf("%s: quota %d %v", app, quota, err)
		}
	}
	l.engine.publishErr = engine.ErrQuota
	if _, err := publish("other"); !errors.Is(err, ErrQuota) {
		t.Error(err)
	}
	c := l.connect("ann", nil)
	if err := l.do(publishing, c, 0); !errors.Is(err, ErrQuota) {
		t.Errorf("a client: %v", err)
	}
	l.refused(metrics.HistoryBytesPerApp, 2)
	if n := l.count.publishedByAPI.refused.Value(); n != 1 {
		t.Errorf("%d publications are counted as refused", n)
	}
	if use := l.useOf(channel.DefaultApp); len(use) != 1 || use[0].HistoryBytes != 7 {
		t.Errorf("%+v", use)
	}
}

// Where only users are limited, who has no user has no buckets, until it signs in.
func TestAnonymousHaveNoBucketsOfUsers(t *testing.T) {
	rate := limit.Rate{PerSecond: 1, Burst: 2}
	l := newLimited(t, Limits{User: Activity{Publishes: rate, Bytes: limit.Rate{PerSecond: 1 << 20, Burst: 1 << 20}}})
	c := l.connect("", nil)
	on(c.session, func() {
		c.session.Heard(1000)
		for range 5 {
			if !c.session.spend(publishing, 1) {
				t.Error("it is limited")
			}
		}
		if n := len(c.session.shard.spending); n != 0 {
			t.Errorf("%d sessions have buckets", n)
		}
		if err := c.session.SignIn("ann", nil); err != nil {
			t.Error(err)
		}
		if !c.session.spend(publishing, 2) || c.session.spend(publishing, 1) {
			t.Error("the limit of its user is not its own once it has one")
		}
	})
	l.refused(metrics.PublishesPerUser, 1)
}

// An App's publications are counted together, whoever makes them, and what is
// refused reaches nobody.
func TestPublishesPerApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimited(t, Limits{PublishesPerApp: limit.Rate{PerSecond: 1, Burst: 4}})
		l.SetApp(App{Name: "other", Namespaces: l.cfg.Namespaces, Auth: l.cfg.Auth})
		c := l.connect("ann", nil)
		l.mustSubscribe(c, "plain:a")
		for i := range 2 {
			l.publish("plain:a", fmt.Sprint(i))
			if err := l.publishBy(c, "plain:a"); err != nil {
				t.Fatal(err)
			}
		}
		all := []Publish{{App: channel.DefaultApp, Channel: "plain:a", Data: []byte("9")}, {App: "other", Channel: "plain:a", Data: []byte("9")}}
		got := l.PublishAll(t.Context(), all)
		if !errors.Is(got[0].Err, ErrTooManyRequests) || got[1].Err != nil {
			t.Errorf("beyond the rate %v, another app %v", got[0].Err, got[1].Err)
		}
		if err := l.publishBy(c, "plain:a"); !errors.Is(err, ErrTooManyRequests) {
			t.Errorf("by a client: %v", err)
		}
		l.refused(metrics.PublishesPerApp, 2)
		if got := c.lines(); len(got) != 4 {
			t.Errorf("the subscriber got %q", got)
		}
		if n := l.count.publishedByAPI.busy.Value(); n != 1 {
			t.Errorf("%d publishes of the API are counted as refused for now, want 1", n)
		}
	})
}

// connectAs asks to connect; nil: the session lives.
func (l *limited) connectAs(user string) (*fakeConn, *Disconnect) {
	l.t.Helper()
	c := l.dial(nil)
	on(c.session, func() { c.session.Connect(ConnectRequest{Token: user}, func(ConnectResult, error) {}) })
	ended := c.end()
	return c, ended
}

func (l *limited) leave(c *fakeConn) {
	on(c.session, func() { c.session.Disconnect(DisconnectClosed) })
	l.settle()
}

func TestConnectionsPerUser(t *testing.T) {
	l := newLimited(t, Limits{ConnectionsPerUser: 2})
	first, _ := l.connectAs("ann")
	for _, user := range []string{"ann", "ben", "", "", ""} {
		if _, d := l.connectAs(user); d != nil {
			t.Errorf("%q: %v", user, d)
		}
	}
	if _, d := l.connectAs("ann"); d == nil || *d != DisconnectConnectionLimit {
		t.Errorf("a third session: %v", d)
	}
	l.refused(metrics.ConnectionsPerUser, 1)
	l.leave(first)
	if _, d := l.connectAs("ann"); d != nil {
		t.Errorf("after one has left: %v", d)
	}
	// Who signs in later is counted, too.
	c, _ := l.connectAs("")
	on(c.session, func() {
		if err := c.session.SignIn("ann", nil); !errors.Is(err, ErrTooManyRequests) {
			t.Errorf("sign-in: %v", err)
		}
	})
	if d := c.end(); d == nil || *d != DisconnectConnectionLimit {
		t.Errorf("sign-in ended with %v", d)
	}
	l.refused(metrics.ConnectionsPerUser, 2)
	if n := l.users.users(); n != 2 {
		t.Errorf("%d users, want 2", n)
	}
}

func TestConnectionsPerApp(t *testing.T) {
	l := newLimited(t, Limits{ConnectionsPerApp: 2, ConnectionsPerUser: 1})
	first, _ := l.connectAs("")
	if _, d := l.connectAs("ann"); d != nil {
		t.Errorf("%v", d)
	}
	if _, d := l.connectAs(""); d == nil || *d != DisconnectTooManyRequests {
		t.Errorf("a third session: %v", d)
	}
	l.refused(metrics.ConnectionsPerApp, 1)
	l.leave(first)
	if _, d := l.connectAs("ann"); d == nil || *d != DisconnectConnectionLimit {
		t.Errorf("a second session of a user: %v", d)
	}
	if _, d := l.connectAs("ben"); d != nil { // what the user's limit refused takes no place
		t.Errorf("after one has left: %v", d)
	}
	if n := l.tenant(channel.DefaultApp).sessions.Load(); n != 2 {
		t.Errorf("%d sessions are counted, want 2", n)
	}
}

// enter takes a place for an address and makes a session of it.
func (l *limited) enter(peer string) (*fakeConn, error) {
	place, err := l.Enter("", netip.MustParseAddr(peer))
	if err != nil {
		return nil, err
	}
	c := &fakeConn{}
	done := make(chan struct{})
	place.Post(func() { c.session = place.Open(c, l.enc, nil); close(done) })
	<-done
	return c, nil
}

// Addresses of one host are one, however they are written.
func TestConnectionsPerIP(t *testing.T) {
	l := newLimited(t, Limits{ConnectionsPerIP: 2})
	first, err := l.enter("192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.enter("::ffff:192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	var crowded *Crowded
	if _, err := l.enter("192.0.2.1"); !errors.As(err, &crowded) || !errors.Is(err, ErrTooManyRequests) {
		t.Errorf("a third connection: %v", err)
	}
	l.refused(metrics.ConnectionsPerIP, 1)
	for _, peer := range []string{"2001:db8::1", "2001:db8::2:3:4:5", "2001:db8:0:1::1", "192.0.2.2"} {
		if _, err := l.enter(peer); err != nil {
			t.Errorf("%s: %v", peer, err)
		}
	}
	if _, err := l.enter("2001:db8::9"); err == nil {
		t.Error("a third connection from one /64")
	}
	if place, err := l.Enter("", netip.Addr{}); err != nil {
		t.Errorf("an unknown address: %v", err)
	} else {
		place.Release()
	}
	l.leave(first)
	place, err := l.Enter("", netip.MustParseAddr("192.0.2.1"))
	if err != nil {
		t.Fatalf("after one has left: %v", err)
	}
	place.Release() // it does not come to a session
	if _, err := l.enter("192.0.2.1"); err != nil {
		t.Errorf("after a place was given back: %v", err)
	}
}

func TestConnectsPerIP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimited(t, Limits{ConnectsPerIP: limit.Rate{PerSecond: 1, Burst: 2}})
		for range 2 {
			c, err := l.enter("192.0.2.1")
			if err != nil {
				t.Fatal(err)
			}
			l.leave(c) // that they are gone does not matter
		}
		time.Sleep(300 * time.Millisecond)
		var crowded *Crowded
		if _, err := l.enter("192.0.2.1"); !errors.As(err, &crowded) || crowded.After != 700*time.Millisecond {
			t.Errorf("%v, again after %v", err, crowded)
		}
		l.refused(metrics.ConnectsPerIP, 1)
		if _, err := l.enter("192.0.2.2"); err != nil {
			t.Errorf("another address: %v", err)
		}
		time.Sleep(crowded.After)
		if _, err := l.enter("192.0.2.1"); err != nil {
			t.Errorf("after the wait: %v", err)
		}
	})
}

// A connection that the node or the user's limit refuses gives back what it took.
func TestRefusedConnectionsTakeNothing(t *testing.T) {
	full := &limited{}
	full.house = newHouse(t, func(c *Config) {
		c.Limits, c.MaxSessions = Limits{ConnectionsPerIP: 2}, 1
		c.Log = slog.New(slog.NewTextHandler(full, nil))
	})
	if _, err := full.enter("192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := full.enter("192.0.2.1"); !errors.Is(err, ErrLimitExceeded) {
			t.Errorf("%v, want the node's limit", err)
		}
	}
	if n := full.limits.peers.Of(netip.MustParseAddr("192.0.2.1")); n != 1 {
		t.Errorf("%d connections are counted, want 1", n)
	}
}

// A session at rest keeps no buckets: neither one that only answers pings, nor one
// that has done something a while ago; nor does either hold those of its user.
func TestRestingSessionsKeepNoBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rate := limit.Rate{PerSecond: 100, Burst: 500}
		activity := Activity{Subscribes: rate, Publishes: rate, RPCs: rate, Bytes: rate}
		l := newLimited(t, Limits{Connection: activity, User: activity, IP: activity, App: activity})
		c := l.connect("ann", nil)
		var used *spending
		held := func() (is bool) {
			on(c.session, func() { is = slices.ContainsFunc(used.shared, func(h limit.Held) bool { return h.Held() }) })
			return is
		}
		kept := func() (n int) {
			on(c.session, func() { n = len(c.session.shard.spending) })
			return n
		}
		if err := l.publishBy(c, "plain:a"); err != nil || kept() != 1 {
			t.Fatalf("%v, %d sessions have buckets, want 1", err, kept())
		}
		on(c.session, func() { used = c.session.shard.spending[c.session] })
		if !held() {
			t.Error("it does not hold its user's buckets")
		}
		for range 120 {
			time.Sleep(time.Second)
			on(c.session, func() {
				if c.session.pongBy > 0 {
					c.session.Receive([]byte("{}"))
					c.session.Pong()
				}
			})
		}
		if n := kept(); n != 0 || c.end() != nil {
			t.Errorf("%d sessions have buckets, want none; ended: %v", n, c.end())
		}
		if held() {
			t.Error("it holds its user's buckets at rest")
		}
		on(c.session, func() { c.session.Receive([]byte("{}")) })
		if n := kept(); n != 1 {
			t.Errorf("a message that answers no ping is not counted")
		}
		on(c.session, func() { used = c.session.shard.spending[c.session] })
		l.leave(c)
		if n := kept(); n != 0 {
			t.Errorf("%d sessions have buckets after the end", n)
		}
		if held() {
			t.Error("it holds its user's buckets after the end")
		}
	})
}

// Limits take nothing of a session at rest: its fields fill the size class of 192
// bytes.
func TestSessionHasNotGrown(t *testing.T) {
	if size := reflect.TypeFor[Session]().Size(); size > 192 {
		t.Errorf("%d bytes", size)
	}
}

// Without limits nothing is kept and nothing is refused.
func TestNoLimits(t *testing.T) {
	l := newLimited(t, Limits{})
	c, err := l.enter("192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	on(c.session, func() {
		c.session.Connect(ConnectRequest{Token: "ann"}, func(ConnectResult, error) {})
		for a := range activities {
			if !c.session.spend(a, 1<<40) {
				t.Errorf("activity %d is refused", a)
			}
		}
		if sh := c.session.shard; sh.spending != nil || sh.peers != nil {
			t.Error("something is kept")
		}
	})
}
