package centrifuge

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

func newListener() (*listener, *fakeSession) {
	f := newFake()
	return &listener{proto: NewUni(Config{Version: "v"}), s: f}, f
}

func TestListenerIsSentPushesAlone(t *testing.T) {
	l, f := newListener()
	l.receive([]byte(` {"token":"t","name":"curl"} `))
	l.receive([]byte(`what else it says is ignored`))
	l.ping()
	l.tell(hub.Notice{Channel: "a", Subscribed: &hub.SubscribeResult{Recoverable: true, Position: engine.Position{Epoch: "e", Offset: 1}, Publications: []*engine.Publication{{Offset: 1, Data: []byte(`1`)}}}})
	l.tell(hub.Notice{Channel: "a", Unsubscribed: &hub.UnsubscribeServer})
	event := pub("a", engine.Publication{Data: []byte(`{"x":1}`), Offset: 2})
	join := hub.Event{Kind: hub.EventJoin, Channel: "a", Info: &engine.ClientInfo{Client: "c2"}}
	got := append(slices.Clone(f.sent), string(l.proto.Append(nil, &event)), string(l.proto.Append(nil, &join)), string(l.proto.AppendDisconnect(nil, hub.DisconnectShutdown)))
	want := []string{
		`{"connect":{"client":"c1","version":"v","ping":25}}`,
		`{}`,
		`{"channel":"a","subscribe":{"recoverable":true,"epoch":"e"}}` + "\n" + `{"channel":"a","pub":{"data":1,"offset":1}}`,
		`{"channel":"a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}`,
		`{"channel":"a","pub":{"data":{"x":1},"offset":2}}`,
		`{"channel":"a","join":{"info":{"user":"","client":"c2"}}}`,
		`{"disconnect":{"code":3001,"reason":"shutdown"}}`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sent\n%q, want\n%q", got, want)
	}
	if len(f.calls) == 0 || f.calls[0] != `connect token="t" name="curl" version=""` || f.ended != nil {
		t.Errorf("asked %q, ended %v", f.calls, f.ended)
	}
}

func TestDisconnectOfEveryEncoding(t *testing.T) {
	if got := string(New(Config{}).AppendDisconnect(nil, hub.DisconnectSlow)); got != `{"push":{"disconnect":{"code":3008,"reason":"slow"}}}` {
		t.Error(got)
	}
	r := readProto(t, NewProtobuf(Config{}).AppendDisconnect(nil, hub.DisconnectSlow))
	if len(r) != 1 || r[0].Push.Disconnect.Code != 3008 {
		t.Error(r)
	}
}

func TestEmulatedSessionIsToldItsSecret(t *testing.T) {
	f := newFake()
	f.secret, f.node = "s3cret", "n1"
	(&client{proto: New(Config{}), s: f}).receive([]byte(`{"id":1,"connect":{}}`))
	if want := `{"id":1,"connect":{"client":"c1","ping":25,"pong":true,"session":"s3cret","node":"n1"}}`; len(f.sent) != 1 || f.sent[0] != want {
		t.Errorf("sent %q, want %s", f.sent, want)
	}
}

func TestListenerIsRefused(t *testing.T) {
	for request, want := range map[string]hub.Disconnect{
		`[]`: hub.DisconnectBadRequest, `{"token":1}`: hub.DisconnectBadRequest, `{} {}`: hub.DisconnectBadRequest, `{"token":"t"`: hub.DisconnectBadRequest,
	} {
		l, f := newListener()
		if l.receive([]byte(request)); f.ended == nil || *f.ended != want || len(f.calls) > 0 {
			t.Errorf("%s: ended %v, asked %q", request, f.ended, f.calls)
		}
	}
	for err, want := range map[error]hub.Disconnect{
		channel.ErrTokenInvalid: hub.DisconnectInvalidToken, channel.ErrTokenExpired: hub.DisconnectExpired,
		hub.ErrUnauthorized: hub.DisconnectPermissionDenied, hub.ErrBusy: hub.DisconnectServerError, engine.ErrClosed: hub.DisconnectServerError,
	} {
		l, f := newListener()
		f.errs[methodConnect] = err
		if l.receive(nil); f.ended == nil || *f.ended != want || len(f.sent) > 0 {
			t.Errorf("%v: ended %v, want %v", err, f.ended, want)
		}
	}
}

func FuzzConnectRequest(f *testing.F) {
	f.Add([]byte(`{"token":"t","subs":{"a":{"recover":true,"offset":1,"epoch":"e"}}}`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, msg []byte) {
		l, fake := newListener()
		l.receive(msg)
		if taken := fake.ended == nil; taken != (len(fake.sent) == 1) {
			t.Fatalf("sent %q, ended %v", fake.sent, fake.ended)
		} else if taken && len(msg) > 0 && !json.Valid(msg) {
			for _, c := range msg {
				if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
					t.Fatalf("took %q", msg)
				}
			}
		}
	})
}
