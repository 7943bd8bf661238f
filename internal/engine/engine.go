package engine

import (
	"errors"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Errors of the contract. Whatever else a done function is given is an internal
// error whose text must not reach a client.
var (
	// ErrBusy is temporary: nothing was stored and nothing will be delivered.
	ErrBusy = errors.New("too busy")
	// ErrReadOnly is temporary: the store takes no publications now (no space).
	ErrReadOnly = errors.New("store is read-only")
	// ErrQuota says that nothing was stored, because the App has as much as it may have:
	// until some of it expires or is removed.
	ErrQuota = errors.New("the app has stored as much as it may")
	// ErrUnrecoverable says that a position belongs to another epoch, or lies
	// above the channel's top.
	ErrUnrecoverable = errors.New("unrecoverable position")
	// ErrUnknownNode says that there is no node of that name.
	ErrUnknownNode = errors.New("unknown node")
	// ErrClosed says that the engine was closed; whether a publication in flight
	// was stored is then unknown.
	ErrClosed = errors.New("engine is closed")
)

// Position is where a channel or a subscriber stands.
type Position struct {
	Epoch  string
	Offset uint64
}

// ClientInfo tells who published, joined or is present.
type ClientInfo struct {
	User     string
	Client   string // session id
	ConnInfo []byte // JSON, nil: none
	ChanInfo []byte // JSON, nil: none
}

// Publication is one published message.
type Publication struct {
	Offset uint64 // 0: without history
	Time   int64  // log time, Unix milliseconds
	Data   []byte // JSON unless Binary
	Binary bool   // Data is not JSON
	Event  string
	Tags   map[string]string
	Info   *ClientInfo // publisher, nil: the server API
	// Except is the id of a session that is not sent it, unless it keeps track of
	// its position; "": every session is. It holds for the delivery, and is not
	// kept in history.
	Except string
}

// Retention is what a publication needs to know of its channel's options. It
// travels with the log entry, so that every node computes the same.
type Retention struct {
	Size       int           // publications kept; 0: no history
	TTL        time.Duration // how long a publication is kept
	MetaTTL    time.Duration // how long an idle channel keeps epoch and offset
	Durability channel.Durability
}

// RetentionOf takes what the engine needs from a namespace's options.
func RetentionOf(o *channel.Options) Retention {
	if !o.HasHistory() {
		return Retention{}
	}
	return Retention{Size: o.HistorySize, TTL: o.HistoryTTL, MetaTTL: o.MetaTTL(), Durability: o.Durability()}
}

// Kept reports whether there is a history at all.
func (r Retention) Kept() bool { return r.Size > 0 }

// PublishRequest is one publication on its way in. Offset and Time of the
// Publication are the engine's to set.
type PublishRequest struct {
	Channel        channel.ID
	Publication    Publication
	Retention      Retention // of the channel
	SkipHistory    bool      // deliver only, without an offset, though the channel has history
	IdempotencyKey string    // "": none; scoped to app and channel
	// FromReserve has it stored though the store is read-only for want of space. It is
	// for what takes away something that was stored, so that no flood can be of it.
	FromReserve bool
	// Quota is how many bytes of history on disk the App may have: where it has as many,
	// as this node knows, nothing is stored; a repeat of what is stored is answered as
	// ever. What is under way comes on top. 0: any.
	Quota int64
}

// IdempotencyWindow is how long an idempotency key is remembered.
const IdempotencyWindow = 5 * time.Minute

// MaxIdempotencyKey is the longest idempotency key in bytes.
const MaxIdempotencyKey = 256

// PublishResult answers a publish. Without history the position is zero.
type PublishResult struct {
	Position
	Duplicate bool // the idempotency key was seen before; Position is the first one's
}

// HistoryRequest asks for publications of a channel and for its position.
type HistoryRequest struct {
	Channel   channel.ID
	Retention Retention
	Since     *Position // publications after it (before it with Reverse); nil: from the oldest (newest) on
	Limit     int       // at most so many; 0: the position only; negative: no limit but MaxBytes
	MaxBytes  int       // stop before data exceeds it, but give at least one; 0: no limit
	Reverse   bool      // newest first
}

// HistoryResult answers a HistoryRequest. Top is where the channel stands; a
// channel without any publication yet has offset 0 in an epoch of its own.
type HistoryResult struct {
	Publications []*Publication
	Top          Position
	// Oldest is the lowest offset that could still be read, Top.Offset+1 when
	// nothing can.
	Oldest uint64
}

// Publisher orders, stores and hands on publications.
type Publisher interface {
	// Publish fails with ErrBusy, ErrReadOnly, ErrQuota, ErrClosed or an internal error.
	Publish(req PublishRequest, done func(PublishResult, error))
}

// Historian reads what is kept.
type Historian interface {
	// History fails with ErrUnrecoverable when Since.Epoch is not the channel's
	// (an empty Since.Epoch matches any), or Since.Offset is above its top. A
	// Since below Oldest is no error: the result then begins at Oldest.
	History(req HistoryRequest, done func(HistoryResult, error))
	// RemoveHistory forgets the publications but not epoch and offset.
	RemoveHistory(ch channel.ID, r Retention, done func(error))
}

// PresenceStats counts a channel's subscribers.
type PresenceStats struct {
	Clients int // sessions
	Users   int // distinct users
}

// Members is the presence view of a channel: sessions by id.
type Members map[string]*ClientInfo

// Notice says what a join or leave is for; both bits may be set.
type Notice uint8

// The bits of a Notice.
const (
	Track    Notice = 1 << iota // it counts in Members and Stats
	Announce                    // Follower.Join or Follower.Leave is called, on every node
)

// Presence knows who is subscribed to a channel now, on every node.
type Presence interface {
	// Join and Leave tell of a session of this node. With Track, joining twice
	// replaces the info and is announced once; leaving twice is announced once.
	Join(ch channel.ID, info *ClientInfo, n Notice)
	Leave(ch channel.ID, info *ClientInfo, n Notice)
	// Members calls done in one line with this node's Follower.Join and Leave of
	// the channel: the view holds what was told before, and nothing that is told
	// later. done must not block, and not call the engine. The view is the
	// caller's.
	Members(ch channel.ID, done func(Members, error))
	Stats(ch channel.ID, done func(PresenceStats, error))
}

// Control is an operation on sessions wherever they are.
type Control struct {
	Op      ControlOp
	App     string
	User    string
	Client  string // only this session; "": all of the user
	Except  []string
	Channel string
	Code    uint32
	Reason  string
	Options SubscribeOptions
	Node    string // ControlReceive, ControlRelay: the only node it is for, another than this
	Data    []byte // ControlReceive: what the client said; ControlRelay: what its hub is sent
}

// ControlOp says what a Control does.
type ControlOp uint8

// The control operations.
const (
	ControlSubscribe ControlOp = iota + 1
	ControlUnsubscribe
	ControlDisconnect
	ControlReceive // Client names an emulated session by its secret
	ControlRelay   // Data is for the hub of Node, whose own it is from then on
)

// SubscribeOptions are what a backend says of a subscription it makes for a user.
type SubscribeOptions struct {
	Info     []byte // JSON chan_info
	Data     []byte // JSON handed to the client
	ExpireAt int64  // Unix seconds, 0: never
	Recover  *Position
	Override channel.Override // of the namespace's options
}

// Controller carries a Control to every node's Follower, its own included, or to
// the one that Node names, at most once; what one node is sent by another arrives in
// order. It fails with ErrUnknownNode. done is called before Control returns.
type Controller interface {
	Control(c Control, done func(error))
}

// Follower is told what happens; the hub is one. Its methods must not block,
// and are called one at a time per channel.
type Follower interface {
	Publication(ch channel.ID, epoch string, pub *Publication)
	// edge says that the session is the first of its user in the channel, or was
	// the last. A session without a user is always both, and so is one that is
	// announced without being tracked.
	Join(ch channel.ID, info *ClientInfo, edge bool)
	Leave(ch channel.ID, info *ClientInfo, edge bool)
	Control(c Control)
}

// Interest tells an engine which channels this node has subscribers on. A
// Follower may be told of other channels too.
type Interest interface {
	// Attach names the Follower, once, before anything else is called.
	Attach(f Follower)
	// Follow is in force once it returns: what is published afterwards, anywhere,
	// reaches the Follower. Calls are counted: a channel is followed while it has
	// been followed more often than unfollowed, in whatever order calls arrive.
	Follow(ch channel.ID)
	Unfollow(ch channel.ID)
}

// Status is what /ready and info need to know.
type Status struct {
	Ready  bool
	Reason string // why it is not ready, for operators
}

// Engine is all roles of one deployment.
type Engine interface {
	Publisher
	Historian
	Presence
	Controller
	Interest
	Peers
	Status() Status
	// Close answers what is in flight, stores what was taken, and returns when
	// every goroutine is gone.
	Close() error
}
