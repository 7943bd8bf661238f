package centrifuge

import (
	"log/slog"
	"sync"

	"github.com/fanfare-push/fanfare/internal/hub"
)

// Config is what a JSON is made of; every field may be left out.
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

// JSON is the protocol in its JSON encoding; it implements hub.Protocol.
type JSON struct {
	cfg     Config
	buffers sync.Pool
}

var _ hub.Protocol = (*JSON)(nil)

// buffer is where lines are encoded; the session copies them.
type buffer struct{ b []byte }

// New makes the protocol. One value serves every session.
func New(cfg Config) *JSON {
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
	return &JSON{cfg: cfg}
}

// Name implements hub.Protocol.
func (*JSON) Name() string { return "centrifuge-json" }

// Open implements hub.Protocol.
func (j *JSON) Open(s *hub.Session) { s.State = &client{json: j, s: s} }

// clientOf is what Open made.
func clientOf(s *hub.Session) *client {
	c, _ := s.State.(*client)
	return c
}

// Receive implements hub.Protocol.
func (*JSON) Receive(s *hub.Session, msg []byte) { clientOf(s).receive(msg) }

// Ping implements hub.Protocol.
func (*JSON) Ping(s *hub.Session) { clientOf(s).ping() }

// Tell implements hub.Protocol.
func (*JSON) Tell(s *hub.Session, n hub.Notice) { clientOf(s).tell(n) }

// Append implements hub.Protocol.
func (*JSON) Append(dst []byte, e *hub.Event) []byte {
	switch e.Kind {
	case hub.EventPublication:
		return appendPubPush(dst, e.Channel, e.Publication)
	case hub.EventJoin:
		return appendInfoPush(dst, e.Channel, `"join":{"info":`, e.Info)
	case hub.EventLeave:
		return appendInfoPush(dst, e.Channel, `"leave":{"info":`, e.Info)
	}
	return dst
}

func (j *JSON) buffer() *buffer {
	buf, ok := j.buffers.Get().(*buffer)
	if !ok {
		return new(buffer)
	}
	buf.b = buf.b[:0]
	return buf
}

func (j *JSON) release(buf *buffer) {
	if cap(buf.b) <= maxPooledBuffer {
		j.buffers.Put(buf)
	}
}
