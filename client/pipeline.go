package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Limits of a Pipeline's batches: far below what the server takes, and enough to
// spread the cost of a request.
const (
	maxBatchMessages = 500
	maxBatchBytes    = 1 << 20
)

// DefaultRetryFor is how long a Pipeline tries to bring on a message.
const DefaultRetryFor = 30 * time.Second

// PipelineConfig says how a Pipeline works. Zero fields mean their defaults.
type PipelineConfig struct {
	// OnResult is told of each message, in order, on one goroutine. The error
	// that it returns ends the Pipeline. nil: the first error of a message does.
	OnResult func(m *Message, p Published, err error) error
	RetryFor time.Duration // how long temporary errors and a lost server are borne; 0: DefaultRetryFor
}

// ErrPipelineClosed says that a Pipeline takes no more messages.
var ErrPipelineClosed = errors.New("pipeline is closed")

// Pipeline publishes many messages in their order. What comes while a request is
// under way travels together in the next, so that a lone message is sent at once
// and many of them in large batches.
//
// A message without an idempotency key is given one, so that a request can be
// repeated without storing anything twice. Order: a message is stored before
// those that follow it, unless the server refused it and took others of the same
// request; the refused one is then brought on later, or reported.
type Pipeline struct {
	api    *API
	cfg    PipelineConfig
	queue  chan queued
	done   chan struct{} // closed when the sender has ended
	err    error         // why; readable once done is closed
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.RWMutex // held for reading while a message is handed in
	closed bool
}

// queued is a message in the form it travels in.
type queued struct {
	message *Message
	command []byte // {"publish": {…}}
}

// NewPipeline starts a Pipeline that works until Close, the end of ctx, or an
// error. Close must be called.
func (a *API) NewPipeline(ctx context.Context, cfg PipelineConfig) *Pipeline {
	if cfg.RetryFor == 0 {
		cfg.RetryFor = DefaultRetryFor
	}
	if cfg.OnResult == nil {
		cfg.OnResult = func(_ *Message, _ Published, err error) error { return err }
	}
	p := &Pipeline{api: a, cfg: cfg, queue: make(chan queued, maxBatchMessages), done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(ctx)
	go func() {
		defer close(p.done)
		p.err = p.run()
	}()
	return p
}

// Publish hands in a message, and waits while too many are under way. An error is
// about this message, or why the Pipeline has ended.
func (p *Pipeline) Publish(m Message) error {
	if m.IdempotencyKey == "" {
		m.IdempotencyKey = rand.Text()
	}
	req, err := m.request()
	if err != nil {
		return err
	}
	command, err := encode(map[string]message{"publish": req})
	if err != nil {
		return err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return ErrPipelineClosed
	}
	select {
	case p.queue <- queued{&m, command}:
		return nil
	case <-p.done:
		if p.err == nil {
			return ErrPipelineClosed
		}
		return p.err
	}
}

// Close publishes what was handed in and returns why the Pipeline ended, nil if
// everything went well.
func (p *Pipeline) Close() error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.queue)
	}
	p.mu.Unlock()
	<-p.done
	p.cancel()
	return p.err
}

func (p *Pipeline) run() error {
	for {
		batch, err := p.take()
		if err != nil || len(batch) == 0 {
			return err
		}
		if err := p.bring(batch); err != nil {
			return err
		}
	}
}

// take waits for a message and takes along what is there; none: the end. The
// last message of a full batch may exceed maxBatchBytes: the server's limit on a
// body is well above both together.
func (p *Pipeline) take() ([]queued, error) {
	var batch []queued
	select {
	case q, ok := <-p.queue:
		if !ok {
			return nil, nil
		}
		batch = append(batch, q)
	case <-p.ctx.Done():
		return nil, context.Cause(p.ctx)
	}
	for size := len(batch[0].command); len(batch) < maxBatchMessages && size < maxBatchBytes; {
		select {
		case q, ok := <-p.queue:
			if !ok {
				return batch, nil
			}
			batch = append(batch, q)
			size += len(q.command)
		default:
			return batch, nil
		}
	}
	return batch, nil
}

// bring sends a batch until every message has its result.
func (p *Pipeline) bring(batch []queued) error {
	b := backoff{first: 50 * time.Millisecond, last: 2 * time.Second}
	since := time.Now()
	for len(batch) > 0 {
		replies, err := p.send(batch)
		giveUp := time.Since(since) > p.cfg.RetryFor
		n, reported := p.report(batch, replies, giveUp)
		if reported != nil {
			return reported
		}
		if batch = batch[n:]; n > 0 {
			b.attempt, since = 0, time.Now()
		}
		switch {
		case p.ctx.Err() != nil:
			return context.Cause(p.ctx)
		case err != nil && final(err) && len(batch) > 1:
			// One of them makes the whole request bad: find out which.
			for i := range batch {
				if err := p.bring(batch[i : i+1]); err != nil {
					return err
				}
			}
			return nil
		case err != nil && (final(err) || giveUp):
			if err := p.cfg.OnResult(batch[0].message, Published{}, err); err != nil {
				return err
			}
			batch = batch[1:]
		case len(batch) > 0:
			if err := sleep(p.ctx, b.next()); err != nil {
				return err
			}
		}
	}
	return nil
}

// reply is that to one command of a batch.
type reply struct {
	Error   *apiError  `json:"error"`
	Publish *Published `json:"publish"`
}

func (p *Pipeline) send(batch []queued) ([]reply, error) {
	var body bytes.Buffer
	body.WriteString(`{"commands":[`)
	for i := range batch {
		if i > 0 {
			body.WriteByte(',')
		}
		body.Write(batch[i].command)
	}
	body.WriteString(`]}`)
	var res struct {
		Replies []reply `json:"replies"`
	}
	if err := p.api.post(p.ctx, "batch", body.Bytes(), &res); err != nil {
		return nil, err
	}
	if len(res.Replies) != len(batch) {
		return nil, &Error{Message: fmt.Sprintf("%d replies to %d commands", len(res.Replies), len(batch)), Status: 200}
	}
	return res.Replies, nil
}

// report tells of results in order, as far as there are any: it stops before the
// first message that has to be sent again.
func (p *Pipeline) report(batch []queued, replies []reply, giveUp bool) (n int, err error) {
	for i, r := range replies {
		var err error
		switch {
		case r.Error != nil && r.Error.Temporary && !giveUp:
			return i, nil
		case r.Error != nil:
			err = r.Error.error(0)
		case r.Publish == nil:
			err = &Error{Message: "the reply has no result", Status: 200}
		}
		var published Published
		if err == nil {
			published = *r.Publish
		}
		if err := p.cfg.OnResult(batch[i].message, published, err); err != nil {
			return i, err
		}
	}
	return len(replies), nil
}
