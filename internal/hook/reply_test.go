package hook

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

func TestParse(t *testing.T) {
	at := time.Unix(1893456000, 0)
	tests := []struct {
		name, hook, body string
		want             hub.Answer
	}{
		{"connect", "connect", `{"result":{"user":"56"}}`, hub.Answer{User: "56"}},
		{"anonymous", "connect", `{"result":{"user":""}}`, hub.Answer{}},
		{
			"all of connect", "connect", `{"result":{"user":"56","expire_at":1893456000,"info":{"a": 1},"b64data":"eyJkIjogMX0=","meta":{"m":1},
			"channels":["a","b"],"subs":{"b":{"info":{"i":1},"data":2},"c":null},"caps":[{"channels":["x"],"allow":["pub"]}],"unknown":1}}`,
			hub.Answer{
				User: "56", ExpireAt: at, Info: []byte(`{"a":1}`), Data: []byte(`{"d":1}`), Meta: []byte(`{"m":1}`),
				Subs:   []hub.AnswerSub{{Channel: "a"}, {Channel: "b", Info: []byte(`{"i":1}`), Data: []byte(`2`)}, {Channel: "c"}},
				Grants: channel.Grants{Allow: []channel.Grant{{Channel: "x", Ops: channel.Publish}}},
			},
		},
		{"info that is no JSON", "connect", `{"result":{"user":"1","b64info":"/w=="}}`, hub.Answer{User: "1", Info: []byte(`"/w=="`)}},
		{"null is nothing", "connect", `{"result":{"user":"1","info":null,"data":null,"subs":null},"error":null}`, hub.Answer{User: "1"}},
		{"refresh", "refresh", `{"result":{"expire_at":1893456000}}`, hub.Answer{ExpireAt: at}},
		{"expired", "refresh", `{"result":{"expired":true}}`, hub.Answer{Expired: true}},
		{"sub_refresh", "sub_refresh", `{"result":{"expire_at":1893456000,"info":1}}`, hub.Answer{ExpireAt: at, Info: []byte("1")}},
		{"subscribe", "subscribe", `{"result":{}}`, hub.Answer{}},
		{"subscribe with data", "subscribe", `{"result":{"data":{"x":[1, 2]},"override":{}}}`, hub.Answer{Data: []byte(`{"x":[1,2]}`)}},
		{
			"subscribe with other options", "subscribe",
			`{"result":{"override":{"presence":{"value":false},"join_leave":{"value":true},"force_recovery":true,"force_positioning":false,"force_push_join_leave":null}}}`,
			hub.Answer{Override: channel.Override{Presence: channel.Off, JoinLeave: channel.On, ForceRecovery: channel.On, ForcePositioning: channel.Off}},
		},
		{
			"connect with other options", "connect", `{"result":{"user":"1","subs":{"a":{"override":{"force_push_join_leave":{"value":true}}}}}}`,
			hub.Answer{User: "1", Subs: []hub.AnswerSub{{Channel: "a", Override: channel.Override{ForcePushJoinLeave: channel.On}}}},
		},
		{"publish", "publish", `{"result":{}}`, hub.Answer{}},
		{
			"publish something else", "publish", `{"result":{"data":false,"skip_history":true,"tags":{"a":"b"},"idempotency_key":"k"}}`,
			hub.Answer{Data: []byte("false"), SkipHistory: true, Tags: map[string]string{"a": "b"}, IdempotencyKey: "k"},
		},
		{"publish bytes", "publish", `{"result":{"b64data":"/w=="}}`, hub.Answer{Data: []byte{0xff}, Binary: true}},
		{"rpc", "rpc", `{"result":{"data":"x"}}`, hub.Answer{Data: []byte(`"x"`)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, outcome, err := parse(hub.Hook(tt.hook), []byte(tt.body))
			if err != nil || outcome != metrics.HookOK || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tt.want) {
				t.Errorf("%+v, %s, %v\nwant %+v", got, outcome, err, tt.want)
			}
		})
	}
}

func TestParseNo(t *testing.T) {
	_, outcome, err := parse(hub.HookRPC, []byte(`{"error":{"code":1000,"message":"no","temporary":true}}`))
	var said *hub.BackendError
	if !errors.As(err, &said) || outcome != metrics.HookError || *said != (hub.BackendError{Code: 1000, Message: "no", Temporary: true}) {
		t.Errorf("%v, %s", err, outcome)
	}
	long := strings.Repeat("é", 100)
	_, outcome, err = parse(hub.HookConnect, []byte(`{"result":{"user":"x"},"disconnect":{"code":4501,"reason":"`+long+`"}}`))
	var end *hub.BackendDisconnect
	if !errors.As(err, &end) || outcome != metrics.HookDisconnect || end.Code != 4501 || end.Reason != long[:122] {
		t.Errorf("%v, %s", err, outcome)
	}
}

