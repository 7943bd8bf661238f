package hub

import (
	"errors"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// Protocol gives bytes meaning: the Protocol seam. One value serves every
// session that speaks it; what it must remember of one session it keeps in
// Session.State. All methods but Append run on the session's shard.
type Protocol interface {
	// Name is unique among protocols and their encodings, such as "centrifuge-json".
	Name() string
	// Open is called once, before any message.
	Open(s *Session)
	// Receive is given one whole message, valid only during the call.
	Receive(s *Session, msg []byte)
	// Ping is called when the session has to prove that it is alive.
	Ping(s *Session)
	// Tell hands the session something meant for it alone.
	Tell(s *Session, n Notice)
	// Append encodes what goes to all subscribers of a channel. It is called once
	// per encoding, on any goroutine.
	Append(dst []byte, e *Event) []byte
}

// Personal is a Protocol some of whose sessions are told of events in words of
// their own, which costs an encoding for each of them. Its methods run on the
// session's shard.
type Personal interface {
	// Shared reports whether the session is told what everybody is told.
	Shared(s *Session) bool
	// AppendFor is called in place of Append for a session that is not. When it
	// appends nothing, nothing is sent.
	AppendFor(dst []byte, s *Session, e *Event) []byte
}

// Parting is a Protocol with disconnect codes of its own.
type Parting interface {
	// Farewell names a reason in the protocol's terms: what its client is told.
	Farewell(d Disconnect) Disconnect
}

// EventKind says what happened on a channel.
type EventKind uint8

// The kinds of Event.
const (
	EventPublication EventKind = iota + 1
	EventJoin
	EventLeave
	EventCount   // told to those who asked for it with SubscribeRequest.Count
	EventOnline  // told to those who asked for it with Session.Watch
	EventOffline // likewise
)

// Event is what all subscribers of a channel are told.
type Event struct {
	Kind        EventKind
	Channel     string
	Epoch       string              // of the publication's offset; "": it has none
	Publication *engine.Publication // EventPublication
	Delta       *Delta              // EventPublication for subscribers with delta; nil: for the others
	Info        *engine.ClientInfo  // EventJoin, EventLeave; User alone: EventOnline, EventOffline
	Edge        bool                // EventJoin, EventLeave: the first session of its user, or the last
	Count       int                 // EventCount: of the channel's subscribers
}

// Notice is what one session is told beside events: a subscription made or ended
// by the server.
type Notice struct {
	Channel      string
	Subscribed   *SubscribeResult // the server subscribed it
	Unsubscribed *Unsubscribe     // the server, or expiry, ended the subscription
}

// Unsubscribe tells why the server ended a subscription. Codes are those of the
// Centrifuge protocol: 2500 and above ask the client to subscribe again.
type Unsubscribe struct {
	Code   uint32
	Reason string
}

// The reasons the server itself ends a subscription for.
var (
	UnsubscribeServer            = Unsubscribe{2000, "server unsubscribe"}
	UnsubscribeInsufficientState = Unsubscribe{2500, "insufficient state"}
	UnsubscribeExpired           = Unsubscribe{2501, "subscription expired"}
)

// Errors that a session's operations and the hub's return. Protocols and the
// server API name each in their own terms; anything else is an internal error.
var (
	ErrUnauthorized      = errors.New("unauthorized")
	ErrUnknownChannel    = errors.New("unknown channel")
	ErrBadRequest        = errors.New("bad request")
	ErrPermissionDenied  = errors.New("permission denied")
	ErrAlreadySubscribed = errors.New("already subscribed")
	ErrNotSubscribed     = errors.New("not subscribed")
	ErrLimitExceeded     = errors.New("limit exceeded")
	ErrNotAvailable      = errors.New("not available")
	ErrTokenExpired      = errors.New("token expired")
	ErrTooManyRequests   = errors.New("too many requests")
	ErrBusy              = engine.ErrBusy          // temporary: nothing stored, nothing delivered
	ErrReadOnly          = engine.ErrReadOnly      // temporary: no space
	ErrQuota             = engine.ErrQuota         // nothing stored: the App's history is full
	ErrUnrecoverable     = engine.ErrUnrecoverable // position of another epoch
	ErrShutdown          = errors.New("shutting down")
	ErrUnknownSession    = errors.New("unknown session")
	ErrNoAnswer          = errors.New("the backend has not answered") // in time, or to the question; temporary
	ErrExpired           = errors.New("expired")                      // what the backend has allowed, when it answered
)

// Encoding is a protocol put on the wire in one framing; what is encoded for one
// session serves every session with the same Encoding.
type Encoding struct {
	Protocol  Protocol
	Framing   Framing
	transport string // as backends are told
	index     int
	protocol  int      // the same for every Encoding of one Protocol
	personal  Personal // nil: every session is told the same
	parting   Parting  // nil: the hub's codes are the protocol's
	open      *metrics.Gauge
}
