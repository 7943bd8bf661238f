package centrifuge

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/hub"
)

// newTestClient is a client of a fake session that has connected.
func newTestClient(tb testing.TB, cfg Config) (*client, *fakeSession) {
	tb.Helper()
	f := newFake()
	c := &client{proto: New(cfg), s: f}
	c.receive([]byte(`{"id":1,"connect":{}}`))
	if c.stage != stageLive {
		tb.Fatal("not connected")
	}
	f.sent, f.calls = nil, nil
	return c, f
}

func TestCommandsAreCounted(t *testing.T) {
	counts := map[string]int{}
	c, f := newTestClient(t, Config{Count: func(method string, code uint32) { counts[fmt.Sprint(method, " ", code)]++ }})
	f.errs[methodPublish] = hub.ErrBusy
	for _, line := range []string{
		`{"id":2,"publish":{"channel":"a","data":1}}`,
		`{"id":3,"publish":{"channel":"a"}}`,
		`{"id":4,"subscribe":{"channel":"a"}}`,
		`{"id":5,"unsubscribe":{"channel":"a"}}`,
		`{"send":{"data":1}}`,
		`{"id":6,"rpc":{}}`,
		`{"id":7,"history":{"channel":"a"}}`,
	} {
		c.receive([]byte(line))
	}
	f.errs[methodPublish] = nil
	c.receive([]byte(`{"id":8,"publish":{"channel":"a","data":1}}`))
	want := map[string]int{
		"connect 0": 1, "publish 111": 1, "publish 107": 1, "publish 0": 1, "subscribe 0": 1,
		"unsubscribe 0": 1, "send 0": 1, "rpc 108": 1, "history 0": 1,
	}
	if !reflect.DeepEqual(counts, want) {
		t.Errorf("counted %v, want %v", counts, want)
	}
}

// keeper keeps what it is given, as a hub does.
type keeper struct {
	*fakeSession
	connects   []hub.ConnectRequest
	subscribes []hub.SubscribeRequest
}

func (k *keeper) Connect(r hub.ConnectRequest, done func(hub.ConnectResult, error)) {
	k.connects = append(k.connects, r)
	k.fakeSession.Connect(r, done)
}

func (k *keeper) Subscribe(r hub.SubscribeRequest, done func(hub.SubscribeResult, error)) {
	k.subscribes = append(k.subscribes, r)
	k.fakeSession.Subscribe(r, done)
}

// A frame is valid during Receive only: nothing that the session was given, or
// that an answer still needs, may point into it.
func TestNothingPointsIntoTheFrame(t *testing.T) {
	k := &keeper{fakeSession: newFake()}
	c := &client{proto: New(Config{}), s: k}
	overwritten := func(frame string) {
		msg := []byte(frame)
		c.receive(msg)
		for i := range msg {
			msg[i] = '#'
		}
	}
	k.holding = true
	overwritten(`{"id":1,"connect":{"token":"plain token","name":"caf\u00e9","version":"naïve"}}` + "\n" +
		`{"id":2,"publish":{"channel":"channel","data":{"some":"data"}}}`)
	overwritten(`{"id":3,"subscribe":{"channel":"channel","token":"subscription token","recover":true,"epoch":"epoch","offset":3,"flag":2}}`)
	k.release() // the rest of the first frame, and the second
	if want := (hub.ConnectRequest{Token: "plain token", Name: "café", Version: "naïve"}); !reflect.DeepEqual(k.connects[0], want) {
		t.Errorf("connect kept %+v", k.connects[0])
	}
	if p := k.publish[0]; p.Channel != "channel" || string(p.Data) != `{"some":"data"}` {
		t.Errorf("publish kept %+v", p)
	}
	r := k.subscribes[0]
	if r.Channel != "channel" || r.Token != "subscription token" || r.Since.Epoch != "epoch" {
		t.Errorf("subscribe kept %+v", r)
	}
	overwritten(`{"id":4,"publish":{"channel":"second","data":[1,2,3]}}`)
	if p := k.publish[1]; p.Channel != "second" || string(p.Data) != `[1,2,3]` {
		t.Errorf("publish kept %+v", p)
	}
}

func TestHeldCommandsAreBounded(t *testing.T) {
	f := newFake()
	f.holding = true
	c := &client{proto: New(Config{}), s: f}
	c.receive([]byte(`{"id":1,"connect":{}}`))
	line := []byte(`{"id":2,"publish":{"channel":"a","data":"` + strings.Repeat("x", 1000) + `"}}`)
	for sent := 0; f.ended == nil; sent += len(line) {
		if sent > maxHeld+len(line) {
			t.Fatal("held without bound")
		}
		c.receive(line)
	}
	if *f.ended != hub.DisconnectBadRequest || c.held != nil {
		t.Errorf("ended with %v, holding %d bytes", f.ended, len(c.held))
	}
}

// The defaults leave room for a client that comes back to many channels at once.
func TestManyCommandsInOneFrame(t *testing.T) {
	c, f := newTestClient(t, Config{})
	var lines []string
	for i := range DefaultMaxCommands {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"c%d"}}`, i+2, i))
	}
	c.receive([]byte(strings.Join(lines, "\n")))
	if len(f.sent) != 1 || strings.Count(f.sent[0], "\n") != DefaultMaxCommands-1 || f.ended != nil {
		t.Errorf("%d frames, ended %v", len(f.sent), f.ended)
	}
}
