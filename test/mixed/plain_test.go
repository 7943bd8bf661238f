package mixed

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/fanfare-push/fanfare/test/wire"
)

// plainMessage is a publication of the plain protocol, or another event of its.
type plainMessage struct {
	Channel   string            `json:"channel"`
	Data      json.RawMessage   `json:"data"`
	B64       string            `json:"b64data"`
	Offset    uint64            `json:"offset"`
	Event     string            `json:"event"`
	Tags      map[string]string `json:"tags"`
	Info      struct{ Client string }
	Epoch     string `json:"epoch"`
	Recovered bool   `json:"recovered"`
}

func (m *plainMessage) content() (content, error) {
	c := content{Data: string(m.Data), Event: m.Event, Client: m.Info.Client}
	if (m.B64 != "") != (m.Event == binaryEvent) || m.Channel != channel {
		return c, wrong("%+v", m)
	}
	if m.B64 != "" {
		c.Data = m.B64
	}
	c.withTags(m.Tags)
	return c, nil
}

// request asks for path over the client's network.
func (l *listener) request(ctx context.Context, path string, query url.Values, lastID string) (*http.Response, error) {
	query.Set("channel", channel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.server.Addr()+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	return l.network.client.Do(req)
}

// overEvents is a bare EventSource.
func overEvents(ctx context.Context, l *listener) error {
	res, err := l.request(ctx, "/sse", url.Values{}, l.resume)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return wrong("/sse: HTTP %d", res.StatusCode)
	}
	return wire.Events(res.Body, l.sourceEvent)
}

func (l *listener) sourceEvent(fields wire.Event) error {
	var m plainMessage
	if err := json.Unmarshal([]byte(fields["data"]), &m); err != nil {
		return wrong("%v: %v", fields, err)
	}
	if id := fields["id"]; id != "" {
		l.resume = id
	}
	switch fields["event"] {
	case "subscribed":
		l.subscribed(m.Epoch, m.Offset, m.Recovered)
		return nil
	case "disconnect":
		return errCut
	case "":
		return l.message(&m, l.resume)
	}
	return wrong("%v", fields)
}

// message notes a message that the position id comes with.
func (l *listener) message(m *plainMessage, id string) error {
	c, err := m.content()
	if err != nil {
		return err
	}
	if want := channel + ":" + l.epoch + ":" + strconv.FormatUint(m.Offset, 10); id != want {
		return wrong("offset %d has the id %s, want %s", m.Offset, id, want)
	}
	return l.shown(m.Offset, c)
}

// overPolls asks again and again; a reply counts when it is whole.
func overPolls(ctx context.Context, l *listener) error {
	for {
		wait := "10s"
		if l.resume == "" {
			wait = "0" // only where it stands
		}
		res, err := l.request(ctx, "/poll", url.Values{"position": {l.resume}, "wait": {wait}}, "")
		if err != nil {
			return err
		}
		if err := l.reply(res); err != nil {
			return err
		}
	}
}

func (l *listener) reply(res *http.Response) error {
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return wrong("/poll: HTTP %d", res.StatusCode)
	}
	var reply struct {
		Messages  []plainMessage  `json:"messages"`
		Position  string          `json:"position"`
		Recovered map[string]bool `json:"recovered"`
	}
	if err := json.NewDecoder(res.Body).Decode(&reply); err != nil {
		return err
	}
	fields := strings.Split(reply.Position, ":")
	if len(fields) != 3 {
		return wrong("position %q", reply.Position)
	}
	offset, err := strconv.ParseUint(fields[2], 10, 64)
	if err != nil {
		return wrong("position %q", reply.Position)
	}
	l.subscribed(fields[1], offset, reply.Recovered[channel])
	l.resume = reply.Position
	for i := range reply.Messages {
		id := channel + ":" + fields[1] + ":" + strconv.FormatUint(reply.Messages[i].Offset, 10)
		if err := l.message(&reply.Messages[i], id); err != nil {
			return err
		}
	}
	if got := l.stands.Load(); got != offset {
		return wrong("the position says %d after messages up to %d", offset, got)
	}
	return nil
}
