package hub

// Conn is one client connection as the hub sees it: the Transport seam. The hub
// calls its methods on the shard's goroutine only, never after Close, and none
// of them blocks.
type Conn interface {
	// Write takes bytes and returns how many; fewer than len(p) means that the
	// connection is full, and Session.Writable is called once it no longer is.
	// p may be shared with other connections and is not kept. An error ends the
	// connection; Session.Closed still follows.
	Write(p []byte) (int, error)
	// Close sends what Write took and rest, says goodbye with d in the transport's
	// own way, and closes. rest completes a message of which Write took only a
	// part, so that the goodbye is understood; it may be longer than Write would
	// take now. Session.Closed follows, once, when the peer has answered or Abort
	// is called.
	Close(rest []byte, d Disconnect)
	// Abort closes at once; called after Close, for a peer that does not answer.
	Abort()
	// Pause asks the transport to deliver no more messages until Resume.
	Pause()
	Resume()
	// Remote is the peer's address for logs.
	Remote() string
}

// Prober is a Conn that can ask its peer for a sign of life in the transport's
// own way; Session.Pong follows it.
type Prober interface{ Probe() }

// Warmer is a Conn that can look at what Write will look at. Each system call of a
// fan-out drives the next session out of the processor's caches; to look at
// several of them at a time costs little more than to wait for one.
type Warmer interface{ Warm() bool }

// Framing turns a payload into the bytes that a transport puts on the wire for
// one message. It is called once per encoding and publication.
type Framing interface {
	// Name is unique among framings, such as "ws-text".
	Name() string
	AppendFrame(dst, payload []byte) []byte
}

// Disconnect tells a client why its connection ends. Codes are those of the
// Centrifuge protocol: 3000–3499 and 4000–4499 ask it to reconnect, 3500–3999
// and 4500–4999 are final. Reason is at most 123 bytes (RFC 6455, 5.5).
type Disconnect struct {
	Code   uint32
	Reason string
}

// The reasons the server itself ends a connection for. Protocols with codes of
// their own map from these.
var (
	DisconnectClosed            = Disconnect{3000, "connection closed"} // the client or the network did
	DisconnectShutdown          = Disconnect{3001, "shutdown"}
	DisconnectServerError       = Disconnect{3004, "internal server error"}
	DisconnectExpired           = Disconnect{3005, "connection expired"}
	DisconnectSubExpired        = Disconnect{3006, "subscription expired"}
	DisconnectSlow              = Disconnect{3008, "slow"}
	DisconnectWriteError        = Disconnect{3009, "write error"}
	DisconnectInsufficientState = Disconnect{3010, "insufficient state"}
	DisconnectForceReconnect    = Disconnect{3011, "force reconnect"}
	DisconnectNoPong            = Disconnect{3012, "no pong"}
	DisconnectTooManyRequests   = Disconnect{3013, "too many requests"}
	DisconnectInvalidToken      = Disconnect{3500, "invalid token"}
	DisconnectBadRequest        = Disconnect{3501, "bad request"}
	DisconnectStale             = Disconnect{3502, "stale"}
	DisconnectForced            = Disconnect{3503, "force disconnect"}
	DisconnectConnectionLimit   = Disconnect{3504, "connection limit"}
	DisconnectChannelLimit      = Disconnect{3505, "channel limit"}
	DisconnectInappropriate     = Disconnect{3506, "inappropriate protocol"}
	DisconnectPermissionDenied  = Disconnect{3507, "permission denied"}
	DisconnectNotAvailable      = Disconnect{3508, "not available"}
	DisconnectTooManyErrors     = Disconnect{3509, "too many errors"}
)
