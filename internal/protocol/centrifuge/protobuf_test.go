package centrifuge

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/centrifugal/protocol"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// readProto reads the messages of a frame with the protocol's own types.
func readProto(t *testing.T, frame []byte) []*protocol.Reply {
	t.Helper()
	var replies []*protocol.Reply
	for d := protocol.NewProtobufReplyDecoder(frame); ; {
		r, err := d.Decode()
		if r == nil {
			if len(replies) == 0 {
				t.Fatalf("%x: %v", frame, err)
			}
			return replies
		}
		replies = append(replies, r)
	}
}

// protoCommand encodes a command as a client does.
func protoCommand(tb testing.TB, cmd *protocol.Command) []byte {
	tb.Helper()
	b, err := protocol.NewProtobufCommandEncoder().Encode(cmd)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// What is written by hand is what the protocol's types write.
func TestProtobufEventsReadAsTheProtocolsTypes(t *testing.T) {
	alice := &engine.ClientInfo{User: "alice", Client: "c1", ConnInfo: []byte(`{"name":"A"}`), ChanInfo: []byte(`[1]`)}
	long := bytes.Repeat([]byte("7"), 70000)
	for name, event := range map[string]hub.Event{
		"plain":      pub("a", engine.Publication{Data: []byte(`{"x":1}`)}),
		"empty":      pub("a", engine.Publication{}),
		"everything": pub("канал", engine.Publication{Data: long, Offset: 1<<64 - 1, Time: 1700000000123, Event: "e", Tags: map[string]string{"b": "2", "a": "", "event": "x"}, Info: alice}),
		"binary":     pub("a", engine.Publication{Data: []byte{0, 255}, Binary: true, Tags: map[string]string{"event": "x"}}),
		"join":       {Kind: hub.EventJoin, Channel: "a", Info: alice},
		"leave":      {Kind: hub.EventLeave, Channel: "a", Info: &engine.ClientInfo{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := NewProtobuf(Config{}).Append(nil, &event)
			replies := readProto(t, got)
			if want := (protobufCodec{}).reply(nil, &protocol.Reply{Push: pushOf(&event)}); len(replies) != 1 || len(got) != len(want) {
				t.Fatalf("%d replies, %d bytes; want one of %d", len(replies), len(got), len(want))
			}
			if want := pushOf(&event); !reflect.DeepEqual(fieldsOf(replies[0].Push), fieldsOf(want)) {
				t.Errorf("reads as\n%s, want\n%s", replies[0].Push.AppendJSON(nil), want.AppendJSON(nil))
			}
		})
	}
}

// fieldsOf is what two pushes are compared by: the order of tags does not matter,
// and data need not be JSON.
func fieldsOf(p *protocol.Push) []any {
	pub := p.GetPub()
	return []any{
		p.Channel, string(pub.GetData()), pub.GetTags(), pub.GetOffset(), pub.GetTime(),
		pub.GetInfo().String(), p.Join.String(), p.Leave.String(),
	}
}

// pushOf makes of an event what the protocol's types have for it.
func pushOf(e *hub.Event) *protocol.Push {
	push := &protocol.Push{Channel: e.Channel}
	switch e.Kind {
	case hub.EventPublication:
		push.Pub = publications(protobufCodec{}, []*engine.Publication{e.Publication})[0]
	case hub.EventJoin:
		push.Join = &protocol.Join{Info: clientInfo(e.Info)}
	case hub.EventLeave:
		push.Leave = &protocol.Leave{Info: clientInfo(e.Info)}
	}
	return push
}

func TestProtobufFlow(t *testing.T) {
	f := newFake()
	f.sub = hub.SubscribeResult{Recoverable: true, Recovered: true, Position: engine.Position{Epoch: "e", Offset: 4}, Publications: []*engine.Publication{{Offset: 4, Data: []byte{0}, Binary: true}}}
	f.members = engine.Members{"c1": {Client: "c1", User: "u"}}
	f.history = engine.HistoryResult{Top: engine.Position{Epoch: "e", Offset: 4}, Publications: f.sub.Publications}
	c := &client{proto: NewProtobuf(Config{Version: "v"}), s: f}
	var frame []byte
	for _, cmd := range []*protocol.Command{
		{Id: 1, Connect: &protocol.ConnectRequest{Token: "t", Name: "go"}},
		{Id: 2, Subscribe: &protocol.SubscribeRequest{Channel: "a", Recover: true, Epoch: "e", Offset: 3}},
		{Id: 3, Publish: &protocol.PublishRequest{Channel: "a", Data: []byte{1, 2}}},
		{Id: 4, Publish: &protocol.PublishRequest{Channel: "a", Data: []byte(`{"x":1}`)}},
		{Id: 5, Unsubscribe: &protocol.UnsubscribeRequest{Channel: "a"}},
		{Id: 6, History: &protocol.HistoryRequest{Channel: "a", Limit: 1}},
		{Id: 7, Presence: &protocol.PresenceRequest{Channel: "a"}},
		{Id: 8, Rpc: &protocol.RPCRequest{Method: "m"}},
	} {
		frame = append(frame, protoCommand(t, cmd)...)
	}
	c.receive(frame)
	want := []string{
		`{"id":1,"connect":{"client":"c1","version":"v","ping":25,"pong":true}}`,
		`{"id":2,"subscribe":{"recoverable":true,"epoch":"e","publications":[{"data":` + "\x00" + `,"offset":4}],"recovered":true,"offset":3,"was_recovering":true}}`,
		`{"id":3,"publish":{}}`,
		`{"id":4,"publish":{}}`,
		`{"id":5,"unsubscribe":{}}`,
		`{"id":6,"history":{"publications":[{"data":` + "\x00" + `,"offset":4}],"epoch":"e","offset":4}}`,
		`{"id":7,"presence":{"presence":{"c1":{"user":"u","client":"c1"}}}}`,
		`{"id":8,"error":{"code":108,"message":"not available"}}`,
	}
	if len(f.sent) != 1 {
		t.Fatalf("%d frames, want one", len(f.sent))
	}
	replies := readProto(t, []byte(f.sent[0]))
	for i, r := range replies {
		if got := string(r.AppendJSON(nil)); i >= len(want) || got != want[i] {
			t.Errorf("reply is\n%q, want\n%q", got, want[min(i, len(want)-1)])
		}
	}
	if len(replies) != len(want) {
		t.Errorf("%d replies, want %d", len(replies), len(want))
	}
	if p := f.publish; !p[0].Binary || p[1].Binary || string(p[1].Data) != `{"x":1}` {
		t.Errorf("published %+v", p)
	}
}

func TestProtobufPingAndPong(t *testing.T) {
	f := newFake()
	c := &client{proto: NewProtobuf(Config{}), s: f}
	c.receive(protoCommand(t, &protocol.Command{Id: 1, Connect: &protocol.ConnectRequest{}}))
	f.sent, f.calls = nil, nil
	c.ping()
	if len(f.sent) != 1 || f.sent[0] != "\x00" {
		t.Fatalf("ping is %q", f.sent)
	}
	c.receive([]byte{0})
	if len(f.calls) != 1 || f.ended != nil {
		t.Fatalf("calls %v, ended %v", f.calls, f.ended)
	}
	c.receive([]byte{0})
	if f.ended == nil || *f.ended != hub.DisconnectBadRequest {
		t.Fatalf("a pong that nobody asked for: ended %v", f.ended)
	}
}

func TestMalformedProtobuf(t *testing.T) {
	for name, frame := range map[string][]byte{
		"nothing":           {},
		"half a length":     {0x80},
		"a length too long": {5, 0},
		"no end to it":      bytes.Repeat([]byte{0xff}, 20),
		"no command":        {2, 0xff, 0xff},
		"no method":         {2, 8, 1},
		"a wrong type":      {3, 0x22, 9, 1},
	} {
		f := newFake()
		(&client{proto: NewProtobuf(Config{}), s: f}).receive(frame)
		if f.ended == nil || *f.ended != hub.DisconnectBadRequest {
			t.Errorf("%s: ended %v", name, f.ended)
		}
	}
}

// FuzzProtobuf: whatever comes, what is sent can be read, and nothing that the
// session is given points into the frame.
func FuzzProtobuf(f *testing.F) {
	for _, cmd := range []*protocol.Command{
		{Id: 2, Subscribe: &protocol.SubscribeRequest{Channel: "a", Recover: true, Epoch: "e", Offset: 3}},
		{Id: 3, Publish: &protocol.PublishRequest{Channel: "a", Data: []byte{1, 2}}},
		{Id: 4, History: &protocol.HistoryRequest{Channel: "a", Limit: -1, Since: &protocol.StreamPosition{Offset: 1}}},
		{Id: 5, Refresh: &protocol.RefreshRequest{Token: "t"}},
		{},
	} {
		f.Add(protoCommand(f, cmd))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		fake := newFake()
		c := &client{proto: NewProtobuf(Config{}), s: fake}
		c.receive(protoCommand(t, &protocol.Command{Id: 1, Connect: &protocol.ConnectRequest{}}))
		fake.sent = nil
		c.ping()
		frame := bytes.Clone(msg)
		c.receive(frame)
		clear(frame)
		for _, sent := range fake.sent {
			readProto(t, []byte(sent))
		}
		if fake.ended != nil && *fake.ended != hub.DisconnectBadRequest {
			t.Fatalf("ended with %v", *fake.ended)
		}
	})
}
