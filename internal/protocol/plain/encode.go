package plain

import (
	"encoding/base64"
	"encoding/json"
	"strconv"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// info is who published, joined or left.
type info struct {
	User     string          `json:"user"`
	Client   string          `json:"client"`
	ConnInfo json.RawMessage `json:"conn_info,omitempty"`
	ChanInfo json.RawMessage `json:"chan_info,omitempty"`
}

func infoOf(i *engine.ClientInfo) *info {
	if i == nil {
		return nil
	}
	return &info{User: i.User, Client: i.Client, ConnInfo: i.ConnInfo, ChanInfo: i.ChanInfo}
}

// appendJSON writes a value of this package's types, which JSON always has a form
// for. It holds no line end.
func appendJSON(b []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil { // info that is no JSON
		return append(b, "null"...)
	}
	return append(b, text...)
}

// appendMessage writes a publication as one line: line ends in data that is JSON
// stand between its tokens and become spaces.
func appendMessage(b []byte, channel string, pub *engine.Publication) []byte {
	b = appendJSON(append(b, `{"channel":`...), channel)
	if pub.Binary {
		b = append(b, `,"b64data":"`...)
		b = append(base64.StdEncoding.AppendEncode(b, pub.Data), '"')
	} else {
		b = append(b, `,"data":`...)
		for _, c := range pub.Data {
			if c == '\n' || c == '\r' {
				c = ' '
			}
			b = append(b, c)
		}
	}
	if pub.Offset > 0 {
		b = strconv.AppendUint(append(b, `,"offset":`...), pub.Offset, 10)
	}
	if pub.Event != "" {
		b = appendJSON(append(b, `,"event":`...), pub.Event)
	}
	if len(pub.Tags) > 0 {
		b = appendJSON(append(b, `,"tags":`...), pub.Tags)
	}
	if pub.Info != nil {
		b = appendJSON(append(b, `,"info":`...), infoOf(pub.Info))
	}
	if pub.Time != 0 {
		b = strconv.AppendInt(append(b, `,"time":`...), pub.Time, 10)
	}
	return append(b, '}')
}

// appendEvent writes one event of a stream: its name ("": the default), id ("":
// none) and data. None of them holds a line end.
func appendEvent(b []byte, name string, id []byte, data func([]byte) []byte) []byte {
	if name != "" {
		b = append(append(append(b, "event: "...), name...), '\n')
	}
	if len(id) > 0 {
		b = append(append(append(b, "id: "...), id...), '\n')
	}
	b = data(append(b, "data: "...))
	return append(b, "\n\n"...)
}

// appendHubEvent writes what happened on a channel.
func appendHubEvent(b []byte, e *hub.Event, id []byte) []byte {
	type membership struct {
		Channel string `json:"channel"`
		Info    *info  `json:"info"`
	}
	switch e.Kind {
	case hub.EventPublication:
		return appendEvent(b, "", id, func(b []byte) []byte { return appendMessage(b, e.Channel, e.Publication) })
	case hub.EventJoin:
		return appendEvent(b, "join", id, func(b []byte) []byte { return appendJSON(b, membership{e.Channel, infoOf(e.Info)}) })
	case hub.EventLeave:
		return appendEvent(b, "leave", id, func(b []byte) []byte { return appendJSON(b, membership{e.Channel, infoOf(e.Info)}) })
	}
	return b
}

// subscribed is the data of the event of that name.
type subscribed struct {
	Channel   string `json:"channel"`
	Epoch     string `json:"epoch,omitempty"`
	Offset    uint64 `json:"offset,omitempty"`
	Recovered *bool  `json:"recovered,omitempty"`
}

func subscribedOf(res *hub.SubscribeResult) subscribed {
	s := subscribed{Channel: res.Channel, Epoch: res.Position.Epoch, Offset: res.Position.Offset}
	if res.WasRecovering {
		s.Recovered = &res.Recovered
	}
	return s
}

// AppendDisconnect writes why a stream ends.
func AppendDisconnect(b []byte, d hub.Disconnect) []byte {
	type ending struct {
		Code   uint32 `json:"code"`
		Reason string `json:"reason"`
	}
	return appendEvent(b, "disconnect", nil, func(b []byte) []byte { return appendJSON(b, ending{d.Code, d.Reason}) })
}

// AppendRetry writes a stream that only says when to come back, and why.
func AppendRetry(b []byte, d hub.Disconnect) []byte { return AppendDisconnect(appendRetry(b), d) }

func appendRetry(b []byte) []byte {
	b = strconv.AppendInt(append(b, "retry: "...), retryAfter.Milliseconds(), 10)
	return append(b, "\n\n"...)
}
