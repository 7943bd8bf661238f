package survey

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
)

// Limits.
const (
	MaxAnswer = 256 << 10 // bytes; a longer one is not given
	MaxWait   = time.Second
	maxWaits  = 1000 // answers that wait to be looked at
)

// Config says who asks and answers.
type Config struct {
	Conn   *nats.Conn
	Prefix string        // of subjects
	Answer func() []byte // what this node says of itself
	Logger *slog.Logger
}

// Survey answers questions of other nodes, and asks them.
type Survey struct {
	cfg Config
	sub *nats.Subscription
}

// New answers from now on, until Close.
func New(cfg Config) (*Survey, error) {
	s := &Survey{cfg: cfg}
	var err error
	s.sub, err = cfg.Conn.Subscribe(s.subject(), s.answer)
	if err != nil {
		return nil, fmt.Errorf("listen for questions of other nodes: %w", err)
	}
	return s, nil
}

func (s *Survey) subject() string { return s.cfg.Prefix + ".survey" }

func (s *Survey) answer(m *nats.Msg) {
	said := s.cfg.Answer()
	if len(said) > MaxAnswer {
		s.cfg.Logger.Warn("an answer to another node is too long", "bytes", len(said))
		return
	}
	if err := m.Respond(said); err != nil {
		s.cfg.Logger.Debug("another node was not answered", "error", err)
	}
}

// Ask gives the answers of up to so many other nodes. Those that are not there
// after MaxWait, or when ctx ends, are missing.
func (s *Survey) Ask(ctx context.Context, others int) ([][]byte, error) {
	if others = min(others, maxWaits); others <= 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, MaxWait)
	defer cancel()
	inbox := s.cfg.Conn.NewInbox()
	come := make(chan *nats.Msg, maxWaits)
	sub, err := s.cfg.Conn.ChanSubscribe(inbox, come)
	if err != nil {
		return nil, fmt.Errorf("ask other nodes: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // it fails when the connection is closed, and then it has ended
	if err := s.cfg.Conn.PublishRequest(s.subject(), inbox, nil); err != nil {
		return nil, fmt.Errorf("ask other nodes: %w", err)
	}
	var answers [][]byte
	for len(answers) < others {
		select {
		case m := <-come:
			if m.Header.Get("Status") != "" { // nobody listens
				return answers, nil
			}
			if len(m.Data) <= MaxAnswer {
				answers = append(answers, m.Data)
			}
		case <-ctx.Done():
			return answers, nil
		}
	}
	return answers, nil
}

// Close answers no more.
func (s *Survey) Close() error {
	if err := s.sub.Unsubscribe(); err != nil && s.cfg.Conn.IsConnected() {
		return fmt.Errorf("stop listening for questions of other nodes: %w", err)
	}
	return nil
}
