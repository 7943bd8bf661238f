package hub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Hook is a kind of question to a backend.
type Hook string

// The hooks.
const (
	HookConnect    Hook = "connect"     // who is a client without a token?
	HookRefresh    Hook = "refresh"     // may a session that expires go on?
	HookSubscribe  Hook = "subscribe"   // may a client subscribe?
	HookPublish    Hook = "publish"     // may a client publish this?
	HookSubRefresh Hook = "sub_refresh" // may a subscription that expires go on?
	HookRPC        Hook = "rpc"         // what is the answer to this?
)

// Backend answers questions. Both methods may be called on any goroutine and do not
// block.
type Backend interface {
	// Asks reports whether anybody answers questions of a kind; always the same.
	Asks(hook Hook) bool
	// Ask has done called once, on any goroutine, within the time that the backend is
	// given. Errors: *BackendError and *BackendDisconnect, which the backend has made
	// up for the client; ErrNoAnswer.
	Ask(q Question, done func(Answer, error))
}

// Question is what a backend is told.
type Question struct {
	Hook         Hook
	App          string
	Backend      string // which one is asked, as the namespace names it; "": the one of the hook
	Client       string // the session's id
	Transport    string
	Protocol     string // json or protobuf
	Encoding     string // json or binary
	User         string // "": none, or not known yet
	Meta         []byte // JSON that the answer to connect has left; nil: none
	Header       map[string][]string
	ClientHeader map[string]string // what the client says in place of headers, see ConnectRequest

	Name, Version string   // of the SDK, to connect
	Channels      []string // that a client asks for in its connect
	Channel       string
	Method        string // of an RPC
	Data          []byte // of the client; nil: none
	Binary        bool   // Data is not JSON
}

// Answer is what a backend says. JSON in it is on one line.
type Answer struct {
	User     string
	ExpireAt time.Time // zero: never
	Expired  bool
	Info     []byte // JSON shown to others; nil: none, or no other than before
	Meta     []byte // JSON for questions to come
	Grants   channel.Grants
	Subs     []AnswerSub // subscriptions that connect is to make

	Override channel.Override // of a subscription

	Data   []byte // for the client, or in place of what it publishes; nil: none
	Binary bool   // Data is not JSON; of publish and rpc alone

	SkipHistory    bool
	Tags           map[string]string
	IdempotencyKey string
}

// AnswerSub is one subscription of an answer to connect.
type AnswerSub struct {
	Channel string
	Info    []byte // JSON shown to others as chan_info; nil: none
	Data    []byte // JSON for the client; nil: none

	Override channel.Override
}

// errAsk says that the backend decides; it never leaves the hub.
var errAsk = errors.New("the backend has to be asked")

// BackendError is an error that a backend has made up for a client.
type BackendError struct {
	Code      uint32
	Message   string
	Temporary bool // the same may succeed later
}

func (e *BackendError) Error() string {
	return fmt.Sprintf("the backend says %d %q", e.Code, e.Message)
}

// BackendDisconnect is a backend's wish to end the session.
type BackendDisconnect struct{ Disconnect }

func (e *BackendDisconnect) Error() string {
	return fmt.Sprintf("the backend disconnects with %d %q", e.Code, e.Reason)
}

// asked is which questions the Backend answers.
type asked struct{ connect, refresh, subscribe, publish, subRefresh, rpc bool }

func newAsked(b Backend) asked {
	if b == nil {
		return asked{}
	}
	return asked{
		connect: b.Asks(HookConnect), refresh: b.Asks(HookRefresh), subscribe: b.Asks(HookSubscribe),
		publish: b.Asks(HookPublish), subRefresh: b.Asks(HookSubRefresh), rpc: b.Asks(HookRPC),
	}
}

// later reports whether a session may be asked about after its connect.
func (a asked) later() bool { return a.refresh || a.subscribe || a.publish || a.subRefresh || a.rpc }

// Greeting is a hello with what the transport's request has for backends.
type Greeting struct {
	Hello  any
	Header map[string][]string
}

// Greet puts a hello and headers together for Shard.Open.
func Greet(hello any, header map[string][]string) any {
	if len(header) == 0 {
		return hello
	}
	return &Greeting{hello, header}
}

// MaxClientHeaders bounds what a client says in place of headers, names and values
// together, in bytes; a connect with more is ErrBadRequest.
const MaxClientHeaders = 8 << 10

