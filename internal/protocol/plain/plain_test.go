package plain

import (
	"errors"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

func TestPositions(t *testing.T) {
	places := []place{
		{"news", engine.Position{Epoch: "e1", Offset: 7}},
		{"chat:a,b #1 é", engine.Position{Epoch: "x/y=", Offset: 0}},
		{"~", engine.Position{Offset: 1<<64 - 1}},
	}
	text := string(appendPositions(nil, places))
	if want := "news:e1:7,chat~3Aa~2Cb~20~231~20~C3~A9:x~2Fy~3D:0,~7E::18446744073709551615"; text != want {
		t.Fatalf("%s, want %s", text, want)
	}
	if len(text) > sizeOf(places) {
		t.Errorf("%d bytes, were to be %d at most", len(text), sizeOf(places))
	}
	decoded, err := url.QueryUnescape(text) // a query may hold it as it is
	if err != nil || decoded != text {
		t.Errorf("in a query it became %q, %v", decoded, err)
	}
	got, err := parsePositions(text)
	want := map[string]engine.Position{}
	for _, p := range places {
		want[p.channel] = p.Position
	}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}

func TestBadPositions(t *testing.T) {
	for _, s := range []string{
		"x", "a:b", "a:b:c", "a:b:-1", "a:b:18446744073709551616", "a:b:1:", "a:b:1,", "a b:c:1", "~4:c:1", "~zz:c:1", "a:é:1", "a:b:1\n",
		strings.Repeat("a", MaxPositions) + ":b:1",
	} {
		if p, err := parsePositions(s); !errors.Is(err, errPosition) {
			t.Errorf("%.40q: %v, %v", s, p, err)
		}
	}
}

func FuzzPositions(f *testing.F) {
	for _, s := range []string{"", "a:b:1", "~3A:e:5,b::0", "a:b:1,a:b:2", "x:y:z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		positions, err := parsePositions(s)
		if err != nil {
			return
		}
		var places []place
		for name, p := range positions {
			places = append(places, place{name, p})
		}
		again, err := parsePositions(string(appendPositions(nil, places)))
		if err == nil && !maps.Equal(again, positions) {
			t.Fatalf("%v became %v", positions, again)
		}
	})
}

func TestParse(t *testing.T) {
	tests := []struct {
		query, bearer, last string
		want                string // of the error
		check               func(*Request) bool
	}{
		{"channel=a&channel=b", "", "", "", func(r *Request) bool { return len(r.Channels) == 2 && r.Wait == DefaultWait && !r.Padding }},
		{"channel=a&token=t", "b", "", "", func(r *Request) bool { return r.Token == "t" }},
		{"channel=a", "b", "", "", func(r *Request) bool { return r.Token == "b" }},
		{"channel=a&position=a:e:1", "", "a:e:2", "", func(r *Request) bool { return r.Since["a"].Offset == 2 }},
		{"channel=a&position=a:e:1", "", "", "", func(r *Request) bool { return r.Since["a"] == engine.Position{Epoch: "e", Offset: 1} }},
		{"channel=a&wait=0", "", "", "", func(r *Request) bool { return r.Wait == 0 }},
		{"channel=a&wait=7", "", "", "", func(r *Request) bool { return r.Wait == 7*time.Second }},
		{"channel=a&wait=1500ms", "", "", "", func(r *Request) bool { return r.Wait == 1500*time.Millisecond }},
		{"channel=a&padding=1", "", "", "", func(r *Request) bool { return r.Padding }},
		{"", "t", "", "", func(r *Request) bool { return len(r.Channels) == 0 }},
		{"", "", "", "name one", nil},
		{"channel=a&channel=a", "", "", "twice", nil},
		{strings.Repeat("channel=a&", MaxChannels+1), "", "", "too many", nil},
		{"channel=a&position=!", "", "", "position", nil},
		{"channel=a", "", "nonsense", "position", nil},
		{"channel=a&wait=2m", "", "", "wait", nil},
		{"channel=a&wait=-1s", "", "", "wait", nil},
		{"channel=a&wait=x", "", "", "wait", nil},
		{"channel=a&padding=x", "", "", "padding", nil},
	}
	for _, tt := range tests {
		query, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Parse(query, tt.bearer, tt.last)
		switch {
		case tt.want == "" && (err != nil || !tt.check(r)):
			t.Errorf("%.60s: %+v, %v", tt.query, r, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%.60s: %v, want %q", tt.query, err, tt.want)
		}
	}
}

// Whatever a channel's name, its data and tags hold, an event stays one event.
func TestNothingBreaksOutOfAnEvent(t *testing.T) {
	const evil = "x\r\n\r\nevent: evil\rdata: 1\n\nid: 2"
	events := []hub.Event{
		{Kind: hub.EventPublication, Channel: evil, Epoch: evil, Publication: &engine.Publication{
			Offset: 3, Data: []byte("{\r\n\"a\":\n\n1\r}"), Event: evil, Tags: map[string]string{evil: evil},
			Info: &engine.ClientInfo{User: evil, ConnInfo: []byte("{\n}")},
		}},
		{Kind: hub.EventPublication, Channel: "b", Publication: &engine.Publication{Binary: true, Data: []byte(evil)}},
		{Kind: hub.EventJoin, Channel: evil, Info: &engine.ClientInfo{User: evil, ChanInfo: []byte("\"\n\"")}},
		{Kind: hub.EventLeave, Channel: evil, Info: &engine.ClientInfo{Client: evil}},
	}
	for i := range events {
		text := string(Stream{}.Append(nil, &events[i]))
		body, ok := strings.CutSuffix(text, "\n\n")
		if !ok || strings.ContainsAny(strings.ReplaceAll(body, "\n", ""), "\r") || strings.Contains(body, "\n\n") {
			t.Errorf("%q", text)
		}
		for line := range strings.SplitSeq(body, "\n") {
			name, _, _ := strings.Cut(line, ":")
			if name != "id" && name != "data" && name != "event" || line == "event: evil" {
				t.Errorf("%q in %q", line, text)
			}
		}
	}
}

func TestEvents(t *testing.T) {
	e := &hub.Event{Kind: hub.EventPublication, Channel: "a:b", Epoch: "E", Publication: &engine.Publication{
		Offset: 8, Data: []byte(`{"n":1}`), Event: "bid", Tags: map[string]string{"k": "v"}, Time: 5,
		Info: &engine.ClientInfo{User: "u", Client: "c", ConnInfo: []byte(`{"x":1}`)},
	}}
	want := "id: a~3Ab:E:8\n" + `data: {"channel":"a:b","data":{"n":1},"offset":8,"event":"bid","tags":{"k":"v"},` +
		`"info":{"user":"u","client":"c","conn_info":{"x":1}},"time":5}` + "\n\n"
	if got := string(Stream{}.Append(nil, e)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got, want := string(AppendRetry(nil, hub.DisconnectShutdown)), "retry: 3000\n\nevent: disconnect\ndata: {\"code\":3001,\"reason\":\"shutdown\"}\n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRefusals(t *testing.T) {
	for err, code := range map[error]uint32{
		hub.ErrUnauthorized: 101, hub.ErrUnknownChannel: 102, hub.ErrPermissionDenied: 103, hub.ErrLimitExceeded: 106,
		hub.ErrBadRequest: 107, hub.ErrBusy: 111, hub.ErrTooManyRequests: 111, errPosition: 100,
	} {
		if d := refusal(err, "news"); d.Code != code || !strings.HasSuffix(d.Reason, ": news") {
			t.Errorf("%v: %+v", err, d)
		}
	}
}
