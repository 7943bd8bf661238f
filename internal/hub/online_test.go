package hub

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// live is what a protocol without positions asks for.
func live(name string, change func(*SubscribeRequest)) SubscribeRequest {
	r := SubscribeRequest{Channel: name, Live: true}
	if change != nil {
		change(&r)
	}
	return r
}

// member asks for a presence channel as one of its users.
func member(user string) SubscribeRequest {
	return live("presence-x", func(r *SubscribeRequest) {
		r.Grant = &channel.SubscriptionGrant{Channel: "presence-x", Member: user, Info: []byte(`{}`)}
		r.Members, r.MaxMembers, r.JoinLeave, r.Users = true, 2, true, true
	})
}

func userNames(m engine.Members) (names []string) {
	for _, info := range m {
		names = append(names, info.User)
	}
	slices.Sort(names)
	return names
}

// A member is told who is there, and from then on of other users, each once.
func TestMembers(t *testing.T) {
	h := newHouse(t, nil)
	ann, bob, again, carol := h.connect("", nil), h.connect("", nil), h.connect("", nil), h.connect("", nil)
	for i, want := range []struct {
		c     *fakeConn
		user  string
		names []string
	}{
		{ann, "ann", []string{"ann"}},
		{bob, "bob", []string{"ann", "bob"}},
		{again, "bob", []string{"ann", "bob", "bob"}},
	} {
		res, err := h.subscribe(want.c, member(want.user))
		if err != nil || !slices.Equal(userNames(res.Members), want.names) {
			t.Errorf("subscriber %d: members %q, %v", i, userNames(res.Members), err)
		}
		h.settle()
	}
	if _, err := h.subscribe(carol, member("carol")); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("one too many: %v", err)
	}
	if n := h.Subscribers(channel.ID{App: channel.DefaultApp, Name: "presence-x"}); n != 3 {
		t.Errorf("%d subscribers", n)
	}
	on(bob.session, func() { bob.session.Unsubscribe("presence-x") })
	on(again.session, func() { again.session.Unsubscribe("presence-x") })
	h.settle()
	if got := ann.lines(); !slices.Equal(got, []string{"join presence-x bob", "leave presence-x bob"}) {
		t.Errorf("ann was told %q", got)
	}
	if got := bob.lines(); !slices.Equal(got, []string{""}) {
		t.Errorf("bob was told %q", got)
	}
}