// heed keeps what a client says in place of headers for its backend.
func (s *Session) heed(said map[string]string) error {
	if h := s.shard.hub; len(said) == 0 || !h.asked.connect && !h.asked.later() {
		return nil
	}
	size := 0
	for name, value := range said {
		size += len(name) + len(value)
	}
	if size > MaxClientHeaders {
		s.shard.hub.log.Debug("connect refused", "remote", s.conn.Remote(), "rule", "headers inside a connect are too large", "bytes", size)
		return ErrBadRequest
	}
	s.backing().clientHeader = said
	return nil
}

// backing is what is kept of a session for questions; only sessions that need one
// have one.
type backing struct {
	header       map[string][]string
	clientHeader map[string]string
	meta         []byte
	connecting   bool
	refreshing   bool
	retryAt      int64 // Unix ms: no refresh is asked for before
	subscribing  map[string]*SubscribeRequest
	publishing   map[string][]*heldPublish
}

// backing makes it.
func (s *Session) backing() *backing {
	sh := s.shard
	b := sh.backings[s]
	if b == nil {
		b = &backing{}
		if sh.backings == nil {
			sh.backings = make(map[*Session]*backing)
		}
		sh.backings[s] = b
	}
	return b
}

// question begins one.
func (s *Session) question(hook Hook) Question {
	q := Question{Hook: hook, App: s.tenant.name, Client: s.id.String(), Transport: s.enc.transport, Protocol: "json", Encoding: "json"}
	if strings.HasSuffix(s.enc.Protocol.Name(), "-protobuf") {
		q.Protocol, q.Encoding = "protobuf", "binary"
	}
	if s.identity != nil {
		q.User = s.identity.User
	}
	if b := s.shard.backings[s]; b != nil {
		q.Header, q.ClientHeader, q.Meta = b.header, b.clientHeader, b.meta
	}
	return q
}

// ask puts a question to the backend and brings the answer back to the shard. A
// disconnect that the backend wishes for is done; then is not called for it, nor
// once the session has ended.
func (s *Session) ask(q Question, then func(Answer, error)) {
	h := s.shard.hub
	s.begin()
	answered := func(a Answer, err error) {
		s.shard.Post(func() {
			s.finish()
			if s.ended {
				return
			}
			var end *BackendDisconnect
			if errors.As(err, &end) {
				h.count.hook.Inc()
				h.log.Debug("disconnected by a hook", "hook", string(q.Hook), "channel", q.Channel, "user", q.User, "code", end.Code, "reason", end.Reason)
				s.Disconnect(end.Disconnect)
				return
			}
			then(a, err)
		})
	}
	if h.cfg.Backend == nil || !h.cfg.Backend.Asks(q.Hook) {
		h.log.Debug("permission denied", "channel", q.Channel, "user", q.User, "rule", "the namespace asks a hook that is not set")
		answered(Answer{}, ErrNoAnswer)
		return
	}
	h.cfg.Backend.Ask(q, answered)
}

// said makes an error of an answer that has expired.
func (s *Session) said(a *Answer, err error) error {
	if err == nil && (a.Expired || !a.ExpireAt.IsZero() && a.ExpireAt.UnixMilli() <= s.shard.now) {
		return ErrExpired
	}
	return err
}

// askConnect has the backend say who the client is. The connect deadline rests
// meanwhile: the hook has its own.
func (s *Session) askConnect(r *ConnectRequest, done func(ConnectResult, error)) {
	h := s.shard.hub
	s.expireAt = 0
	s.arm()
	b := s.backing()
	b.connecting = true
	q := s.question(HookConnect)
	q.Name, q.Version, q.Data, q.Binary = r.Name, r.Version, r.Data, r.Binary
	for name := range r.Subs {
		q.Channels = append(q.Channels, name)
	}
	slices.Sort(q.Channels)
	s.ask(q, func(a Answer, err error) {
		b.connecting = false
		if err = s.said(&a, err); err != nil {
			h.count.hook.Inc()
			h.log.Debug("connect refused", "remote", s.conn.Remote(), "sdk", r.Name, "error", err, "rule", "the connect hook")
			s.expireAt = s.shard.now + h.cfg.ConnectTimeout.Milliseconds()
			s.arm()
			done(ConnectResult{}, err)
			return
		}
		identity := &channel.Identity{App: s.tenant.name, User: a.User, Info: a.Info, ExpireAt: a.ExpireAt, Grants: a.Grants}
		r.made = make(map[string]*AnswerSub, len(a.Subs))
		for i := range a.Subs {
			identity.Channels = append(identity.Channels, a.Subs[i].Channel)
			r.made[a.Subs[i].Channel] = &a.Subs[i]
		}
		b.meta = a.Meta
		s.marks |= vouched
		s.enter(identity, r, func(res ConnectResult, err error) {
			res.Data = a.Data
			done(res, err)
		})
	})
}
