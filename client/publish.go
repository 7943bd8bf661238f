package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Message is one publication on its way to the server.
type Message struct {
	Channel string
	Data    json.RawMessage // JSON
	Binary  []byte          // data that need not be JSON, in place of Data
	Event   string          // "": none
	Tags    map[string]string
	// IdempotencyKey makes a repeat harmless: of the messages of a channel with
	// the same key within five minutes, one is stored. "": none.
	IdempotencyKey string
	SkipHistory    bool // deliver to who is there now, without storing it
}

// Position is where a channel or a subscriber stands: an offset means something
// in its epoch only.
type Position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// Published is where a message was stored; zero without history.
type Published struct {
	Position
	Duplicate bool `json:"duplicate"` // the key was seen before: Position is the first one's
}

// message is a Message as the API has it.
type message struct {
	Channel        string            `json:"channel,omitempty"`
	Channels       []string          `json:"channels,omitempty"`
	Data           json.RawMessage   `json:"data,omitempty"`
	Binary         []byte            `json:"b64data,omitempty"`
	Event          string            `json:"event,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	IdempotencyKey string            `json:"idempotency_key,omitempty"`
	SkipHistory    bool              `json:"skip_history,omitempty"`
}

func (m *Message) request() (message, error) {
	switch {
	case len(m.Data) > 0 && len(m.Binary) > 0:
		return message{}, errors.New("a message has Data or Binary, not both")
	case len(m.Data) == 0 && len(m.Binary) == 0:
		return message{}, errors.New("a message needs Data or Binary")
	case len(m.Data) > 0 && !json.Valid(m.Data):
		return message{}, errors.New("data is not JSON: give it as Binary, or as a JSON string")
	}
	return message{
		Channel: m.Channel, Data: m.Data, Binary: m.Binary, Event: m.Event, Tags: m.Tags,
		IdempotencyKey: m.IdempotencyKey, SkipHistory: m.SkipHistory,
	}, nil
}

// Publish publishes one message. It returns once the message is as safe as its
// channel's options promise.
func (a *API) Publish(ctx context.Context, m Message) (Published, error) {
	req, err := m.request()
	if err != nil {
		return Published{}, fmt.Errorf("publish: %w", err)
	}
	var p Published
	err = a.call(ctx, "publish", req, &p)
	return p, err
}

// Outcome is what became of a broadcast in one channel.
type Outcome struct {
	Published
	Err error // an *Error; nil: published
}

// Broadcast publishes a message to many channels; m.Channel is not used. The
// outcomes are in the order of channels.
func (a *API) Broadcast(ctx context.Context, channels []string, m Message) ([]Outcome, error) {
	req, err := m.request()
	if err != nil {
		return nil, fmt.Errorf("broadcast: %w", err)
	}
	req.Channel, req.Channels = "", channels
	var res struct {
		Responses []struct {
			Error  *apiError `json:"error"`
			Result Published `json:"result"`
		} `json:"responses"`
	}
	if err := a.call(ctx, "broadcast", req, &res); err != nil {
		return nil, err
	}
	if len(res.Responses) != len(channels) {
		return nil, fmt.Errorf("broadcast: %d responses for %d channels", len(res.Responses), len(channels))
	}
	out := make([]Outcome, len(channels))
	for i, r := range res.Responses {
		out[i].Published = r.Result
		if r.Error != nil {
			out[i].Err = r.Error.error(0)
		}
	}
	return out, nil
}
