package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// pusher is a listener of the Pusher protocol on any pipe.
type pusher struct {
	pipe
}

// pusherEvent is one message, either way. Data from the server is text, JSON
// as a rule, or in pusher:error an object.
type pusherEvent struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel,omitempty"`
	Data    json.RawMessage `json:"data"`
}

func openPusher(dial func(e *env) (pipe, error)) func(*env, []string, any) (listener, error) {
	return func(e *env, channels []string, _ any) (listener, error) {
		p, err := dial(e)
		if err != nil {
			return nil, err
		}
		l := &pusher{p}
		first, err := l.read(e.Context())
		if err != nil || first.Event != "pusher:connection_established" {
			return nil, fmt.Errorf("%+v, %w", first, errors.Join(err, errors.New("not established")))
		}
		for _, name := range channels {
			data, err := json.Marshal(map[string]string{"channel": name})
			if err != nil {
				return nil, err
			}
			if err := l.write(e.Context(), pusherEvent{Event: "pusher:subscribe", Data: data}); err != nil {
				return nil, err
			}
		}
		return l, nil
	}
}

func (l *pusher) write(ctx context.Context, m pusherEvent) error {
	frame, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return l.send(ctx, frame)
}

func (l *pusher) read(ctx context.Context) (m pusherEvent, err error) {
	frame, err := l.recv(ctx)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(frame, &m); err != nil {
		return m, fmt.Errorf("%.200q: %w", frame, err)
	}
	return m, nil
}

func (l *pusher) next(ctx context.Context) (event, error) {
	for {
		m, err := l.read(ctx)
		var end endOf
		if errors.As(err, &end) {
			return event{kind: ended, code: end.code}, nil
		}
		if err != nil {
			return event{}, err
		}
		switch m.Event {
		case "pusher_internal:subscription_succeeded":
			return event{kind: subscribed, channel: m.Channel}, nil
		case "pusher:subscription_error":
			return event{kind: refused, code: 1}, nil
		case "pusher:ping":
			if err := l.write(ctx, pusherEvent{Event: "pusher:pong", Data: []byte("{}")}); err != nil {
				return event{}, err
			}
		case "pusher:error":
		case "message":
			return event{kind: message, channel: m.Channel, data: textOf(m.Data)}, nil
		}
	}
}

// textOf is the JSON that data holds; text that is none stands for a string.
func textOf(data json.RawMessage) string {
	var text string
	if json.Unmarshal(data, &text) != nil {
		return string(data)
	}
	if json.Valid([]byte(text)) {
		return text
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(quoted)
}

func (l *pusher) cut()     { l.close() }
func (*pusher) where() any { return nil }

func pusherWebSocket(e *env) (pipe, error) {
	return dialWebSocket(e, "/app/key?protocol=7&client=suite&version=1", "")
}
