package session

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/centrifugal/protocol"
	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
)

// pipe carries frames both ways.
type pipe interface {
	send(ctx context.Context, frame []byte) error
	recv(ctx context.Context) ([]byte, error)
	close()
}

// endOf is the end of a pipe, with the code that it gives.
type endOf struct{ code int }

func (e endOf) Error() string { return fmt.Sprintf("closed with %d", e.code) }

// wsPipe is a WebSocket.
type wsPipe struct {
	*websocket.Conn
	kind websocket.MessageType
}

func dialWebSocket(e *env, path, subprotocol string) (*wsPipe, error) {
	opts := &websocket.DialOptions{}
	p := &wsPipe{kind: websocket.MessageText}
	if subprotocol != "" {
		opts.Subprotocols = []string{subprotocol}
		p.kind = websocket.MessageBinary
	}
	ws, res, err := websocket.Dial(e.Context(), "ws://"+e.server.Addr()+path, opts)
	if err != nil {
		return nil, err
	}
	if res.Body != nil {
		_ = res.Body.Close()
	}
	ws.SetReadLimit(16 << 20)
	p.Conn = ws
	return p, nil
}

func (p *wsPipe) send(ctx context.Context, frame []byte) error { return p.Write(ctx, p.kind, frame) }

func (p *wsPipe) recv(ctx context.Context) ([]byte, error) {
	_, b, err := p.Read(ctx)
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return nil, endOf{int(closed.Code)}
	}
	return b, err
}

func (p *wsPipe) close() { _ = p.CloseNow() }

// respPipe is a response whose client speaks through /emulation.
type respPipe struct {
	e         *env
	leave     context.CancelFunc
	frames    chan []byte
	failed    error // once frames is closed
	emulation func(frame []byte) error
}

// respond asks for a response and reads frames off it by split.
func respond(e *env, req func(ctx context.Context) (*http.Request, error), split func(*bufio.Reader) ([]byte, error)) (*respPipe, error) {
	ctx, leave := context.WithCancel(context.WithoutCancel(e.Context()))
	r, err := req(ctx)
	if err != nil {
		leave()
		return nil, err
	}
	p := &respPipe{e: e, leave: leave, frames: make(chan []byte)}
	started := make(chan error)
	go p.read(ctx, r, split, started)
	if err := <-started; err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// read is the goroutine of a response; started is told how it began.
func (p *respPipe) read(ctx context.Context, r *http.Request, split func(*bufio.Reader) ([]byte, error), started chan<- error) {
	defer close(p.frames)
	res, err := p.e.http.Do(r)
	if err != nil {
		started <- err
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		started <- faultOf(res)
		return
	}
	started <- nil
	for in := bufio.NewReader(res.Body); ; {
		frame, err := split(in)
		if err != nil {
			p.failed = err
			return
		}
		select {
		case p.frames <- frame:
		case <-ctx.Done():
			p.failed = ctx.Err()
			return
		}
	}
}

// faultOf is the error that an HTTP error tells of.
func faultOf(res *http.Response) error {
	var fault struct {
		Error struct{ Code int }
	}
	if err := json.NewDecoder(res.Body).Decode(&fault); err != nil {
		return fmt.Errorf("HTTP %d: %w", res.StatusCode, err)
	}
	return endOf{fault.Error.Code}
}

func (p *respPipe) send(_ context.Context, frame []byte) error { return p.emulation(frame) }

func (p *respPipe) recv(ctx context.Context) ([]byte, error) {
	select {
	case frame, open := <-p.frames:
		if !open {
			return nil, p.failed
		}
		return frame, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *respPipe) close() {
	p.leave()
	for range p.frames { // until the reader is gone
	}
}

func splitLine(r *bufio.Reader) ([]byte, error) { return r.ReadBytes('\n') }

func splitVarint(r *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	frame := binary.AppendUvarint(nil, n)
	start := len(frame)
	frame = append(frame, make([]byte, n)...)
	_, err = io.ReadFull(r, frame[start:])
	return frame, err
}

// splitEvent gives an event's data, and nothing else of it.
func splitEvent(r *bufio.Reader) ([]byte, error) {
	var data []byte
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		switch text, isData := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "data: "); {
		case isData:
			data = append(append(data, text...), '\n')
		case line == "\n" && len(data) > 0:
			return data, nil
		}
	}
}

// encoding is JSON or Protobuf.
type encoding interface {
	encode(cmd *protocol.Command) ([]byte, error)
	decode(frame []byte) ([]*protocol.Reply, error)
}

type jsonEncoding struct{}

func (jsonEncoding) encode(cmd *protocol.Command) ([]byte, error) { return json.Marshal(cmd) }

func (jsonEncoding) decode(frame []byte) (list []*protocol.Reply, err error) {
	for line := range bytes.SplitSeq(bytes.TrimSpace(frame), []byte{'\n'}) {
		r := new(protocol.Reply)
		if err := json.Unmarshal(line, r); err != nil {
			return nil, fmt.Errorf("%.100q: %w", line, err)
		}
		list = append(list, r)
	}
	return list, nil
}

