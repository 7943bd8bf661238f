package centrifuge

import (
	"log/slog"
	"sync"

	"github.com/centrifugal/protocol"

	"github.com/fanfare-push/fanfare/internal/hub"
)

// Config is what a Protocol is made of; every field may be left out.
type Config struct {
	Version string // of the server, told to clients
	Log     *slog.Logger
	// Count is told of every command that was answered, by method and error code;
	// 0: no error. It is called on any shard and must not block.
	Count func(method string, code uint32)

	MaxDepth    int // 0: DefaultMaxDepth
	MaxCommands int // 0: DefaultMaxCommands; a client that returns subscribes to all its channels in one frame
	MaxReply    int // 0: DefaultMaxReply; should be less than an outbox holds
}

// Protocol is the Centrifuge protocol in one encoding and direction; it
// implements hub.Protocol. One value serves every session.
type Protocol struct {
	cfg     Config
	codec   codec
	uni     bool
	buffers sync.Pool
}

var _ hub.Protocol = (*Protocol)(nil)

// buffer is where messages are encoded; the session copies them. The command in
// hand is kept with the replies to its frame, to be used again.
type buffer struct {
	b   []byte
	cmd protocol.Command
}

// New makes the protocol in its JSON encoding.
func New(cfg Config) *Protocol { return newProtocol(cfg, jsonCodec{}, false) }

// NewProtobuf makes the protocol in its Protobuf encoding.
func NewProtobuf(cfg Config) *Protocol { return newProtocol(cfg, protobufCodec{}, false) }

// NewUni makes the protocol of unidirectional transports, in JSON: the first
// message to the session is the connect request, whichever way it came, what
// follows it is ignored, and the client is sent pushes alone.
func NewUni(cfg Config) *Protocol { return newProtocol(cfg, jsonCodec{bare: true}, true) }

func newProtocol(cfg Config, c codec, uni bool) *Protocol {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Count == nil {
		cfg.Count = func(string, uint32) {}
	}
	if cfg.MaxDepth <= 0 {
		cfg.MaxDepth = DefaultMaxDepth
	}
	if cfg.MaxCommands <= 0 {
		cfg.MaxCommands = DefaultMaxCommands
	}
	if cfg.MaxReply <= 0 {
		cfg.MaxReply = DefaultMaxReply
	}
	return &Protocol{cfg: cfg, codec: c, uni: uni}
}

// speaker is what the protocol remembers of one session.
type speaker interface {
	receive(msg []byte)
	ping()
	tell(n hub.Notice)
}

// Name implements hub.Protocol.
func (p *Protocol) Name() string {
	if p.uni {
		return "centrifuge-uni-" + p.codec.name()
	}
	return "centrifuge-" + p.codec.name()
}

// Open implements hub.Protocol.
func (p *Protocol) Open(s *hub.Session) {
	if p.uni {
		s.State = &listener{proto: p, s: s}
		return
	}
	s.State = &client{proto: p, s: s}
}

// speakerOf is what Open made.
func speakerOf(s *hub.Session) speaker {
	sp, _ := s.State.(speaker)
	return sp
}

// Receive implements hub.Protocol.
func (*Protocol) Receive(s *hub.Session, msg []byte) { speakerOf(s).receive(msg) }

// Ping implements hub.Protocol.
func (*Protocol) Ping(s *hub.Session) { speakerOf(s).ping() }

// Tell implements hub.Protocol.
func (*Protocol) Tell(s *hub.Session, n hub.Notice) { speakerOf(s).tell(n) }

// Append implements hub.Protocol.
func (p *Protocol) Append(dst []byte, e *hub.Event) []byte { return p.codec.event(dst, e) }

// AppendDisconnect encodes why a connection ends, for transports that cannot say
// it in a way of their own: the last message of a stream.
func (p *Protocol) AppendDisconnect(dst []byte, d hub.Disconnect) []byte {
	return p.codec.push(dst, disconnectPush(d))
}

func (p *Protocol) buffer() *buffer {
	buf, ok := p.buffers.Get().(*buffer)
	if !ok {
		return new(buffer)
	}
	buf.b = buf.b[:0]
	return buf
}

func (p *Protocol) release(buf *buffer) {
	if cap(buf.b) <= maxPooledBuffer {
		p.buffers.Put(buf)
	}
}

// appendNotice encodes what the server did to a session. What a subscription made by
// the server recovered follows it, in the same frame.
func (p *Protocol) appendNotice(b []byte, n hub.Notice) []byte {
	switch {
	case n.Unsubscribed != nil:
		b = p.codec.push(b, unsubscribePush(n.Channel, n.Unsubscribed))
	case n.Subscribed != nil:
		b = p.codec.push(b, subscribePush(n.Channel, n.Subscribed))
		for _, pub := range n.Subscribed.Publications {
			b = p.codec.event(p.codec.separate(b), &hub.Event{Kind: hub.EventPublication, Channel: n.Channel, Publication: pub})
		}
	}
	return b
}
