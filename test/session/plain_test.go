package session

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
)

// query is what a request of the plain protocol says.
func query(e *env, channels []string, resume any) url.Values {
	q := url.Values{"channel": channels}
	if position, ok := resume.(string); ok {
		q.Set("position", position)
	}
	if e.user != "" {
		q.Set("token", e.token(nil))
	}
	return q
}

// source is a bare EventSource.
type source struct {
	*respPipe
	id string
}

func openSource(e *env, channels []string, resume any) (listener, error) {
	p, err := respond(e, get(e, "/sse", query(e, channels, resume)), splitBlock)
	var end endOf
	if errors.As(err, &end) {
		return refusal(end), nil
	}
	return &source{respPipe: p}, err
}

// splitBlock gives an event as it is.
func splitBlock(r *bufio.Reader) ([]byte, error) {
	var block []byte
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line == "\n" {
			return block, nil
		}
		block = append(block, line...)
	}
}

func (s *source) cut()       { s.close() }
func (s *source) where() any { return s.id }

func (s *source) next(ctx context.Context) (event, error) {
	for {
		block, err := s.recv(ctx)
		if err != nil {
			return event{}, err
		}
		fields := map[string]string{}
		for line := range strings.SplitSeq(strings.TrimSpace(string(block)), "\n") {
			name, value, _ := strings.Cut(line, ": ")
			fields[name] = value
		}
		if fields["data"] == "" {
			continue // a heartbeat, or retry
		}
		if id := fields["id"]; id != "" {
			s.id = id
		}
		var said plainEvent
		if err := json.Unmarshal([]byte(fields["data"]), &said); err != nil {
			return event{}, fmt.Errorf("%q: %w", block, err)
		}
		switch fields["event"] {
		case "":
			return said.message(), nil
		case "subscribed":
			return event{kind: subscribed, channel: said.Channel, recovered: said.Recovered}, nil
		case "disconnect":
			return event{kind: ended, code: said.Code}, nil
		}
	}
}

// plainEvent is the data of any event.
type plainEvent struct {
	Channel   string          `json:"channel"`
	Data      json.RawMessage `json:"data"`
	Offset    uint64          `json:"offset"`
	Recovered bool            `json:"recovered"`
	Code      int             `json:"code"`
}

func (p *plainEvent) message() event {
	return event{kind: message, channel: p.Channel, data: string(p.Data), offset: p.Offset}
}

// refusal is a listener that was never let in.
type refusal endOf

func (r refusal) next(context.Context) (event, error) {
	return event{kind: refused, code: r.code}, nil
}
func (refusal) cut()       {}
func (refusal) where() any { return nil }

// poller asks again and again.
type poller struct {
	e        *env
	q        url.Values
	position string
	ready    []event
	leave    context.CancelFunc
	ctx      context.Context
}

func openPoller(e *env, channels []string, resume any) (listener, error) {
	p := &poller{e: e, q: query(e, channels, nil)}
	p.ctx, p.leave = context.WithCancel(context.WithoutCancel(e.Context()))
	if before, ok := resume.(had); ok {
		p.position, p.ready = before.position, before.ready
	}
	first, code, err := p.poll(p.ctx, "0")
	if err != nil {
		return nil, err
	}
	if code != 0 {
		p.leave()
		return refusal{code}, nil
	}
	start := make([]event, 0, len(channels))
	for _, name := range channels {
		start = append(start, event{kind: subscribed, channel: name, recovered: first.Recovered[name]})
	}
	p.ready = append(start, p.ready...)
	return p, nil
}

type pollReply struct {
	Messages  []plainEvent    `json:"messages"`
	Position  string          `json:"position"`
	Recovered map[string]bool `json:"recovered"`
	Error     struct{ Code int }
}

func (p *poller) poll(ctx context.Context, wait string) (reply pollReply, code int, err error) {
	p.q.Set("wait", wait)
	p.q.Set("position", p.position)
	r, err := get(p.e, "/poll", p.q)(ctx)
	if err != nil {
		return reply, 0, err
	}
	res, err := p.e.http.Do(r)
	if err != nil {
		return reply, 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return reply, 0, err
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return reply, 0, fmt.Errorf("HTTP %d %q: %w", res.StatusCode, body, err)
	}
	if res.StatusCode != http.StatusOK {
		return reply, reply.Error.Code, nil
	}
	for i := range reply.Messages {
		p.ready = append(p.ready, reply.Messages[i].message())
	}
	p.position = reply.Position
	return reply, 0, nil
}

func (p *poller) next(ctx context.Context) (event, error) {
	asking, done := context.WithCancel(ctx)
	defer done()
	defer context.AfterFunc(p.ctx, done)()
	for len(p.ready) == 0 {
		_, code, err := p.poll(asking, "10s")
		switch {
		case err != nil && asking.Err() == nil:
			return event{kind: ended}, nil // the server is gone
		case err != nil:
			return event{}, err
		case code != 0:
			return event{kind: ended, code: code}, nil
		}
	}
	e := p.ready[0]
	p.ready = p.ready[1:]
	return e, nil
}

func (p *poller) cut() { p.leave() }

// had is what a poller has: its position is that of a whole reply.
type had struct {
	position string
	ready    []event
}

func (p *poller) where() any { return had{p.position, p.ready} }