// Whoever comes while others subscribe is in the list or told afterwards, never
// both and never neither.
func TestMembersWhileOthersCome(t *testing.T) {
	h := newHouse(t, nil)
	const many = 60
	conns := make([]*fakeConn, many)
	results := make([]SubscribeResult, many)
	for i := range conns {
		conns[i] = h.connect("", nil)
	}
	var all sync.WaitGroup
	for i := range conns {
		all.Go(func() {
			r := member(fmt.Sprint("u", i))
			r.MaxMembers = 0
			var err error
			if results[i], err = h.subscribe(conns[i], r); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	seenBy := func(i int) []string {
		seen := userNames(results[i].Members)
		for _, line := range conns[i].lines() {
			if user, ok := strings.CutPrefix(line, "join presence-x "); ok {
				seen = append(seen, user)
			}
		}
		slices.Sort(seen)
		return seen
	}
	for i := range conns {
		h.until(func() bool { return len(seenBy(i)) >= many })
	}
	h.settle()
	for i := range conns {
		seen := seenBy(i)
		if n := len(slices.Compact(slices.Clone(seen))); n != many || len(seen) != many {
			t.Errorf("u%d has seen %d of %d users, in %d steps", i, n, many, len(seen))
		}
	}
}

// A publication leaves out the session it names, but not one that would miss it.
func TestExcept(t *testing.T) {
	h := newHouse(t, nil)
	one, two, positioned := h.connect("ann", nil), h.connect("bob", nil), h.connect("eve", nil)
	for _, c := range []*fakeConn{one, two} {
		if _, err := h.subscribe(c, live("room", nil)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.subscribe(positioned, SubscribeRequest{Channel: "room"}); err != nil {
		t.Fatal(err)
	}
	publish := func(data, except string) {
		t.Helper()
		if _, err := h.Publish(t.Context(), Publish{App: channel.DefaultApp, Channel: "room", Data: []byte(data), Except: except}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		publish(fmt.Sprint("all", i), "")
	}
	publish("two", one.session.ID())
	publish("last", positioned.session.ID())
	done := make(chan error, 1)
	on(two.session, func() {
		two.session.Publish(ClientPublish{Channel: "room", Data: []byte("others"), ToOthers: true}, func(_ engine.PublishResult, err error) { done <- err })
	})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	everything := []string{"room 1 all0", "room 2 all1", "room 3 all2", "room 4 all3", "room 5 all4", "room 6 two", "room 7 last", "room 8 others"}
	for _, tt := range []struct {
		name string
		c    *fakeConn
		not  string
	}{{"one", one, "room 6 two"}, {"two", two, "room 8 others"}, {"positioned", positioned, ""}} {
		want := slices.DeleteFunc(slices.Clone(everything), func(s string) bool { return s == tt.not })
		h.until(func() bool { return len(tt.c.lines()) >= len(want) })
		h.settle() // should there be more
		if got := tt.c.lines(); !slices.Equal(got, want) {
			t.Errorf("%s was told %q, want %q", tt.name, got, want)
		}
	}
}

func TestBeginsWithTheLatest(t *testing.T) {
	h := newHouse(t, nil)
	late := live("room", func(r *SubscribeRequest) { r.Latest = true })
	res, err := h.subscribe(h.connect("ann", nil), late)
	if err != nil || len(res.Publications) != 0 || res.Positioned {
		t.Errorf("nothing yet: %+v, %v", res, err)
	}
	for _, data := range []string{"1", "2"} {
		if _, err := h.Publish(t.Context(), Publish{App: channel.DefaultApp, Channel: "room", Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	c := h.connect("ann", nil)
	if res, err = h.subscribe(c, late); err != nil || len(res.Publications) != 1 || string(res.Publications[0].Data) != "2" {
		t.Errorf("the latest: %+v, %v", res, err)
	}
	if _, err := h.Publish(t.Context(), Publish{App: channel.DefaultApp, Channel: "room", Data: []byte("3")}); err != nil {
		t.Fatal(err)
	}
	h.settle()
	if got := c.lines(); !slices.Equal(got, []string{"room 3 3"}) {
		t.Errorf("then: %q", got)
	}
}

// What a subscription was granted it keeps for as long as it lasts.
func TestGrantedOps(t *testing.T) {
	h := newHouse(t, nil)
	c := h.connect("", nil)
	publish := func() (err error) {
		done := make(chan error, 1)
		on(c.session, func() {
			c.session.Publish(ClientPublish{Channel: "shut:a", Data: []byte("1")}, func(_ engine.PublishResult, err error) { done <- err })
		})
		return <-done
	}
	if err := publish(); !errors.Is(err, ErrPermissionDenied) {
		t.Errorf("before: %v", err)
	}
	r := live("shut:a", func(r *SubscribeRequest) {
		r.Grant = &channel.SubscriptionGrant{Channel: "shut:a", Ops: channel.Publish}
	})
	if _, err := h.subscribe(c, r); err != nil {
		t.Fatal(err)
	}
	if err := publish(); err != nil {
		t.Errorf("subscribed: %v", err)
	}
	on(c.session, func() { c.session.Unsubscribe("shut:a") })
	if err := publish(); !errors.Is(err, ErrPermissionDenied) {
		t.Errorf("afterwards: %v", err)
	}
}

// watchers are told who is online: users of sessions that have signed in.
func TestWatch(t *testing.T) {
	h := newHouse(t, nil)
	signIn := func(c *fakeConn, user string) (err error) {
		on(c.session, func() { err = c.session.SignIn(user, nil) })
		return err
	}
	watcher, phone, laptop := h.connect("", nil), h.connect("", nil), h.connect("", nil)
	if err := signIn(phone, "bob"); err != nil {
		t.Fatal(err)
	}
	told := make(chan []string, 1)
	on(watcher.session, func() {
		watcher.session.Watch([]string{"bob", "carol", "bob"}, func(online []string) { told <- online })
	})
	if online := <-told; !slices.Equal(online, []string{"bob"}) {
		t.Errorf("online: %q", online)
	}
	if err := signIn(laptop, "bob"); err != nil {
		t.Fatal(err)
	}
	if err := signIn(laptop, "bob"); err != nil {
		t.Errorf("once more: %v", err)
	}
	if err := signIn(laptop, "carol"); !errors.Is(err, ErrBadRequest) {
		t.Errorf("as another user: %v", err)
	}
	if got := h.Info(); got.Users != 1 || got.Channels != 0 || got.Subs != 0 {
		t.Errorf("%+v: who watches is no subscriber", got)
	}
	if err := h.Disconnect(t.Context(), Target{App: channel.DefaultApp, User: "bob"}, DisconnectForced); err != nil {
		t.Fatal(err)
	}
	h.until(func() bool { return len(h.online()) == 0 })
	if err := signIn(h.connect("", nil), "carol"); err != nil {
		t.Fatal(err)
	}
	h.until(func() bool { return len(watcher.lines()) >= 2 })
	if got := watcher.lines(); !slices.Equal(got, []string{"offline bob", "online carol"}) {
		t.Errorf("told %q", got)
	}
	on(watcher.session, func() { watcher.session.Disconnect(DisconnectForced) })
	h.settle()
	if n := len(watcher.session.shard.watches); n != 0 {
		t.Errorf("%d watch after their end", n)
	}
}

// online lists the users that the engine knows to be online.
func (h *house) online() (users []string) {
	h.engine.mu.Lock()
	defer h.engine.mu.Unlock()
	for ch, members := range h.engine.members {
		if isOnline(ch) && len(members) > 0 {
			users = append(users, ch.Name)
		}
	}
	return users
}

func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.TellCounts = true })
		wants := live("plain:a", func(r *SubscribeRequest) { r.Count = true })
		first, deaf := h.connect("ann", nil), h.connect("ann", nil)
		if _, err := h.subscribe(first, wants); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // who is told late is told the number of then
		if _, err := h.subscribe(deaf, live("plain:a", nil)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		on(deaf.session, func() { deaf.session.Unsubscribe("plain:a") })
		synctest.Wait()
		if got := first.lines(); !slices.Equal(got, []string{"count plain:a 1", "count plain:a 2", "count plain:a 1"}) {
			t.Errorf("told %q", got)
		}
		if got := deaf.lines(); !slices.Equal(got, []string{""}) {
			t.Errorf("one who did not ask was told %q", got)
		}
		for range smallAudience + 10 {
			if _, err := h.subscribe(h.connect("ann", nil), live("plain:a", nil)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		before := len(first.lines())
		for _, line := range first.lines() {
			if n, err := strconv.Atoi(strings.TrimPrefix(line, "count plain:a ")); err != nil || n > smallAudience {
				t.Errorf("a large audience is told at once: %q", line)
			}
		}
		time.Sleep(audienceInterval)
		synctest.Wait()
		if got := first.lines()[before:]; !slices.Equal(got, []string{fmt.Sprintf("count plain:a %d", smallAudience+11)}) {
			t.Errorf("then told %q", got)
		}
		if err := h.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// noticer writes down what an Observer is told.
type noticer struct {
	mu      sync.Mutex
	changed map[channel.ID]int
	members []string
	wants   TellKinds
	tells   []Tell
}

func (n *noticer) Changed(ch channel.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changed[ch]++
}

func (n *noticer) Member(m Member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.members = append(n.members, fmt.Sprint(m.Channel.Name, " ", m.User))
}

func (n *noticer) Wants() TellKinds { return n.wants }

func (n *noticer) Tell(t Tell) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tells = append(n.tells, t)
}

func (n *noticer) told() (texts []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range n.tells {
		kind := map[TellKinds]string{
			TellConnected: "connected", TellDisconnected: "disconnected", TellSubscribed: "subscribed",
			TellUnsubscribed: "unsubscribed", TellPublished: "published",
		}[t.Kind]
		texts = append(texts, strings.TrimSpace(fmt.Sprint(kind, " ", t.User, " ", t.Channel, " ", t.Reason.Code, " ", t.At.Offset)))
	}
	return texts
}

func TestTells(t *testing.T) {
	const all = TellConnected | TellDisconnected | TellSubscribed | TellUnsubscribed | TellPublished
	for _, tt := range []struct {
		wants TellKinds
		want  []string
	}{
		{all, []string{
			"connected ann  0 0", "subscribed ann a 0 0", "subscribed ann plain:b 0 0", "published  a 0 1", "published  plain:b 0 0",
			"unsubscribed ann plain:b 0 0", "unsubscribed ann a 0 0", "disconnected ann  3503 0",
		}},
		{TellUnsubscribed, []string{"unsubscribed ann plain:b 0 0", "unsubscribed ann a 0 0"}},
		{0, nil},
	} {
		n := &noticer{changed: make(map[channel.ID]int), wants: tt.wants}
		h := newHouse(t, func(c *Config) { c.Observer = n })
		refused := h.dial(nil)
		on(refused.session, func() { refused.session.Disconnect(DisconnectStale) })
		ann := h.connect("ann", nil)
		h.mustSubscribe(ann, "a")
		h.mustSubscribe(ann, "plain:b")
		if _, err := h.subscribe(ann, SubscribeRequest{Channel: "shut:c"}); err == nil {
			t.Fatal("subscribed to a shut channel")
		}
		h.settle()
		h.publish("a", "1")
		h.publish("plain:b", "2")
		on(ann.session, func() {
			ann.session.Unsubscribe("plain:b")
			ann.session.Disconnect(DisconnectForced)
		})
		if got := n.told(); !slices.Equal(got, tt.want) {
			t.Errorf("told %q, want %q", got, tt.want)
		}
	}
}

func TestObserver(t *testing.T) {
	n := &noticer{changed: make(map[channel.ID]int), wants: TellAudience | TellMembers}
	h := newHouse(t, func(c *Config) { c.Observer = n })
	ann, again := h.connect("", nil), h.connect("", nil)
	for _, c := range []*fakeConn{ann, again} {
		if _, err := h.subscribe(c, member("ann")); err != nil {
			t.Fatal(err)
		}
	}
	h.settle() // others are told after the reply
	id := channel.ID{App: channel.DefaultApp, Name: "presence-x"}
	if !h.IsMember(Member{id, "ann"}) || h.IsMember(Member{id, "ben"}) || h.Audience(id) != 2 {
		t.Error("ann is no member, or ben is")
	}
	on(ann.session, func() {
		if err := ann.session.SignIn("ann", nil); err != nil {
			t.Error(err)
		}
		ann.session.Disconnect(DisconnectForced)
	})
	on(again.session, func() { again.session.Disconnect(DisconnectForced) })
	h.settle()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.changed) != 1 || n.changed[id] != 4 {
		t.Errorf("changed: %v", n.changed)
	}
	if !slices.Equal(n.members, []string{"presence-x ann", "presence-x ann"}) || h.IsMember(Member{id, "ann"}) || len(h.members.m) > 0 {
		t.Errorf("members: %q", n.members)
	}
}

// parting is a protocol with codes of its own.
type parting struct{ *textProtocol }

func (parting) Farewell(d Disconnect) Disconnect {
	return Disconnect{Code: 4000 + d.Code%1000, Reason: "farewell: " + d.Reason}
}

func TestFarewell(t *testing.T) {
	h := newHouse(t, nil)
	h.enc = h.NewEncoding(parting{h.proto}, lineFraming{}, metrics.Via{})
	c := h.connect("", nil)
	on(c.session, func() { c.session.Disconnect(DisconnectSlow) })
	if d := c.end(); d == nil || *d != (Disconnect{4008, "farewell: slow"}) {
		t.Errorf("told %v", d)
	}
	if n := h.count.Disconnects.Of(DisconnectSlow.Code).Value(); n != 1 {
		t.Errorf("%d are counted by the hub's code", n)
	}
}

// A protocol may let clients in that have no token.
func TestVouched(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.AllowAnonymous = false })
	for _, vouched := range []bool{false, true} {
		c := h.dial(nil)
		var got error
		on(c.session, func() {
			c.session.Connect(ConnectRequest{Vouched: vouched}, func(_ ConnectResult, err error) { got = err })
		})
		if (got == nil) != vouched {
			t.Errorf("vouched %t: %v", vouched, got)
		}
	}
}
