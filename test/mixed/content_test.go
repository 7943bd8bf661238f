package mixed

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/fanfare-push/fanfare/test/audit/check"
)

// content is what a publication means, whatever the protocol.
type content struct {
	Data   string            // JSON, or base64 of what is no JSON
	Event  string            // "": none
	Tags   map[string]string // besides event
	Client string            // who published it; "": a backend
}

func (c content) sum() uint64 {
	b, err := json.Marshal(c) // keys of maps are sorted
	if err != nil {
		panic(err) // no such value
	}
	return check.Sum(b)
}

// binaryEvent is the event name of data that is no JSON: it comes in base64 to whoever
// speaks JSON, and what it is has to be known to the clients.
const binaryEvent = "binary"

// idText is how a publication's id stands in its data.
var idText = regexp.MustCompile(`#([a-z]+[0-9]+-[0-9]+)#`)

func idOf(data, event string) (string, error) {
	text := data
	if event == binaryEvent {
		raw, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return "", fmt.Errorf("binary %q: %w", data, err)
		}
		text = string(raw)
	}
	if m := idText.FindStringSubmatch(text); m != nil {
		return m[1], nil
	}
	return "", fmt.Errorf("no id in %.200q", text)
}

// shape is one kind of publication: what a publisher sends and what it means.
type shape struct {
	sent  map[string]any
	means content
}

// apiShapes are publications of the server API.
func apiShapes(id string) []shape {
	mark := "#" + id + "#"
	raw := base64.StdEncoding.EncodeToString([]byte("\x00\xff" + mark))
	tags := map[string]string{"lang": "en", "id": id}
	return []shape{
		{map[string]any{"data": json.RawMessage(`{"id":"` + mark + `"}`)}, content{Data: `{"id":"` + mark + `"}`}},
		{map[string]any{"data": json.RawMessage("[1, \n\"" + mark + "\"]"), "tags": tags}, content{Data: `[1, "` + mark + `"]`, Tags: tags}},
		{map[string]any{"data": mark, "event": "greeting"}, content{Data: `"` + mark + `"`, Event: "greeting"}},
		{map[string]any{"data": `{"in":"` + mark + `"}`, "event": "text"}, content{Data: `"{\"in\":\"` + mark + `\"}"`, Event: "text"}},
		{map[string]any{"b64data": raw, "event": binaryEvent}, content{Data: raw, Event: binaryEvent}},
		{map[string]any{"b64data": base64.StdEncoding.EncodeToString([]byte(`{"id":"` + mark + `"}`))}, content{Data: `{"id":"` + mark + `"}`}},
		{
			map[string]any{"data": json.RawMessage(`{"ä":"` + mark + `\u2028"}`), "tags": map[string]string{"event": "by-tag", "id": id}},
			content{Data: `{"ä":"` + mark + `\u2028"}`, Event: "by-tag", Tags: map[string]string{"id": id}},
		},
	}
}

// clientShapes are publications of a Centrifuge client.
func clientShapes(id, client string) []shape {
	data := `{"text":"#` + id + `#"}`
	return []shape{{map[string]any{"data": json.RawMessage(data)}, content{Data: data, Client: client}}}
}

// pusherShapes are events of Pusher's HTTP API, whose data is always text.
func pusherShapes(id string) []shape {
	mark := "#" + id + "#"
	return []shape{
		{map[string]any{"name": "order", "data": `{"id":"` + mark + `"}`}, content{Data: `{"id":"` + mark + `"}`, Event: "order"}},
		{map[string]any{"name": "pretty", "data": "{\n  \"id\": \"" + mark + "\"\n}"}, content{Data: `{  "id": "` + mark + `"}`, Event: "pretty"}},
		{map[string]any{"name": "plain", "data": mark + "\nis \"text\""}, content{Data: `"` + mark + `\nis \"text\""`, Event: "plain"}},
		{map[string]any{"name": "quoted", "data": `"{\"in\":\"` + mark + `\"}"`}, content{Data: `"{\"in\":\"` + mark + `\"}"`, Event: "quoted"}},
	}
}

// ledger knows what was published, for the one protocol that cannot carry all of it.
type ledger struct {
	mu   sync.Mutex
	made map[string]content
}

func (l *ledger) note(id string, c content) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made[id] = c
}

func (l *ledger) of(id string) content {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made[id]
}

// withTags sets tags, and the event name where it comes as one.
func (c *content) withTags(tags map[string]string) {
	for k, v := range tags {
		if k == "event" {
			if c.Event == "" {
				c.Event = v
			}
			continue
		}
		if c.Tags == nil {
			c.Tags = map[string]string{}
		}
		c.Tags[k] = v
	}
}

// textData is the data of a Pusher event as JSON: text that is no JSON is a string.
func textData(text, event string) string {
	if event == binaryEvent || json.Valid([]byte(text)) {
		return text
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(text) != nil {
		return text
	}
	return strings.TrimSpace(b.String())
}
