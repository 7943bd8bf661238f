package api

import (
	"reflect"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/tenant"
)

// fill gives a fake hub something to tell.
func fill(f *fakeHub) {
	ann := &engine.ClientInfo{User: "ann", Client: "c1", ConnInfo: []byte(`{"name":"Ann"}`), ChanInfo: []byte(`1`)}
	f.members = engine.Members{"c1": ann, "c2": {User: "bob", Client: "c2"}}
	f.history = engine.HistoryResult{
		Publications: []*engine.Publication{
			{Offset: 2, Time: 1000, Data: []byte(`{"a":1}`), Info: ann, Tags: map[string]string{"b": "\"", "a": "é\n"}, Event: "e"},
			{Offset: 3, Time: 1001, Data: []byte{0, 0xff}, Binary: true},
		},
		Top: engine.Position{Epoch: "x", Offset: 9}, Oldest: 2,
	}
	f.rows = []hub.ChannelInfo{{Name: "a:1", Clients: 2}, {Name: "a:\"2", Clients: 1}}
}

// TestResults: what each method asks the hub, and what it answers.
func TestResults(t *testing.T) {
	const app = "default"
	ann := hub.Target{App: app, User: "ann"}
	one := hub.Publish{App: app, Channel: "a:1", Data: []byte("1")}
	full := hub.Publish{
		App: app, Channel: "a:1", Data: []byte(`{"x": "é \n"}`), Event: "ev", SkipHistory: true,
		Tags: map[string]string{"k": "v"}, IdempotencyKey: "key",
	}
	tests := []struct {
		name, method, request string
		asked                 any
		result                string
	}{
		{"publish", "publish", `{"channel":"a:1","data":1}`, one, `{"offset":7,"epoch":"e"}`},
		{
			"publish with everything", "publish",
			` {"channel":"a:1","data":{"x":` + "\n" + ` "é \n"},"event":"ev","skip_history":true,"tags":{"k":"v"},"idempotency_key":"key","delta":true,"version":0} ` + "\n",
			full, `{"offset":7,"epoch":"e"}`,
		},
		{"publish null", "publish", `{"channel":"a:1","data":null}`, hub.Publish{App: app, Channel: "a:1", Data: []byte("null")}, `{"offset":7,"epoch":"e"}`},
		{"publish bytes", "publish", `{"channel":"a:1","b64data":"AAH/"}`, hub.Publish{App: app, Channel: "a:1", Data: []byte{0, 1, 0xff}, Binary: true}, `{"offset":7,"epoch":"e"}`},
		{"publish JSON in base64", "publish", `{"channel":"a:1","data":null,"b64data":"MQ=="}`, one, `{"offset":7,"epoch":"e"}`},
		{"nulls are absent", "publish", `{"channel":"a:1","data":1,"b64data":null,"tags":null,"skip_history":null,"idempotency_key":null,"version":null}`, one, `{"offset":7,"epoch":"e"}`},
		{"unknown fields", "publish", `{"channel":"a:1","key":{"a":[1,{}]},"data":1,"":0}`, one, `{"offset":7,"epoch":"e"}`},
		{"escaped names", "publish", `{"ch\u0061nnel":"\u0061:1","d\u0061ta":1}`, one, `{"offset":7,"epoch":"e"}`},
		{"broadcast", "broadcast", `{"channels":["a:1"],"data":1}`, one, `{"responses":[{"result":{"offset":7,"epoch":"e"}}]}`},
		{
			"subscribe", "subscribe", `{"channel":"a:1","user":"ann"}`,
			askedSession{target: ann, channel: "a:1"},
			`{}`,
		},
		{
			"subscribe with everything", "subscribe",
			`{"channel":"a:1","user":"ann","client":"c1","info":{"i":1},"b64data":"WzFd","expire_at":99,"recover_since":{"offset":3,"epoch":"x"},
			"override":{"presence":{"value":false},"join_leave":{"value":true},"force_recovery":true,"force_positioning":null}}`,
			askedSession{
				target: hub.Target{App: app, User: "ann", Client: "c1"}, channel: "a:1",
				options: engine.SubscribeOptions{Info: []byte(`{"i":1}`), Data: []byte(`[1]`), ExpireAt: 99, Recover: &engine.Position{Epoch: "x", Offset: 3}, Override: channel.Override{
					Presence: channel.Off, JoinLeave: channel.On, ForceRecovery: channel.On,
				}},
			},
			`{}`,
		},
		{"unsubscribe", "unsubscribe", `{"channel":"a:1","client":"c1"}`, askedSession{target: hub.Target{App: app, Client: "c1"}, channel: "a:1"}, `{}`},
		{"unsubscribe from all", "unsubscribe", `{"user":"ann"}`, askedSession{target: ann}, `{}`},
		{"disconnect", "disconnect", `{"user":"ann"}`, askedSession{target: ann, goodbye: hub.DisconnectForced}, `{}`},
		{
			"disconnect others", "disconnect", `{"user":"ann","whitelist":["c1","c2"],"disconnect":{"code":4000,"reason":"bye"}}`,
			askedSession{target: hub.Target{App: app, User: "ann", Except: []string{"c1", "c2"}}, goodbye: hub.Disconnect{Code: 4000, Reason: "bye"}},
			`{}`,
		},
		{"refresh", "refresh", `{"user":"ann","expired":true}`, askedSession{target: ann, goodbye: hub.DisconnectExpired}, `{}`},
		{
			"presence", "presence", `{"channel":"a:1"}`,
			askedChannel{"presence", app, "a:1"},
			`{"presence":{"c1":{"user":"ann","client":"c1","conn_info":{"name":"Ann"},"chan_info":1},"c2":{"user":"bob","client":"c2"}}}`,
		},
		{"presence_stats", "presence_stats", `{"channel":"a:1"}`, askedChannel{"presence_stats", app, "a:1"}, `{"num_clients":3,"num_users":2}`},
		{
			"history", "history", `{"channel":"a:1","limit":2,"since":{"offset":1,"epoch":"x"},"reverse":false}`,
			askedHistory{app, "a:1", hub.HistoryQuery{Limit: 2, Since: &engine.Position{Epoch: "x", Offset: 1}}},
			`{"publications":[{"data":{"a":1},"info":{"user":"ann","client":"c1","conn_info":{"name":"Ann"},"chan_info":1},"offset":2,` +
				`"tags":{"a":"é\n","b":"\""},"event":"e","time":1000},{"b64data":"AP8=","offset":3,"time":1001}],"offset":9,"epoch":"x","has_more":true}`,
		},
		{"history_remove", "history_remove", `{"channel":"a:1"}`, askedChannel{"history_remove", app, "a:1"}, `{}`},
		{
			"channels", "channels", `{"pattern":"a:*","limit":2,"cursor":"a:0"}`,
			hub.ChannelQuery{App: app, Pattern: "a:*", After: "a:0", Limit: 2},
			`{"channels":{"a:1":{"num_clients":2},"a:\"2":{"num_clients":1}}}`,
		},
		{"history_import", "history_import", `{"pieces":["YQ==","Yg=="]}`, nil, `{"pieces":[{"there":false},{"there":true}]}`},
		{"dead letters", "dead_letters", `{"limit":1}`, nil, `{"events":[{"url":"u","time_ms":1,"event":{"name":"e"},"error":"x"}]}`},
		{"dead letters, no body", "dead_letters", ``, nil, `{"events":[{"url":"u","time_ms":1,"event":{"name":"e"},"error":"x"},{"url":"u","time_ms":1,"event":{"name":"e"},"error":"x"}]}`},
		{"channels, no body", "channels", ``, hub.ChannelQuery{App: app, Limit: DefaultMaxPage}, `{"channels":{"a:1":{"num_clients":2},"a:\"2":{"num_clients":1}}}`},
		{
			"info", "info", "", nil,
			`{"nodes":[{"uid":"u","name":"n","version":"v","num_clients":1,"num_users":2,"num_channels":3,"num_subs":4,"uptime":5,"num_published":6,"num_delivered":7},{"uid":"u2","name":"n2","version":"v","num_clients":0,"num_users":0,"num_channels":0,"num_subs":0,"uptime":0,"num_published":0,"num_delivered":0}]}`,
		},
		{
			"cluster", "cluster", "", nil,
			`{"cluster":"c","nodes":[{"uid":"u1","name":"n1","self":true,"num_clients":3,"ready":true,"logs":[{"name":"disk-0","leader":"n2","last":9,"applied":8}]},` +
				`{"uid":"u2","name":"n2","num_clients":0,"ready":false,"silent":true}]}`,
		},
		{"drain", "drain", "", nil, `{"num_clients":3,"rate":500}`},
		{"drain at a rate", "drain", `{"rate":7}`, nil, `{"num_clients":3,"rate":7}`},
		{"batch", "batch", `{"commands":[{"publish":{"channel":"a:1","data":1}}]}`, one, `{"replies":[{"publish":{"offset":7,"epoch":"e"}}]}`},
	}
	called := map[string]bool{"rpc": true} // which never has a result
	for _, c := range appCalls {
		called[c.method] = true
	}
	for _, tt := range tests {
		called[tt.method] = true
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(Limits{})
			fill(f.hub)
			if got := f.good(t, tt.method, tt.request); got != tt.result {
				t.Errorf("result %s\nwant   %s", got, tt.result)
			}
			var want []any
			if tt.asked != nil {
				want = []any{tt.asked}
			}
			if got := f.hub.questions(); !reflect.DeepEqual(got, want) {
				t.Errorf("asked %+v\nwant  %+v", got, want)
			}
			if len(f.observed) != 1 || f.observed[0] != (observation{tt.method, 200}) {
				t.Errorf("observed %v", f.observed)
			}
		})
	}
	for _, name := range methodNames(newFixture(Limits{}).handler) {
		if !called[name] {
			t.Errorf("%s is not called here", name)
		}
	}
}

