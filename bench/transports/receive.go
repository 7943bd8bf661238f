package transports

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/client"
)

// Limits of what is read.
const (
	longPoll   = 25 * time.Second // that the server may wait
	maxMessage = 1 << 20          // bytes of one event
	maxReply   = 16 << 20         // bytes of one poll
)

// receiver receives over one transport until ctx ends. Its error is why it cannot.
type receiver func(ctx context.Context, l *lane) error

func (c *Config) webSocket(ctx context.Context, l *lane) error {
	h := l.client()
	defer h.CloseIdleConnections()
	sub, err := client.NewSubscriber(c.Server, client.SubscriberConfig{
		Channels: []client.Channel{{Name: c.Channel}}, Token: c.Token, Name: "bench", HTTPClient: h,
		OnSubscribed:  func(string, client.Subscribed) { l.begin() },
		OnPublication: func(_ string, p *client.Publication) { l.take(p.Data) },
	})
	if err != nil {
		return err
	}
	return sub.Run(ctx)
}

func (c *Config) events(ctx context.Context, l *lane) error {
	h := l.client()
	defer h.CloseIdleConnections()
	res, err := c.get(ctx, h, "/sse", url.Values{"channel": {c.Channel}})
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxMessage)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case field == "event" && value == "subscribed":
			l.begin()
		case field == "data":
			l.message([]byte(value))
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the server ended the stream")
}

// message takes what the plain protocol calls one; its other events have no data.
func (l *lane) message(text []byte) {
	var m struct {
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(text, &m) == nil && len(m.Data) > 0 {
		l.take(m.Data)
	}
}

// polls gives a receiver that lets the server wait, and pauses itself.
func (c *Config) polls(wait, pause time.Duration) receiver {
	return func(ctx context.Context, l *lane) error {
		h := l.client()
		defer h.CloseIdleConnections()
		query := url.Values{"channel": {c.Channel}, "wait": {"0"}}
		for {
			if err := c.poll(ctx, h, query, l); err != nil {
				return err
			}
			l.begin()
			query.Set("wait", wait.String())
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
		}
	}
}

func (c *Config) poll(ctx context.Context, h *http.Client, query url.Values, l *lane) error {
	res, err := c.get(ctx, h, "/poll", query)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	var reply struct {
		Messages []json.RawMessage `json:"messages"`
		Position string            `json:"position"`
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	if err == nil {
		err = json.Unmarshal(body, &reply)
	}
	if err != nil {
		return err
	}
	for _, m := range reply.Messages {
		l.message(m)
	}
	query.Set("position", reply.Position)
	return nil
}

func (c *Config) get(ctx context.Context, h *http.Client, path string, query url.Values) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := h.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }()
	var reply struct {
		Error client.Error `json:"error"`
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxMessage))
	if err != nil || json.Unmarshal(body, &reply) != nil || reply.Error.Code == 0 {
		return nil, fmt.Errorf("%s: status %d", path, res.StatusCode)
	}
	return nil, fmt.Errorf("%s: %w", path, &reply.Error)
}
