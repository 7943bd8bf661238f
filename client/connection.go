package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// maxCommandBytes is how much of several commands goes into one frame.
const maxCommandBytes = 32 << 10

// connection is one connection of a Subscriber.
type connection struct {
	*Subscriber
	ws      *websocket.Conn
	frames  <-chan frame
	lastID  int
	asked   map[int]*subscription // subscribes that wait for their reply, by command
	waiting []waiting             // subscribes to be sent later
	silence time.Duration         // the longest the server may say nothing; 0: for ever
	pong    bool
}

type waiting struct {
	sub *subscription
	at  time.Time
}

// frame is what one read gave.
type frame struct {
	data []byte
	err  error
}

// attend connects, listens, and returns why the connection ended and how long it
// had been connected.
func (s *Subscriber) attend(ctx context.Context) (lived time.Duration, err error) {
	hello, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := s.freshToken(hello); err != nil {
		return 0, err
	}
	c := &connection{Subscriber: s, asked: make(map[int]*subscription)}
	if c.ws, err = s.dial(hello); err != nil {
		return 0, err
	}
	stop := c.read(ctx)
	defer stop()
	if err := c.connect(hello); err != nil {
		return 0, err
	}
	since := time.Now()
	if err = c.subscribe(ctx, s.order); err == nil {
		err = c.listen(ctx)
	}
	return time.Since(since), err
}

func (s *Subscriber) dial(ctx context.Context) (*websocket.Conn, error) {
	ws, res, err := websocket.Dial(ctx, s.url, &websocket.DialOptions{HTTPClient: s.cfg.HTTPClient, HTTPHeader: s.cfg.Header})
	if res != nil && res.Body != nil {
		defer func() { _ = res.Body.Close() }()
	}
	switch {
	case err == nil:
		ws.SetReadLimit(s.cfg.MaxFrame)
		return ws, nil
	case res != nil && res.StatusCode != http.StatusSwitchingProtocols && res.StatusCode != http.StatusOK:
		return nil, &Error{
			Message: "handshake refused: " + http.StatusText(res.StatusCode), Status: res.StatusCode,
			Temporary: temporaryStatus(res.StatusCode),
		}
	}
	return nil, fmt.Errorf("connect: %w", err)
}

// read starts the goroutine that reads frames. stop ends it and the connection.
func (c *connection) read(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	frames := make(chan frame)
	c.frames = frames
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, data, err := c.ws.Read(ctx)
			select {
			case frames <- frame{data, closeError(err)}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return func() {
		cancel()
		_ = c.ws.CloseNow()
		<-ended
	}
}

// closeError names the end of a connection in the protocol's terms.
func closeError(err error) error {
	if err == nil {
		return nil
	}
	var closed websocket.CloseError
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return &Error{Code: int(websocket.StatusMessageTooBig), Message: "the server sent a larger frame than MaxFrame"}
	case errors.As(err, &closed):
		return disconnected(int(closed.Code), closed.Reason)
	}
	return fmt.Errorf("connection lost: %w", err)
}

// send writes commands, a line each, as few frames as there may be.
func (c *connection) send(ctx context.Context, commands ...command) error {
	var frame []byte
	for i := range commands {
		line, err := encode(&commands[i])
		if err != nil {
			return err
		}
		if len(frame)+len(line) >= maxCommandBytes && len(frame) > 0 {
			if err := c.write(ctx, frame); err != nil {
				return err
			}
			frame = frame[:0]
		}
		if len(frame) > 0 {
			frame = append(frame, '\n')
		}
		frame = append(frame, line...)
	}
	return c.write(ctx, frame)
}

func (c *connection) write(ctx context.Context, frame []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	if err := c.ws.Write(ctx, websocket.MessageText, frame); err != nil {
		return c.reason(ctx, fmt.Errorf("write: %w", err))
	}
	return nil
}

// reason is what the server said before it stopped listening, otherwise err. What
// it sent before that is read again on the next connection.
func (c *connection) reason(ctx context.Context, err error) error {
	for {
		select {
		case f := <-c.frames:
			if f.err != nil {
				return f.err
			}
		case <-ctx.Done():
			return err
		}
	}
}

// connect sends the connect command and waits for its reply.
func (c *connection) connect(ctx context.Context) error {
	c.lastID++
	hello := command{ID: c.lastID, Connect: &connectCommand{Token: c.token, Name: c.cfg.Name}}
	if err := c.send(ctx, hello); err != nil {
		return err
	}
	for {
		select {
		case f := <-c.frames:
			if f.err != nil {
				return f.err
			}
			done, err := c.connected(ctx, f.data)
			if done || err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("no answer to connect: %w", ctx.Err())
		}
	}
}

