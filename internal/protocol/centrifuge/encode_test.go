package centrifuge

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/centrifugal/protocol"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

func TestAppend(t *testing.T) {
	alice := &engine.ClientInfo{User: "alice", Client: "c1", ConnInfo: []byte(`{"name":"A"}`), ChanInfo: []byte(`[1]`)}
	for _, tt := range []struct {
		name  string
		event hub.Event
		want  string
	}{
		{
			"plain", pub("a", engine.Publication{Data: []byte(`{"x":1}`)}),
			`{"push":{"channel":"a","pub":{"data":{"x":1}}}}`,
		},
		{
			"everything", pub("a", engine.Publication{
				Data: []byte(`"x"`), Offset: 18446744073709551615, Time: 1700000000123, Event: "typing",
				Tags: map[string]string{"z": "1", "b": "<2>"}, Info: alice,
			}),
			`{"push":{"channel":"a","pub":{"data":"x","info":{"user":"alice","client":"c1","conn_info":{"name":"A"},"chan_info":[1]},` +
				`"offset":18446744073709551615,"tags":{"event":"typing","b":"\u003c2\u003e","z":"1"},"time":1700000000123}}}`,
		},
		{
			"event without tags", pub("a", engine.Publication{Data: []byte(`1`), Event: "e"}),
			`{"push":{"channel":"a","pub":{"data":1,"tags":{"event":"e"}}}}`,
		},
		{
			"an event hides the tag", pub("a", engine.Publication{Data: []byte(`1`), Event: "e", Tags: map[string]string{"event": "other"}}),
			`{"push":{"channel":"a","pub":{"data":1,"tags":{"event":"e"}}}}`,
		},
		{
			"the tag without an event", pub("a", engine.Publication{Data: []byte(`1`), Tags: map[string]string{"event": "other"}}),
			`{"push":{"channel":"a","pub":{"data":1,"tags":{"event":"other"}}}}`,
		},
		{
			"binary", pub("a", engine.Publication{Data: []byte{0, 0xff, '\n', '"'}, Binary: true}),
			`{"push":{"channel":"a","pub":{"data":"AP8KIg=="}}}`,
		},
		{
			"empty binary", pub("a", engine.Publication{Binary: true}),
			`{"push":{"channel":"a","pub":{"data":""}}}`,
		},
		{
			"line breaks", pub("a", engine.Publication{Data: []byte("{\n\"x\":\n\"\\n\"}\n")}),
			`{"push":{"channel":"a","pub":{"data":{"x":"\n"}}}}`,
		},
		{
			"channel to escape", pub("a\"\\й:#1", engine.Publication{Data: []byte(`1`)}),
			`{"push":{"channel":"a\"\\й:#1","pub":{"data":1}}}`,
		},
		{
			"anonymous publisher", pub("a", engine.Publication{Data: []byte(`1`), Info: &engine.ClientInfo{Client: "c2"}}),
			`{"push":{"channel":"a","pub":{"data":1,"info":{"user":"","client":"c2"}}}}`,
		},
		{
			"join",
			hub.Event{Kind: hub.EventJoin, Channel: "a", Info: alice},
			`{"push":{"channel":"a","join":{"info":{"user":"alice","client":"c1","conn_info":{"name":"A"},"chan_info":[1]}}}}`,
		},
		{
			"leave",
			hub.Event{Kind: hub.EventLeave, Channel: "a", Info: &engine.ClientInfo{Client: "c2"}},
			`{"push":{"channel":"a","leave":{"info":{"user":"","client":"c2"}}}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := string(New(Config{}).Append([]byte("before "), &tt.event))
			if got != "before "+tt.want {
				t.Fatalf("got\n%s, want\n%s", got, tt.want)
			}
			reads(t, tt.want)
		})
	}
}

func pub(channel string, p engine.Publication) hub.Event {
	return hub.Event{Kind: hub.EventPublication, Channel: channel, Publication: &p}
}

// reads checks that a line is JSON, one line, and what the protocol's own types
// take it for: written again by them it has the same fields.
func reads(t *testing.T, line string) {
	t.Helper()
	reply, err := protocol.NewJSONReplyDecoder([]byte(line)).Decode()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	var ours, theirs any
	if err := json.Unmarshal([]byte(line), &ours); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(reply.AppendJSON(nil), &theirs); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(ours)
	b, _ := json.Marshal(theirs)
	if !bytes.Equal(a, b) {
		t.Errorf("the protocol's types read\n%s, not\n%s", b, a)
	}
}

func TestRepliesReadAsTheProtocolsTypes(t *testing.T) {
	pubs := []*engine.Publication{
		{Offset: 1, Data: []byte(`{"a":1}`), Time: 5},
		{Offset: 2, Data: []byte("\xff"), Binary: true, Event: "e", Tags: map[string]string{"k": "v"}},
	}
	members := engine.Members{"c1": {User: "u", Client: "c1", ConnInfo: []byte(`{}`)}, "c2": {Client: "c2"}}
	for _, line := range [][]byte{
		appendEmptyReply(nil, 1, methodPublish),
		appendEmptyReply(nil, 4294967295, methodUnsubscribe),
		appendErrorReply(nil, 1, errTooManyRequests),
		appendHistoryReply(nil, 1, &engine.HistoryResult{Top: engine.Position{Epoch: "e", Offset: 2}, Publications: pubs}),
		appendHistoryReply(nil, 1, &engine.HistoryResult{}),
		appendPresenceReply(nil, 1, members),
		appendPresenceReply(nil, 1, nil),
		appendSubscribeReply(nil, 1, &hub.SubscribeResult{Publications: pubs}),
		appendSubscribeReply(nil, 1, &hub.SubscribeResult{Recovered: true, Publications: pubs}),
		jsonCodec{}.push(nil, subscribePush("a", &hub.SubscribeResult{})),
		jsonCodec{}.push(nil, unsubscribePush("a", &hub.UnsubscribeServer)),
	} {
		reads(t, string(line))
	}
}