// What a backend may say that is no answer.
func TestLies(t *testing.T) {
	connect := func(result string) string { return `{"result":{"user":"1",` + result + `}}` }
	for _, body := range []string{
		"", "null", "[]", "{}", "7", `"x"`, `{"result":null}`, `{"result":[]}`, `{"result":{"user":7}}`, `{"result":{}}`, `{"result":{"user":null}}`,
		"{\"result\":{\"user\":\"\xff\"}}", `{"result":{"user":"a\nb"}}`, `{"result":{"user":"` + strings.Repeat("x", 256) + `"}}`,
		connect(`"expire_at":-1`), connect(`"expire_at":1e30`), connect(`"expire_at":253402300800`), connect(`"expire_at":"soon"`),
		connect(`"channels":"a"`), connect(`"channels":[1]`), connect(`"subs":[]`), connect(`"subs":{"a":1}`), connect(`"b64info":"%"`),
		connect(`"caps":[{"channels":["x"],"allow":["all"]}]`), connect(`"caps":{}`),
		`{"error":{"code":7,"message":"x"}}`, `{"error":{"code":5000}}`, `{"error":"x"}`, `{"error":{"code":"400"}}`, `{"error":{"code":-1}}`,
		`{"error":{"code":400,"message":"` + strings.Repeat("x", maxMessage+1) + `"}}`,
		`{"disconnect":{"code":3000,"reason":"x"}}`, `{"disconnect":{"code":5000}}`, `{"disconnect":true}`,
		`{"result":{"user":"1"}} trailing`,
		connect(`"subs":{"a":{"override":{"presence":1}}}`), connect(`"override":[]`), connect(`"override":{"presence":{"value":"yes"}}`), strings.Repeat(`{"a":`, 20_000),
	} {
		if a, outcome, err := parse(hub.HookConnect, []byte(body)); outcome != metrics.HookMalformed || err == nil || !reflect.DeepEqual(a, hub.Answer{}) {
			t.Errorf("%.80q: %+v, %s, %v", body, a, outcome, err)
		}
	}
	deep := func(n int) string {
		return `{"result":{"data":` + strings.Repeat("[", n) + `"\"]]"` + strings.Repeat("]", n) + `}}`
	}
	for n, want := range map[int]metrics.HookOutcome{maxDepth - 2: metrics.HookOK, maxDepth - 1: metrics.HookMalformed} {
		if _, outcome, err := parse(hub.HookRPC, []byte(deep(n))); outcome != want {
			t.Errorf("%d within each other: %s, %v", n, outcome, err)
		}
	}
	many := `{"result":{"tags":{"a":"` + strings.Repeat("x", maxTagSize) + `"}}}`
	if _, outcome, _ := parse(hub.HookPublish, []byte(many)); outcome != metrics.HookMalformed {
		t.Errorf("tags that are too large: %s", outcome)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("connect", []byte(`{"result":{"user":"1","subs":{"a":{"info":1}},"caps":[{"channels":["x"],"allow":["pub"]}]}}`))
	f.Add("publish", []byte(`{"result":{"b64data":"eyJkIjogMX0="}}`))
	f.Add("rpc", []byte(`{"error":{"code":400}}`))
	f.Fuzz(func(t *testing.T, hook string, body []byte) {
		a, outcome, err := parse(hub.Hook(hook), body)
		if (err == nil) != (outcome == metrics.HookOK) {
			t.Fatalf("%s with %v", outcome, err)
		}
		for _, text := range [][]byte{a.Info, a.Meta} {
			if strings.ContainsAny(string(text), "\r\n") {
				t.Fatalf("%q is more than one line", text)
			}
		}
	})
}

func TestCheckHeader(t *testing.T) {
	for name, ok := range map[string]bool{
		"Cookie": true, "authorization": true, "X-Real-Ip": true, "": false, "a b": false, "Host": false, "content-length": false,
		"x-fanfare-signature": false, "Connection": false, "Sec-WebSocket-Key": false, "Idempotency-Key": false, "a:b": false, "Ä": false,
	} {
		if err := CheckHeader(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
