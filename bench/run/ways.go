package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/centrifugal/protocol"
	"github.com/coder/websocket"
)

// way is one transport with one protocol and encoding.
type way struct {
	name string
	// mark is what every message has once, and nothing else has.
	mark string
	// open subscribes to a channel and gives what arrives.
	open func(ctx context.Context, w *wireTap, channel string) (io.ReadCloser, error)
}

// reference is what the others are compared with.
const reference = "WebSocket, Centrifuge JSON"

const jsonMark = `"pub":{`

// fanoutWays are the ways for messages too small to be compressed.
func fanoutWays() []way {
	return []way{
		{reference, jsonMark, centrifugeJSON("", false)},
		{"WebSocket, Centrifuge Protobuf", fanoutChannel, centrifugeProtobuf("")},
		{"HTTP stream, Centrifuge JSON", jsonMark, emulated(http.MethodPost, "/connection/http_stream", 0)},
		{"SSE, Centrifuge JSON", jsonMark, emulated(http.MethodGet, "/connection/sse", len("data: "))},
		{"SSE, plain (/sse)", `"data":{`, plainEvents},
		{"WebSocket, Pusher", `"event":"message"`, pusherEvents},
		{"WebSocket, unidirectional", jsonMark, uniSocket},
		{"HTTP stream, unidirectional", jsonMark, uniResponse(http.MethodPost, "/connection/uni_http_stream")},
		{"SSE, unidirectional", jsonMark, uniResponse(http.MethodGet, "/connection/uni_sse")},
	}
}

// compressedWays are those for messages that can be.
func compressedWays() []way {
	return []way{
		{reference, jsonMark, centrifugeJSON("", false)},
		{"WebSocket, Centrifuge JSON, deflate", jsonMark, centrifugeJSON("", true)},
	}
}

// quoteWays are those for a feed whose messages are like each other.
func quoteWays() []way {
	return []way{
		{reference, jsonMark, centrifugeJSON("", false)},
		{"WebSocket, Centrifuge JSON, delta", jsonMark, centrifugeJSON("fossil", false)},
		{"WebSocket, Centrifuge JSON, deflate", jsonMark, centrifugeJSON("", true)},
		{"WebSocket, Centrifuge Protobuf", quoteChannel, centrifugeProtobuf("")},
		{"WebSocket, Centrifuge Protobuf, delta", quoteChannel, centrifugeProtobuf("fossil")},
		{"long poll (/poll)", `"data":{`, longPoll}, // here, as it misses what comes between two polls without history
	}
}

// socket reads the messages of a WebSocket as one stream.
type socket struct {
	*websocket.Conn
	ctx  context.Context
	rest io.Reader
}

func (s *socket) Read(b []byte) (int, error) {
	for {
		if s.rest != nil {
			n, err := s.rest.Read(b)
			if err == io.EOF {
				s.rest, err = nil, nil
			}
			if n > 0 || err != nil {
				return n, err
			}
		}
		var err error
		if _, s.rest, err = s.Reader(s.ctx); err != nil {
			return 0, err
		}
	}
}

func (s *socket) Close() error { return s.CloseNow() }

func (w *wireTap) socket(ctx context.Context, path string, opts *websocket.DialOptions) (*socket, error) {
	opts.HTTPClient = w.client
	ws, res, err := websocket.Dial(ctx, "ws://"+w.addr+path, opts)
	if err != nil {
		return nil, err
	}
	if res.Body != nil {
		_ = res.Body.Close()
	}
	ws.SetReadLimit(-1)
	return &socket{Conn: ws, ctx: ctx}, nil
}

// write sends frames, and gives the socket or the error.
func (s *socket) write(kind websocket.MessageType, frames ...[]byte) (io.ReadCloser, error) {
	for _, frame := range frames {
		if err := s.Write(s.ctx, kind, frame); err != nil {
			_ = s.Close()
			return nil, err
		}
	}
	return s, nil
}

const connectJSON = `{"id":1,"connect":{}}`