type protobufEncoding struct{}

func (protobufEncoding) encode(cmd *protocol.Command) ([]byte, error) {
	b, err := cmd.MarshalCF()
	return append(binary.AppendUvarint(nil, uint64(len(b))), b...), err
}

func (protobufEncoding) decode(frame []byte) (list []*protocol.Reply, err error) {
	for len(frame) > 0 {
		n, size := binary.Uvarint(frame)
		if size <= 0 || uint64(len(frame)-size) < n {
			return nil, errors.New("a reply is not whole")
		}
		r := new(protocol.Reply)
		if err := r.UnmarshalCF(frame[size : size+int(n)]); err != nil {
			return nil, err
		}
		list = append(list, r)
		frame = frame[size+int(n):]
	}
	return list, nil
}

// bareEncoding is JSON without replies around pushes.
type bareEncoding struct{ jsonEncoding }

func (bareEncoding) decode(frame []byte) (list []*protocol.Reply, err error) {
	for line := range bytes.SplitSeq(bytes.TrimSpace(frame), []byte{'\n'}) {
		push := new(protocol.Push)
		if err := json.Unmarshal(line, push); err != nil {
			return nil, fmt.Errorf("%.100q: %w", line, err)
		}
		r := &protocol.Reply{}
		if string(line) != "{}" {
			r.Push = push
		}
		list = append(list, r)
	}
	return list, nil
}

// position is where a Centrifuge client stands on a channel.
type position struct {
	epoch  string
	offset uint64
}

// centrifuge is a listener on any pipe.
type centrifuge struct {
	pipe
	enc      encoding
	uni      bool
	channels []string
	at       map[string]position
	ready    []event
}

func (c *centrifuge) where() any { return maps.Clone(c.at) }
func (c *centrifuge) cut()       { c.close() }

func (c *centrifuge) command(ctx context.Context, cmd *protocol.Command) error {
	frame, err := c.enc.encode(cmd)
	if err != nil {
		return err
	}
	return c.send(ctx, frame)
}

func (c *centrifuge) next(ctx context.Context) (event, error) {
	for len(c.ready) == 0 {
		frame, err := c.recv(ctx)
		var end endOf
		if errors.As(err, &end) {
			return event{kind: ended, code: end.code}, nil
		}
		if err != nil {
			return event{}, err
		}
		replies, err := c.enc.decode(frame)
		if err != nil {
			return event{}, err
		}
		for _, r := range replies {
			if err := c.take(ctx, r); err != nil {
				return event{}, err
			}
		}
	}
	e := c.ready[0]
	c.ready = c.ready[1:]
	if p := c.at[e.channel]; e.kind == message && e.offset > 0 {
		c.at[e.channel] = position{p.epoch, e.offset}
	}
	return e, nil
}

func (c *centrifuge) take(ctx context.Context, r *protocol.Reply) error {
	switch {
	case r.Error != nil:
		c.add(event{kind: refused, code: int(r.Error.Code)})
	case r.Subscribe != nil:
		c.start(c.channels[r.Id-2], r.Subscribe)
	case r.Push != nil:
		c.push(r.Push)
	case r.Id == 0 && r.Connect == nil && !c.uni: // a ping
		return c.command(ctx, &protocol.Command{})
	}
	return nil
}

func (c *centrifuge) push(p *protocol.Push) {
	switch {
	case p.Pub != nil:
		c.add(event{kind: message, channel: p.Channel, data: string(p.Pub.Data), offset: p.Pub.Offset})
	case p.Connect != nil:
		for _, name := range c.channels { // in an order that the suite knows
			if sub := p.Connect.Subs[name]; sub != nil {
				c.start(name, sub)
			}
		}
	case p.Disconnect != nil:
		c.add(event{kind: ended, code: int(p.Disconnect.Code)})
	}
}

func (c *centrifuge) start(name string, sub *protocol.SubscribeResult) {
	c.at[name] = position{sub.Epoch, sub.Offset}
	c.add(event{kind: subscribed, channel: name, recovered: sub.Recovered})
	for _, pub := range sub.Publications {
		c.add(event{kind: message, channel: name, data: string(pub.Data), offset: pub.Offset})
	}
}

func (c *centrifuge) add(e event) { c.ready = append(c.ready, e) }

// newCentrifuge makes the listener without a connection, and its connect.
func newCentrifuge(e *env, enc encoding, channels []string, resume any) (*centrifuge, *protocol.Command) {
	c := &centrifuge{enc: enc, channels: channels, at: map[string]position{}}
	if at, ok := resume.(map[string]position); ok {
		c.at = maps.Clone(at)
	}
	connect := &protocol.ConnectRequest{}
	if e.user != "" {
		connect.Token = e.token(nil)
	}
	return c, &protocol.Command{Id: 1, Connect: connect}
}