// connected looks for the connect reply; nothing else matters before it.
func (c *connection) connected(ctx context.Context, data []byte) (done bool, err error) {
	first, rest, _ := bytes.Cut(data, []byte{'\n'})
	m, err := parseMessage(first)
	switch {
	case err != nil:
		return false, fmt.Errorf("connect reply: %w", err)
	case m.ID != c.lastID:
		return false, nil
	case m.Error != nil:
		return false, m.Error.error(0)
	case m.Connect == nil:
		return false, errors.New("the server does not speak the protocol: no connect reply")
	}
	c.pong = m.Connect.Pong
	if m.Connect.Ping > 0 {
		c.silence = time.Duration(m.Connect.Ping)*time.Second + c.cfg.Timeout
	}
	return true, c.frame(ctx, rest)
}

// subscribe sends subscribes for subs.
func (c *connection) subscribe(ctx context.Context, subs []*subscription) error {
	commands := make([]command, 0, len(subs))
	for _, sub := range subs {
		c.lastID++
		sub.live = false
		c.asked[c.lastID] = sub
		commands = append(commands, command{ID: c.lastID, Subscribe: sub.command()})
	}
	return c.send(ctx, commands...)
}

// errSilent ends a connection on which not even pings come.
var errSilent = errors.New("connection lost: the server has fallen silent")

// listen does what comes, until the connection ends.
func (c *connection) listen(ctx context.Context) error {
	heard := time.Now()
	for {
		timer := time.NewTimer(c.untilNext(heard))
		select {
		case f := <-c.frames:
			timer.Stop()
			if f.err != nil {
				return f.err
			}
			if err := c.frame(ctx, f.data); err != nil {
				return err
			}
			heard = time.Now()
		case <-timer.C:
			if c.silence > 0 && time.Since(heard) >= c.silence {
				return errSilent
			}
			if err := c.subscribeDue(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// untilNext is how long nothing has to be done if nothing comes.
func (c *connection) untilNext(heard time.Time) time.Duration {
	next := time.Hour
	if c.silence > 0 {
		next = c.silence - time.Since(heard)
	}
	for _, w := range c.waiting {
		next = min(next, time.Until(w.at))
	}
	return max(next, 0)
}

func (c *connection) subscribeDue(ctx context.Context) error {
	var due []*subscription
	var rest []waiting
	for _, w := range c.waiting {
		if time.Until(w.at) <= 0 {
			due = append(due, w.sub)
		} else {
			rest = append(rest, w)
		}
	}
	c.waiting = rest
	if len(due) == 0 {
		return nil
	}
	return c.subscribe(ctx, due)
}

// frame does the messages of one frame, in order.
func (c *connection) frame(ctx context.Context, data []byte) error {
	for line := range bytes.SplitSeq(data, []byte{'\n'}) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if err := c.message(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

func (c *connection) message(ctx context.Context, line []byte) error {
	if string(line) == "{}" {
		if c.pong {
			return c.write(ctx, []byte("{}"))
		}
		return nil
	}
	m, err := parseMessage(line)
	if err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return fmt.Errorf("the server sent no JSON: %w", err)
		}
		return fmt.Errorf("the server sent what the protocol does not know: %w", err)
	}
	if m.Push != nil {
		return c.push(m.Push)
	}
	sub := c.asked[m.ID]
	delete(c.asked, m.ID)
	switch {
	case sub == nil:
		return nil
	case m.Error != nil:
		return c.refused(ctx, sub, m.Error)
	case m.Subscribe == nil:
		return fmt.Errorf("channel %s: the reply to subscribe is of another kind", sub.name)
	}
	c.subscribed(sub, m.Subscribe)
	return nil
}

func (c *connection) push(p *push) error {
	if p.Disconnect != nil {
		return disconnected(p.Disconnect.Code, p.Disconnect.Reason)
	}
	sub := c.subs[p.Channel]
	switch {
	case sub == nil || !sub.live: // a subscription that a backend made, or an ended one
		return nil
	case p.Pub != nil:
		return c.published(sub, p.Pub)
	case p.Unsubscribe != nil:
		return c.unsubscribed(sub, p.Unsubscribe)
	}
	return nil
}
