package pusher

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// message is what a client sends.
type message struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
}

var (
	errMalformed = errors.New("a message must be a JSON object with an event")
	errBadData   = errors.New("data must be a JSON object, or one as a string")
)

func decode(msg []byte) (message, error) {
	var m message
	if json.Unmarshal(msg, &m) != nil || m.Event == "" {
		return message{}, errMalformed
	}
	return m, nil
}

// decodeData reads data into v, whether it is an object or one as a string.
func decodeData(data json.RawMessage, v any) error {
	if data = bytes.TrimSpace(data); len(data) > 0 && data[0] == '"' {
		var text string
		if json.Unmarshal(data, &text) != nil {
			return errBadData
		}
		data = json.RawMessage(text)
	}
	if json.Unmarshal(data, v) != nil {
		return errBadData
	}
	return nil
}

// id is a user's id: libraries send numbers, too.
type id string

func (i *id) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '"' {
		var n json.Number
		if err := json.Unmarshal(b, &n); err != nil {
			return errBadData
		}
		*i = id(n)
		return nil
	}
	return json.Unmarshal(b, (*string)(i))
}

func (i id) valid() bool {
	return i != "" && len(i) <= MaxUserID && !strings.ContainsFunc(string(i), func(r rune) bool { return r < ' ' || r == 0x7f })
}

// member is channel_data.
type member struct {
	UserID   id              `json:"user_id"`
	UserInfo json.RawMessage `json:"user_info"`
}

// user is user_data.
type user struct {
	ID        id              `json:"id"`
	UserInfo  json.RawMessage `json:"user_info"`
	Watchlist []id            `json:"watchlist"`
}

// info is JSON as it is shown to others; nil: none. It is a copy.
func info(raw json.RawMessage) []byte {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return oneLine(bytes.Clone(raw))
}

// IsReserved reports whether an event has one of the protocol's own names.
func IsReserved(event string) bool {
	return strings.HasPrefix(event, reservedPrefix+":") || strings.HasPrefix(event, reservedPrefix+"_internal:")
}