// TestPositions: what is not there is left out.
func TestPositions(t *testing.T) {
	for want, res := range map[string]engine.PublishResult{
		`{}`:                          {},
		`{"offset":1,"epoch":"a\"b"}`: {Position: engine.Position{Epoch: `a"b`, Offset: 1}},
		`{"offset":1,"epoch":"x","duplicate":true}`: {Position: engine.Position{Epoch: "x", Offset: 1}, Duplicate: true},
	} {
		f := newFixture(Limits{})
		f.hub.onPublish = func(hub.Publish) (engine.PublishResult, error) { return res, nil }
		if got := f.good(t, "publish", `{"channel":"a","data":1}`); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestApp: channels are those of the key's app.
func TestApp(t *testing.T) {
	fake := &fakeHub{}
	f := &fixture{hub: fake, handler: New(Config{Keys: fakeKeys{testKey: {"shop", tenant.Publish}}}, fake, nil)}
	f.good(t, "publish", `{"channel":"a","data":1}`)
	if p, ok := fake.questions()[0].(hub.Publish); !ok || p.App != "shop" {
		t.Errorf("%+v", p)
	}
}

// TestDataOutlivesTheRequest: buffers are used again, so what the hub keeps must
// be its own.
func TestDataOutlivesTheRequest(t *testing.T) {
	f := newFixture(Limits{})
	f.good(t, "publish", `{"channel":"first","data":"first","tags":{"first":"first"},"event":"first","idempotency_key":"first"}`)
	f.good(t, "subscribe", `{"channel":"first","user":"first","info":"first","data":"first"}`)
	asked := f.hub.questions()
	f.good(t, "publish", `{"channel":"other","data":"other","tags":{"other":"other"},"event":"other","idempotency_key":"other"}`)
	f.good(t, "subscribe", `{"channel":"other","user":"other","info":"other","data":"other"}`)
	want := hub.Publish{App: "default", Channel: "first", Data: []byte(`"first"`), Event: "first", Tags: map[string]string{"first": "first"}, IdempotencyKey: "first"}
	if !reflect.DeepEqual(asked[0], want) {
		t.Errorf("%+v", asked[0])
	}
	if s, ok := asked[1].(askedSession); !ok || string(s.options.Info) != `"first"` || string(s.options.Data) != `"first"` {
		t.Errorf("%+v", asked[1])
	}
}

// TestLineBreaks: on the wire a line is a message.
func TestLineBreaks(t *testing.T) {
	f := newFixture(Limits{})
	f.good(t, "publish", "{\"channel\":\"a\",\"data\":\r\n[1,\n\t\"a \\n b\" ,\r 2]\n}")
	p, ok := f.hub.questions()[0].(hub.Publish)
	if !ok || strings.ContainsAny(string(p.Data), "\r\n") || string(p.Data) != "[1,\t\"a \\n b\" , 2]" {
		t.Errorf("%q", p.Data)
	}
}

// TestDrainRates: a rate that is none is refused before anything begins.
func TestDrainRates(t *testing.T) {
	for _, body := range []string{`{"rate":-1}`, `{"rate":1000001}`, `{"rate":"fast"}`, `{"rate":1.5}`} {
		f := newFixture(Limits{})
		if status, e := f.refused(t, post("drain", body, header("X-Centrifugo-Error-Mode", "transport"))); status != 400 || e.Code != codeBadRequest {
			t.Errorf("%s: %d %+v", body, status, e)
		}
	}
}
