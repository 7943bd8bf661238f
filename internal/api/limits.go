package api

import (
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// Limits bound one request. Zero values take the defaults below.
type Limits struct {
	MaxBody     int // bytes of a request body
	MaxData     int // bytes of one publication's data, after base64
	MaxDepth    int // objects and arrays within each other in a body
	MaxCommands int // in one batch
	MaxChannels int // in one broadcast
	MaxTags     int // of one publication
	MaxTagBytes int // of all keys and values of one publication's tags
	MaxPage     int // rows of history, channels or presence in one reply
	MaxReply    int // bytes of a batch's replies, beyond which commands are refused
}

// Defaults of Limits.
const (
	DefaultMaxBody     = 4 << 20
	DefaultMaxData     = hub.DefaultMaxData
	DefaultMaxDepth    = 128
	DefaultMaxCommands = 1000
	DefaultMaxChannels = 1000
	DefaultMaxTags     = 32
	DefaultMaxTagBytes = 4 << 10
	DefaultMaxPage     = 10_000
	DefaultMaxReply    = 32 << 20
)

// Limits that nobody needs to change.
const (
	MaxEvent         = 200  // bytes of an event name
	MaxPattern       = 255  // bytes of a pattern of channels
	MaxUser          = 255  // bytes of a user or client id
	MaxExcept        = 1000 // sessions in a whitelist
	MaxReason        = 123  // bytes of a disconnect reason (RFC 6455, 5.5)
	MaxIdempotency   = engine.MaxIdempotencyKey
	maxParallel      = 64               // commands of one parallel batch under way at once
	bodyTimeout      = 30 * time.Second // for a body to arrive
	maxPooledBuffer  = 512 << 10        // larger buffers are left to the garbage collector
	firstUnknownSize = 4 << 10          // of a buffer for a body of unknown length
)

func orDefault(v *int, d int) {
	if *v <= 0 {
		*v = d
	}
}

func (l *Limits) setDefaults() {
	orDefault(&l.MaxBody, DefaultMaxBody)
	orDefault(&l.MaxData, DefaultMaxData)
	orDefault(&l.MaxDepth, DefaultMaxDepth)
	orDefault(&l.MaxCommands, DefaultMaxCommands)
	orDefault(&l.MaxChannels, DefaultMaxChannels)
	orDefault(&l.MaxTags, DefaultMaxTags)
	orDefault(&l.MaxTagBytes, DefaultMaxTagBytes)
	orDefault(&l.MaxPage, DefaultMaxPage)
	orDefault(&l.MaxReply, DefaultMaxReply)
}
