package hub

import (
	"slices"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// What a backend sets for a subscription holds for that one, whether the client has
// asked for it or the connect hook makes it, and for nobody else.
func TestOverride(t *testing.T) {
	h, b := hooked(t, HookConnect, HookSubscribe)
	subscribed := func(o channel.Override) (*fakeConn, SubscribeResult) {
		t.Helper()
		c := h.connect("ann", nil)
		reply := subscribeLater(c, SubscribeRequest{Channel: "hook:a"})
		b.next(h).done(Answer{Override: o}, nil)
		got := soon(t, reply)
		if got.err != nil {
			t.Fatal(got.err)
		}
		h.settle() // a subscriber is announced after its reply
		return c, got.res
	}
	plain, res := subscribed(channel.Override{})
	if !res.Positioned || !res.Recoverable {
		t.Errorf("as the namespace says: %+v", res)
	}
	watcher, res := subscribed(channel.Override{
		Presence: channel.Off, ForceRecovery: channel.Off, ForcePositioning: channel.On, ForcePushJoinLeave: channel.On,
	})
	if !res.Positioned || res.Recoverable {
		t.Errorf("positioned and not recoverable: %+v", res)
	}
	loud, _ := subscribed(channel.Override{JoinLeave: channel.On})

	made := h.dial(nil)
	reply := connecting(made, ConnectRequest{})
	b.next(h).done(Answer{User: "bob", Subs: []AnswerSub{
		{Channel: "hook:a", Override: channel.Override{Presence: channel.Off, ForceRecovery: channel.Off}},
	}}, nil)
	if got := soon(t, reply); got.err != nil || len(got.res.Subs) != 1 || got.res.Subs[0].Recoverable {
		t.Errorf("made by connect: %+v, %v", got.res, got.err)
	}
	h.settle()

	members, err := h.Presence(t.Context(), channel.DefaultApp, "hook:a")
	if err != nil || len(members) != 2 || members[idOf(plain)] == nil || members[idOf(loud)] == nil {
		t.Errorf("present are %v, %v", members, err)
	}
	join, leave := "join hook:a ann", "leave hook:a ann"
	h.until(func() bool { return slices.Contains(watcher.lines(), join) })
	on(loud.session, func() { loud.session.Unsubscribe("hook:a") })
	h.until(func() bool { return slices.Contains(watcher.lines(), leave) })
	h.publish("hook:a", "last")
	for _, c := range []*fakeConn{plain, watcher, made} {
		h.until(func() bool { return slices.Contains(c.lines(), "hook:a 1 last") })
	}
	for who, c := range map[string]*fakeConn{"plain": plain, "made": made} {
		if slices.Contains(c.lines(), join) || slices.Contains(c.lines(), leave) {
			t.Errorf("%s has not asked to be told: %q", who, c.lines())
		}
	}
	members, _ = h.Presence(t.Context(), channel.DefaultApp, "hook:a")
	if len(members) != 1 {
		t.Errorf("present are %v", members)
	}
}

// What the server API says of a subscription that it makes holds for that one, too.
func TestOverrideByTheAPI(t *testing.T) {
	h, _ := hooked(t)
	c := h.connect("ann", nil)
	options := engine.SubscribeOptions{Override: channel.Override{Presence: channel.Off, ForceRecovery: channel.Off}}
	if err := h.Subscribe(t.Context(), Target{App: channel.DefaultApp, User: "ann"}, "hook:a", options); err != nil {
		t.Fatal(err)
	}
	flags := func() (f subFlags) {
		on(c.session, func() {
			if sub := c.session.find("hook:a"); sub != nil && sub.reading == nil {
				f = sub.flags
			}
		})
		return f
	}
	h.until(func() bool { return flags()&flagServer != 0 })
	if f := flags(); f&(flagTracked|flagRecoverable|flagPositioned) != 0 {
		t.Errorf("flags %b", f)
	}
}

// Without history there is nothing to recover, whatever the backend says.
func TestOverrideWithoutHistory(t *testing.T) {
	on := channel.Override{ForceRecovery: channel.On, ForcePositioning: channel.On}
	request := SubscribeRequest{Channel: "a", override: on}
	if f := subscribeFlags(&channel.Options{}, &request); f != 0 {
		t.Errorf("flags %b", f)
	}
	kept := &channel.Options{HistorySize: 1, HistoryTTL: time.Hour}
	if f := subscribeFlags(kept, &request); f != flagPositioned|flagRecoverable {
		t.Errorf("flags %b", f)
	}
	// A protocol without positions has no use for any of it.
	request.Live = true
	if f := subscribeFlags(kept, &request); f != 0 {
		t.Errorf("flags %b", f)
	}
	if n := (&subscription{flags: subscribeFlags(&channel.Options{Presence: true, JoinLeave: true}, &SubscribeRequest{Quiet: true})}).notice(); n != engine.Track {
		t.Errorf("a quiet one is announced: %v", n)
	}
}

func idOf(c *fakeConn) (id string) {
	on(c.session, func() { id = c.session.ID() })
	return id
}
