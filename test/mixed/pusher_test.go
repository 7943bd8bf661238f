package mixed

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/coder/websocket"
)

// pusherEvent is one message of the Pusher protocol.
type pusherEvent struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
}

// overPusher subscribes anew each time: there is nothing to resume from.
func overPusher(ctx context.Context, l *listener) error {
	ws, err := l.dial(ctx, "/app/"+appKey+"?protocol=7&client=mixed&version=1", nil)
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	send := func(format string, args ...any) error {
		return ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, format, args...))
	}
	if err := send(`{"event":"pusher:subscribe","data":{"channel":%q}}`, channel); err != nil {
		return err
	}
	for {
		_, frame, err := ws.Read(ctx)
		if err != nil {
			return err
		}
		var m pusherEvent
		if err := json.Unmarshal(frame, &m); err != nil {
			return wrong("%.200q: %v", frame, err)
		}
		switch m.Event {
		case "pusher:connection_established", "pusher:pong":
		case "pusher:ping":
			err = send(`{"event":"pusher:pong","data":{}}`)
		case "pusher_internal:subscription_succeeded":
			err = l.stood(ctx)
		case "pusher:error", "pusher:subscription_error":
			err = wrong("%s", frame)
		default:
			err = l.event(m)
		}
		if err != nil {
			return err
		}
	}
}

// stood asks where the channel stands now that the client is subscribed: whatever
// comes later must be shown to it.
func (l *listener) stood(ctx context.Context) error {
	var at struct {
		Offset uint64 `json:"offset"`
		Epoch  string `json:"epoch"`
	}
	if err := l.api.Do(ctx, "history", map[string]any{"channel": channel, "limit": 0}, &at); err != nil {
		return err
	}
	l.subscribed(at.Epoch, at.Offset, false)
	return nil
}

func (l *listener) event(m pusherEvent) error {
	var text string
	if err := json.Unmarshal(m.Data, &text); err != nil || m.Channel != channel {
		return wrong("channel %q, data %.200q: %v", m.Channel, m.Data, err)
	}
	name := m.Event
	if name == "message" { // none was given
		name = ""
	}
	return l.shown(0, content{Data: textData(text, name), Event: name})
}