// subscribe sends the subscribes after connect.
func (c *centrifuge) subscribe(e *env) error {
	for i, name := range c.channels {
		r := &protocol.SubscribeRequest{Channel: name}
		if p, known := c.at[name]; known {
			r.Recover, r.Epoch, r.Offset = true, p.epoch, p.offset
		}
		if err := c.command(e.Context(), &protocol.Command{Id: uint32(i + 2), Subscribe: r}); err != nil {
			return err
		}
	}
	return nil
}

func (e *env) token(channels []string) string {
	claims := jwt.MapClaims{"sub": e.user, "exp": time.Now().Add(time.Hour).Unix()}
	if channels != nil {
		claims["channels"] = channels
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		e.Fatal(err)
	}
	return text
}

// overWebSocket opens the protocol on a socket.
func overWebSocket(enc encoding, subprotocol string) func(*env, []string, any) (listener, error) {
	return func(e *env, channels []string, resume any) (listener, error) {
		c, connect := newCentrifuge(e, enc, channels, resume)
		p, err := dialWebSocket(e, "/connection/websocket", subprotocol)
		if err != nil {
			return nil, err
		}
		c.pipe = p
		if err := c.command(e.Context(), connect); err != nil {
			return nil, err
		}
		err = c.subscribe(e)
		return c, err
	}
}

const (
	jsonMedia   = "application/json"
	binaryMedia = "application/octet-stream"
)

func post(e *env, path, media string, body []byte) func(context.Context) (*http.Request, error) {
	return func(ctx context.Context) (*http.Request, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+e.server.Addr()+path, bytes.NewReader(body))
		if err == nil {
			r.Header.Set("Content-Type", media)
		}
		return r, err
	}
}

func get(e *env, path string, query url.Values) func(context.Context) (*http.Request, error) {
	return func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.server.Addr()+path+"?"+query.Encode(), http.NoBody)
	}
}

// emulated opens the protocol in a response; its client speaks through requests.
func emulated(enc encoding, media string, split func(*bufio.Reader) ([]byte, error), ask func(e *env, connect []byte) func(context.Context) (*http.Request, error)) func(*env, []string, any) (listener, error) {
	return func(e *env, channels []string, resume any) (listener, error) {
		c, connect := newCentrifuge(e, enc, channels, resume)
		frame, err := enc.encode(connect)
		if err != nil {
			return nil, err
		}
		p, err := respond(e, ask(e, frame), split)
		if err != nil {
			return nil, err
		}
		c.pipe = p
		first, err := p.recv(e.Context())
		if err != nil {
			return nil, err
		}
		replies, err := enc.decode(first)
		if err != nil || len(replies) != 1 || replies[0].Connect == nil {
			return nil, fmt.Errorf("%.200q, %w", first, errors.Join(err, errors.New("no connect reply")))
		}
		session, node := replies[0].Connect.Session, replies[0].Connect.Node
		p.emulation = func(frame []byte) error { return speak(e, media, session, node, frame) }
		err = c.subscribe(e)
		return c, err
	}
}

func speak(e *env, media, session, node string, frame []byte) error {
	body, err := json.Marshal(map[string]string{"session": session, "node": node, "data": string(frame)})
	if media == binaryMedia {
		body, err = (&protocol.EmulationRequest{Session: session, Node: node, Data: frame}).MarshalCF()
	}
	if err != nil {
		return err
	}
	r, err := post(e, "/emulation", media, body)(e.Context())
	if err != nil {
		return err
	}
	res, err := e.http.Do(r)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("/emulation: HTTP %d", res.StatusCode)
	}
	return nil
}

// unidirectional opens what only listens: its channels are in its token.
func unidirectional(open func(e *env, connect []byte) (pipe, error)) func(*env, []string, any) (listener, error) {
	return func(e *env, channels []string, resume any) (listener, error) {
		c, _ := newCentrifuge(e, bareEncoding{}, channels, resume)
		c.uni = true
		if e.user == "" {
			e.user = "listener"
		}
		connect := &protocol.ConnectRequest{Token: e.token(channels), Subs: map[string]*protocol.SubscribeRequest{}}
		for name, p := range c.at {
			connect.Subs[name] = &protocol.SubscribeRequest{Recover: true, Epoch: p.epoch, Offset: p.offset}
		}
		body, err := json.Marshal(connect)
		if err != nil {
			return nil, err
		}
		c.pipe, err = open(e, body)
		return c, err
	}
}

func uniWebSocket(e *env, connect []byte) (pipe, error) {
	p, err := dialWebSocket(e, "/connection/uni_websocket", "")
	if err != nil {
		return nil, err
	}
	err = p.send(e.Context(), connect)
	return p, err
}

func uniHTTPStream(e *env, connect []byte) (pipe, error) {
	return respond(e, post(e, "/connection/uni_http_stream", jsonMedia, connect), splitLine)
}

func uniSSE(e *env, connect []byte) (pipe, error) {
	return respond(e, get(e, "/connection/uni_sse", url.Values{"cf_uni_connect": {string(connect)}}), splitEvent)
}
