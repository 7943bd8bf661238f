package mixed

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"

	"github.com/centrifugal/protocol"
	"github.com/coder/websocket"
)

// encoding is one of the two that the Centrifuge protocol has.
type encoding struct {
	subprotocols []string
	kind         websocket.MessageType
	encode       func(cmd *protocol.Command) ([]byte, error)
	decode       func(frame []byte) ([]*protocol.Reply, error)
	data         func(pub *protocol.Publication) (string, error)
}

var inJSON = encoding{
	kind:   websocket.MessageText,
	encode: func(cmd *protocol.Command) ([]byte, error) { return json.Marshal(cmd) },
	decode: func(frame []byte) (list []*protocol.Reply, err error) {
		for line := range bytes.SplitSeq(bytes.TrimSpace(frame), []byte{'\n'}) {
			r := new(protocol.Reply)
			if err := json.Unmarshal(line, r); err != nil {
				return nil, wrong("%.200q: %v", line, err)
			}
			list = append(list, r)
		}
		return list, nil
	},
	data: func(pub *protocol.Publication) (text string, err error) {
		if pub.Tags["event"] == binaryEvent {
			err = json.Unmarshal(pub.Data, &text)
			return text, err
		}
		return string(pub.Data), nil
	},
}

var inProtobuf = encoding{
	subprotocols: []string{"centrifuge-protobuf"},
	kind:         websocket.MessageBinary,
	encode: func(cmd *protocol.Command) ([]byte, error) {
		b, err := cmd.MarshalCF()
		return append(binary.AppendUvarint(nil, uint64(len(b))), b...), err
	},
	decode: func(frame []byte) (list []*protocol.Reply, err error) {
		for len(frame) > 0 {
			n, size := binary.Uvarint(frame)
			if size <= 0 || uint64(len(frame)-size) < n {
				return nil, wrong("a reply is not whole")
			}
			r := new(protocol.Reply)
			if err := r.UnmarshalCF(frame[size : size+int(n)]); err != nil {
				return nil, wrong("%v", err)
			}
			list = append(list, r)
			frame = frame[size+int(n):]
		}
		return list, nil
	},
	data: func(pub *protocol.Publication) (string, error) {
		if pub.Tags["event"] == binaryEvent {
			return base64.StdEncoding.EncodeToString(pub.Data), nil
		}
		return string(pub.Data), nil
	},
}

// centrifuge is one connection of the Centrifuge protocol.
type centrifuge struct {
	*listener
	encoding
	ws *websocket.Conn
}

func overCentrifuge(enc encoding) func(context.Context, *listener) error {
	return func(ctx context.Context, l *listener) error {
		ws, err := l.dial(ctx, "/connection/websocket", enc.subprotocols)
		if err != nil {
			return err
		}
		defer ws.CloseNow()
		c := &centrifuge{l, enc, ws}
		sub := &protocol.SubscribeRequest{Channel: channel}
		if l.began {
			sub.Recover, sub.Epoch, sub.Offset = true, l.epoch, l.stands.Load()
		}
		for _, cmd := range []*protocol.Command{{Id: 1, Connect: &protocol.ConnectRequest{}}, {Id: 2, Subscribe: sub}} {
			if err := c.send(ctx, cmd); err != nil {
				return err
			}
		}
		for {
			_, frame, err := ws.Read(ctx)
			if err != nil {
				return err
			}
			if err := c.frame(ctx, frame); err != nil {
				return err
			}
		}
	}
}

func (c *centrifuge) send(ctx context.Context, cmd *protocol.Command) error {
	frame, err := c.encode(cmd)
	if err != nil {
		return err
	}
	return c.ws.Write(ctx, c.kind, frame)
}

func (c *centrifuge) frame(ctx context.Context, frame []byte) error {
	replies, err := c.decode(frame)
	for _, r := range replies {
		if err == nil {
			err = c.take(ctx, r)
		}
	}
	return err
}

func (c *centrifuge) take(ctx context.Context, r *protocol.Reply) error {
	switch {
	case r.Error != nil && r.Error.Temporary:
		return errCut
	case r.Error != nil:
		return wrong("error %d %s", r.Error.Code, r.Error.Message)
	case r.Subscribe != nil:
		c.subscribed(r.Subscribe.Epoch, r.Subscribe.Offset, r.Subscribe.Recovered)
		for _, pub := range r.Subscribe.Publications {
			if err := c.publication(pub); err != nil {
				return err
			}
		}
	case r.Push != nil && r.Push.Pub != nil:
		return c.publication(r.Push.Pub)
	case r.Push != nil && r.Push.Unsubscribe != nil:
		return errCut // to subscribe again
	case r.Id == 0 && r.Push == nil: // a ping
		return c.send(ctx, &protocol.Command{})
	}
	return nil
}

func (c *centrifuge) publication(pub *protocol.Publication) error {
	data, err := c.data(pub)
	if err != nil {
		return wrong("%.200q: %v", pub.Data, err)
	}
	said := content{Data: data}
	said.withTags(pub.Tags)
	if pub.Info != nil {
		said.Client = pub.Info.Client
	}
	return c.shown(pub.Offset, said)
}

// dial opens a WebSocket over the client's network.
func (l *listener) dial(ctx context.Context, path string, subprotocols []string) (*websocket.Conn, error) {
	ws, res, err := websocket.Dial(ctx, "ws://"+l.server.Addr()+path,
		&websocket.DialOptions{HTTPClient: l.network.client, Subprotocols: subprotocols})
	if err != nil {
		return nil, err
	}
	if res.Body != nil {
		_ = res.Body.Close()
	}
	ws.SetReadLimit(16 << 20)
	return ws, nil
}
