package copies

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/pack"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Config is what a Server needs; everything must be set.
type Config struct {
	Conn   *nats.Conn
	Prefix string // of subjects
	Node   string // this one's id
	Logger *slog.Logger
	// Offer says which index of a log this node has; ok is false when it has none.
	Offer func(log string) (o Offer, ok bool)
	// Open begins a copy of the index of a log.
	Open func(log string) (*store.Copy, error)
}

// Server sends copies of this node's indexes.
type Server struct {
	cfg  Config
	subs []*nats.Subscription

	mu        sync.Mutex
	closed    bool
	last      uint64 // id of the last transfer
	transfers map[string]*transfer
}

// transfer is one copy on its way. Server.mu guards it.
type transfer struct {
	log   string
	copy  *store.Copy
	timer *time.Timer // ends it when nobody asks any more
}

// Serve answers requests until Close.
func Serve(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, transfers: make(map[string]*transfer)}
	for subject, handle := range map[string]nats.MsgHandler{
		offerSubject(cfg.Prefix): s.offer, nodeSubject(cfg.Prefix, cfg.Node): s.answer,
	} {
		sub, err := cfg.Conn.Subscribe(subject, handle)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("offer copies: %w", err), s.Close())
		}
		s.subs = append(s.subs, sub)
	}
	return s, nil
}

func (s *Server) offer(msg *nats.Msg) {
	o, ok := s.cfg.Offer(string(msg.Data))
	if ok {
		s.say(msg, o.append(nil))
	}
}

func (s *Server) say(msg *nats.Msg, b []byte) {
	if msg.Reply == "" {
		return
	}
	if err := msg.Respond(b); err != nil {
		s.cfg.Logger.Debug("cannot answer who asks for a copy", "error", err)
	}
}

func (s *Server) answer(msg *nats.Msg) {
	r := pack.Reader{B: msg.Data}
	say, arg := r.Byte(), r.String()
	var b []byte
	var err error
	switch {
	case r.Failed:
		err = errForm
	case say == sayOpen:
		b, err = s.open(arg)
	case say == sayNext:
		b, err = s.next(arg)
	case say == sayClose:
		s.mu.Lock()
		s.endLocked(arg)
		s.mu.Unlock()
		return
	default:
		err = errForm
	}
	if err != nil {
		s.cfg.Logger.Warn("cannot send a copy", "error", err)
		b = append([]byte{sayFailed}, err.Error()...)
	}
	s.say(msg, b)
}

func (s *Server) open(log string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, errors.New("this node closes")
	case len(s.transfers) >= MaxTransfers:
		return nil, fmt.Errorf("%d copies are sent at the same time already", MaxTransfers)
	}
	c, err := s.cfg.Open(log) // with the lock held: Drop must see it
	if err != nil {
		return nil, err
	}
	s.last++
	id := strconv.FormatUint(s.last, 10)
	s.transfers[id] = &transfer{log: log, copy: c, timer: time.AfterFunc(idle, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.endLocked(id)
	})}
	s.cfg.Logger.Info("another node takes a copy of an index", "log", log, "seq", c.Mark().Seq)
	return request(sayBegun, id), nil
}

func (s *Server) next(id string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.transfers[id]
	if t == nil {
		return nil, errors.New("there is no such copy any more")
	}
	t.timer.Reset(idle)
	b, err := t.copy.Next([]byte{sayChunk}, min(chunkSize, int(s.cfg.Conn.MaxPayload())/2))
	if err == nil && len(b) > 1 {
		return b, nil
	}
	sum := t.copy.Sum()
	s.endLocked(id)
	return binary.BigEndian.AppendUint32([]byte{sayEnd}, sum), err
}

func (s *Server) endLocked(id string) {
	t := s.transfers[id]
	if t == nil {
		return
	}
	t.timer.Stop()
	delete(s.transfers, id)
	if err := t.copy.Close(); err != nil {
		s.cfg.Logger.Warn("cannot end a copy", "log", t.log, "error", err)
	}
}

// Drop ends the copies of a log, whose index is closed then. Open must have
// nothing to give any more.
func (s *Server) Drop(log string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, t := range s.transfers {
		if t.log == log {
			s.endLocked(id)
		}
	}
}

// Close ends all copies.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for id := range s.transfers {
		s.endLocked(id)
	}
	for _, sub := range s.subs {
		// It fails only where the connection is gone, and the subscription with it.
		_ = sub.Unsubscribe()
	}
	return nil
}
