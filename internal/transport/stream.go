package transport

import (
	"context"
	"errors"
	"net"

	"github.com/fanfare-push/fanfare/internal/hub"
)

// Stream is one connection. Its methods are called on the shard's goroutine only
// and never block.
type Stream interface {
	// Write takes bytes and returns how many; fewer than len(p) means that the
	// connection is full, and Receiver.Writable is called once it no longer is. p
	// may be shared and is not kept. After an error only Abort is left to do.
	Write(p []byte) (int, error)
	// Warm is hub.Warmer's: it looks at what Write looks at first.
	Warm() bool
	// Finish sends last, whatever its length, after what Write took, and then does
	// what after says. Nothing may be written afterwards. A second Finish changes
	// what comes after; its last follows the first one's.
	Finish(last []byte, after After)
	// Abort closes at once; what was not sent is lost.
	Abort()
	// Pause stops reading until Resume; harmless when repeated.
	Pause()
	Resume()
	// Release ends the stream but not its connection, which is the caller's
	// afterwards, as Adopt was given it; Gone follows. Nothing is lost: what was not
	// given to Data is still to be read, and there is nothing that Write did not
	// take. Error: errors.ErrUnsupported where Engine.Releases says so, and after
	// Finish; the stream is then as before.
	Release() (net.Conn, error)
	// Remote is the peer's address for logs.
	Remote() string
}

// After is what becomes of a stream once its last bytes are sent.
type After uint8

// The ways to go on after Finish.
const (
	Close     After = iota // close
	Await                  // go on reading until the peer ends
	HalfClose              // the same, and tell the peer that nothing follows
)

// Receiver is told what happens on a stream, on the shard's goroutine.
type Receiver interface {
	// Data is given what arrived, in order; p may be changed but not kept.
	Data(p []byte)
	// Ended says that the peer sends no more; called once at most.
	Ended()
	// Writable says that the stream takes bytes again.
	Writable()
	// Gone is the last call of all. err is nil when this side closed or the peer
	// ended first.
	Gone(err error)
}

// Opener makes the receiver of a new stream, on the shard's goroutine.
type Opener func(Stream) Receiver

// Engine runs the loops of a hub's shards and the streams on them.
type Engine interface {
	// NewLoop is hub.Config.NewLoop.
	NewLoop(sh *hub.Shard) hub.Loop
	// Adopt takes a connection over from net/http. early is what was read from it
	// already; it is not kept. Deadlines of c are lifted. The connection belongs to
	// the engine afterwards, also when Adopt fails.
	Adopt(sh *hub.Shard, c net.Conn, early []byte, open Opener) error
	// Releases reports whether a plain connection's stream can be released.
	Releases() bool
	// Close waits until every stream is gone. The hub is shut down before.
	Close(ctx context.Context) error
}

// Options are the settings of every Engine.
type Options struct {
	// SendBuffer is SO_SNDBUF in bytes: what the kernel holds of one connection
	// before its outbox fills. The kernel doubles it for its own bookkeeping.
	// 0: DefaultSendBuffer; negative: the system's own sizing.
	SendBuffer int
}

// DefaultSendBuffer lets a burst through and bounds what a stalled peer takes of
// kernel memory.
const DefaultSendBuffer = 64 << 10

func (o *Options) setDefaults() {
	if o.SendBuffer == 0 {
		o.SendBuffer = DefaultSendBuffer
	}
}

// errClosed is what Write returns on a stream that is closed or finished.
var errClosed = errors.New("write on a closed stream")
