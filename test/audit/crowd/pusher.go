package crowd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/fanfare-push/fanfare/test/wire"
)

// OverPusher speaks the Pusher protocol, and subscribes anew each time: there is
// nothing to resume from. Channels are named as Pusher can.
var OverPusher = Way{Name: "Pusher", Live: true, connection: func(hello, listen context.Context, s *subscriber, addr string) error {
	ws, err := wire.Dial(hello, "ws://"+addr+"/app/"+s.AppKey+"?protocol=7&client=audit&version=1", nil)
	var refusal *wire.Refusal
	if errors.As(err, &refusal) && refusal.Status < http.StatusInternalServerError && refusal.Status != http.StatusTooManyRequests {
		return wrongf("%s", err)
	}
	if err != nil {
		return err
	}
	defer ws.Drop()
	p := &pusher{subscriber: s, ws: ws, addr: addr}
	for ctx := hello; ; {
		frame, err := ws.Frame(ctx)
		if err != nil {
			return err
		}
		if err := p.frame(ctx, frame); err != nil {
			return err
		}
		if p.there {
			ctx = listen
		}
	}
}}

// pusher is one connection of the Pusher protocol.
type pusher struct {
	*subscriber
	ws    *wire.Conn
	addr  string
	there bool // it is subscribed
}

func (p *pusher) frame(ctx context.Context, frame []byte) error {
	var m struct {
		Event   string          `json:"event"`
		Channel string          `json:"channel"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(frame, &m); err != nil {
		return wrongf("%.200q: %v", frame, err)
	}
	switch m.Event {
	case "pusher:connection_established":
		return p.send(ctx, `{"event":"pusher:subscribe","data":{"channel":%q}}`, p.channel)
	case "pusher:pong":
		return nil
	case "pusher:ping":
		return p.send(ctx, `{"event":"pusher:pong","data":{}}`)
	case "pusher_internal:subscription_succeeded":
		return p.stood(ctx)
	case "pusher:error":
		return refusedFor(frame, m.Data, func(code int) bool { return code >= 4100 && code < 4300 })
	case "pusher:subscription_error":
		return refusedFor(frame, m.Data, func(code int) bool {
			return code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
		})
	}
	var text string
	if err := json.Unmarshal(m.Data, &text); err != nil || m.Channel != p.channel {
		return wrongf("%.200q: %v", frame, err)
	}
	return p.shown(0, json.RawMessage(text))
}

func (p *pusher) send(ctx context.Context, format string, args ...any) error {
	return p.ws.Send(ctx, fmt.Sprintf(format, args...))
}

// refusedFor is the error of a frame that refuses: again says for which codes the
// client may come back.
func refusedFor(frame []byte, data json.RawMessage, again func(code int) bool) error {
	var text string
	if json.Unmarshal(data, &text) == nil { // an object in text, as data of Pusher is
		data = json.RawMessage(text)
	}
	var of struct{ Code, Status int }
	if json.Unmarshal(data, &of) == nil && again(max(of.Code, of.Status)) {
		return errGone
	}
	return wrongf("%s", frame)
}

// stood asks the same server where the channel stands now that the client is
// subscribed: whatever comes later must be shown to it.
func (p *pusher) stood(ctx context.Context) error {
	var at page
	if err := p.call(ctx, p.addr, "history", map[string]any{"channel": p.channel, "limit": 0}, &at); err != nil {
		if temporary(err) {
			return errGone
		}
		return wrongf("%s", err)
	}
	p.subscribed(at.Epoch, at.Offset, false, false)
	p.there = true
	return nil
}