func centrifugeJSON(delta string, deflate bool) func(context.Context, *wireTap, string) (io.ReadCloser, error) {
	return func(ctx context.Context, w *wireTap, channel string) (io.ReadCloser, error) {
		opts := &websocket.DialOptions{}
		if deflate {
			opts.CompressionMode, opts.CompressionThreshold = websocket.CompressionNoContextTakeover, 1<<20
		}
		s, err := w.socket(ctx, "/connection/websocket", opts)
		if err != nil {
			return nil, err
		}
		return s.write(websocket.MessageText, []byte(connectJSON), subscribeJSON(channel, delta))
	}
}

func subscribeJSON(channel, delta string) []byte {
	return fmt.Appendf(nil, `{"id":2,"subscribe":{"channel":%q,"delta":%q}}`, channel, delta)
}

func centrifugeProtobuf(delta string) func(context.Context, *wireTap, string) (io.ReadCloser, error) {
	return func(ctx context.Context, w *wireTap, channel string) (io.ReadCloser, error) {
		s, err := w.socket(ctx, "/connection/websocket", &websocket.DialOptions{Subprotocols: []string{"centrifuge-protobuf"}})
		if err != nil {
			return nil, err
		}
		var frames [][]byte
		for _, cmd := range []*protocol.Command{
			{Id: 1, Connect: &protocol.ConnectRequest{}},
			{Id: 2, Subscribe: &protocol.SubscribeRequest{Channel: channel, Delta: delta}},
		} {
			b, err := cmd.MarshalCF()
			if err != nil {
				return nil, err
			}
			frames = append(frames, append(binary.AppendUvarint(nil, uint64(len(b))), b...))
		}
		return s.write(websocket.MessageBinary, frames...)
	}
}

// emulated listens to a response, whose lines begin with skip bytes that are not
// the protocol's, and subscribes through /emulation.
func emulated(method, path string, skip int) func(context.Context, *wireTap, string) (io.ReadCloser, error) {
	return func(ctx context.Context, w *wireTap, channel string) (io.ReadCloser, error) {
		query, body := "", connectJSON
		if method == http.MethodGet {
			query, body = "?"+url.Values{"cf_connect": {connectJSON}}.Encode(), ""
		}
		stream, err := w.response(ctx, method, path+query, body)
		if err != nil {
			return nil, err
		}
		in := bufio.NewReader(stream)
		var said struct {
			Connect struct{ Session, Node string }
		}
		for said.Connect.Session == "" {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return nil, err
			}
			if line = bytes.TrimSpace(line); len(line) <= skip {
				continue
			}
			if err := json.Unmarshal(line[skip:], &said); err != nil {
				return nil, fmt.Errorf("%.100q: %w", line, err)
			}
		}
		command, err := json.Marshal(map[string]string{
			"session": said.Connect.Session, "node": said.Connect.Node, "data": string(subscribeJSON(channel, "")),
		})
		if err != nil {
			return nil, err
		}
		answer, err := w.response(ctx, http.MethodPost, "/emulation", string(command))
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{in, stream}, answer.Close()
	}
}

func plainEvents(ctx context.Context, w *wireTap, channel string) (io.ReadCloser, error) {
	return w.response(ctx, http.MethodGet, "/sse?"+url.Values{"channel": {channel}}.Encode(), "")
}

func pusherEvents(ctx context.Context, w *wireTap, channel string) (io.ReadCloser, error) {
	s, err := w.socket(ctx, "/app/"+appKey+"?protocol=7&client=bench&version=1", &websocket.DialOptions{})
	if err != nil {
		return nil, err
	}
	return s.write(websocket.MessageText, fmt.Appendf(nil, `{"event":"pusher:subscribe","data":{"channel":%q}}`, channel))
}

// response asks for a response and gives its body.
func (w *wireTap) response(ctx context.Context, method, path, body string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+w.addr+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		_ = res.Body.Close()
		return nil, fmt.Errorf("%s: HTTP %d", path, res.StatusCode)
	}
	return res.Body, nil
}
