package hook

import (
	"bytes"
	"encoding/json"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// question is the body of a call: Centrifugo's request objects, of which each hook
// has those fields that its question has.
type question struct {
	App       string          `json:"app,omitempty"` // ours; of the default App: left out
	Client    string          `json:"client"`
	Transport string          `json:"transport"`
	Protocol  string          `json:"protocol"`
	Encoding  string          `json:"encoding"`
	User      *string         `json:"user,omitempty"`
	Name      string          `json:"name,omitempty"`
	Version   string          `json:"version,omitempty"`
	Channel   string          `json:"channel,omitempty"`
	Channels  []string        `json:"channels,omitempty"`
	Method    string          `json:"method,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
	B64Data   []byte          `json:"b64data,omitempty"` // data that is not JSON
	Meta      json.RawMessage `json:"meta,omitempty"`
}

// encode writes the body of a question.
func encode(q *hub.Question) []byte {
	body := question{
		Client: q.Client, Transport: q.Transport, Protocol: q.Protocol, Encoding: q.Encoding,
		Name: q.Name, Version: q.Version, Channel: q.Channel, Channels: q.Channels, Method: q.Method, Meta: q.Meta,
	}
	if q.App != channel.DefaultApp {
		body.App = q.App
	}
	if q.Hook != hub.HookConnect {
		body.User = &q.User
	}
	if q.Binary || !json.Valid(q.Data) {
		body.B64Data = q.Data
	} else {
		body.Data = q.Data
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(&body) // what is raw in it has been looked at
	return b.Bytes()
}
