package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/coder/websocket"
)

func uniConnect(channel string) string { return fmt.Sprintf(`{"subs":{%q:{}}}`, channel) }

func uniSocket(ctx context.Context, w *wireTap, channel string) (io.ReadCloser, error) {
	s, err := w.socket(ctx, "/connection/uni_websocket", &websocket.DialOptions{})
	if err != nil {
		return nil, err
	}
	return s.write(websocket.MessageText, []byte(uniConnect(channel)))
}

func uniResponse(method, path string) func(context.Context, *wireTap, string) (io.ReadCloser, error) {
	return func(ctx context.Context, w *wireTap, channel string) (io.ReadCloser, error) {
		if method == http.MethodGet {
			return w.response(ctx, method, path+"?"+url.Values{"cf_uni_connect": {uniConnect(channel)}}.Encode(), "")
		}
		return w.response(ctx, method, path, uniConnect(channel))
	}
}

// polls reads the replies of one poll after the other as one stream.
type polls struct {
	ctx   context.Context
	end   context.CancelFunc
	tap   *wireTap
	query url.Values
	rest  []byte
}

// longPoll begins where the channel stands.
func longPoll(ctx context.Context, w *wireTap, channel string) (io.ReadCloser, error) {
	p := &polls{tap: w, query: url.Values{"channel": {channel}, "wait": {"0"}}}
	p.ctx, p.end = context.WithCancel(ctx)
	if err := p.next(); err != nil {
		p.end()
		return nil, err
	}
	p.rest = nil
	p.query.Set("wait", "25s")
	return p, nil
}

func (p *polls) next() error {
	body, err := p.tap.response(p.ctx, http.MethodGet, "/poll?"+p.query.Encode(), "")
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if p.rest, err = io.ReadAll(body); err != nil {
		return err
	}
	var reply struct{ Position string }
	if err := json.Unmarshal(p.rest, &reply); err != nil {
		return fmt.Errorf("%.100q: %w", p.rest, err)
	}
	p.query.Set("position", reply.Position)
	return nil
}

func (p *polls) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// Close ends the poll that waits.
func (p *polls) Close() error {
	p.end()
	return nil
}
