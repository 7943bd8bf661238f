package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// This file follows a log. The usual way is a consumer that some server pushes
// from; it lives in the RAM of one server, so it is lost with it. Until there is
// another one, which takes a leader of the cluster, and whenever somebody knows
// better than the consumer what the log holds, messages are fetched from whatever
// replica is near.

const (
	beat        = 500 * time.Millisecond // a consumer says at least so often that it is there
	missed      = 3 * beat               // and is given up after so long
	askTimeout  = 500 * time.Millisecond // for a new consumer
	fetchEvery  = 10 * time.Millisecond  // while the consumer lags
	fetchMost   = 256                    // messages fetched at a time
	fetchBytes  = 1 << 20
	batchMost   = 64 // messages handed on at a time
	unusedAfter = 10 * time.Second
)

// ErrTrimmed says that the log no longer holds what would come next.
var ErrTrimmed = errors.New("the log has dropped what was not applied yet")

// Tail hands on what follows the message after, in order, some messages at a
// time, until ctx ends. take may block. Tail fails with ErrTrimmed, with a
// *store.VersionError, with what take fails with, and where the log is gone.
func (j *Journal) Tail(ctx context.Context, after uint64, take func([]Message) error) error {
	t := &tail{Journal: j, next: after + 1, take: take}
	defer t.close()
	j.caughtUp.Store(0)
	for {
		c, err := t.consume(ctx)
		switch {
		case err == nil:
			err = t.drain(ctx, c)
			c.close()
		case errors.Is(err, jetstream.ErrStreamNotFound), ctx.Err() != nil:
		case errors.Is(err, errNoConsumer):
			t.cfg.Logger.Debug("no consumer of the log, it is fetched", "log", j.cfg.Stream, "error", err)
			err = nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// Hurry has the tail look at once for what the log holds: somebody has reason to
// believe that there is more than its consumer has sent.
func (j *Journal) Hurry() {
	j.hurry.Store(true)
	if interrupt := j.interrupt.Load(); interrupt != nil {
		(*interrupt)()
	}
}

// tail is how far one follower is. It belongs to one goroutine.
type tail struct {
	*Journal

	next uint64 // number of the message that comes next
	take func([]Message) error
	near *nats.Subscription // of what is fetched; nil: nothing was yet
}

// close gives up what was asked for: what is left of an answer would be taken for a part
// of the next.
func (t *tail) close() {
	if t.near != nil {
		_ = t.near.Unsubscribe() // fails only without a connection, which has no subscriptions
		t.near = nil
	}
}

// consumer is one subscription to messages that a server pushes.
type consumer struct {
	*tail

	name string
	sub  *nats.Subscription
	seq  uint64 // of the last message by this consumer's own count
	last uint64 // number of the last message of the log that it has passed
}

// errNoConsumer says that there is none yet.
var errNoConsumer = errors.New("no consumer")

// consume asks for a consumer from the next message on, and fetches what there is
// until it is known what came of that. It fails with errNoConsumer where it is
// worth trying again.
func (t *tail) consume(ctx context.Context) (*consumer, error) {
	var c *consumer
	var refused, failed error
	from, answered := t.next, make(chan struct{})
	go func() {
		defer close(answered)
		c, refused = t.ask(ctx, from)
	}()
	wait := time.NewTimer(fetchEvery) // often there is a consumer before that
	defer wait.Stop()
	for {
		select {
		case <-answered:
			if failed != nil && c != nil {
				c.close()
			}
			return c, cmp.Or(failed, refused)
		case <-wait.C:
		}
		if failed == nil && ctx.Err() == nil {
			failed = t.fetch(ctx)
		}
		wait.Reset(fetchEvery)
	}
}

// ask asks for a consumer from a message on.
func (t *tail) ask(ctx context.Context, from uint64) (*consumer, error) {
	inbox := t.cfg.Conn.NewInbox()
	sub, err := t.cfg.Conn.SubscribeSync(inbox)
	if err != nil {
		return nil, errors.Join(errNoConsumer, err, pause(ctx))
	}
	c := &consumer{tail: t, sub: sub, last: from - 1}
	wait, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	info, err := t.js.CreatePushConsumer(wait, t.cfg.Stream, jetstream.ConsumerConfig{
		DeliverSubject: inbox, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, MaxDeliver: 1, MemoryStorage: true, Replicas: 1,
		FlowControl: true, IdleHeartbeat: beat, InactiveThreshold: unusedAfter,
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		c.close()
		return nil, fmt.Errorf("follow the log: %w", err)
	case err != nil:
		c.close()
		return nil, errors.Join(errNoConsumer, err, pause(ctx))
	}
	c.name = info.CachedInfo().Name
	return c, nil
}

// close lets the server forget the consumer; should it not hear of it, it does
// by itself.
func (c *consumer) close() {
	_ = c.sub.Unsubscribe() // fails only without a connection, which has no subscriptions
	if c.name == "" {
		return
	}
	_ = c.cfg.Conn.Publish("$JS.API.CONSUMER.DELETE."+c.cfg.Stream+"."+c.name, nil)
}

// drain hands on what the consumer sends, until it is lost or leaves something
// out, which is no error. While it lags behind what is known to be there, that is
// fetched.
func (t *tail) drain(ctx context.Context, c *consumer) error {
	heard, lags := time.Now(), false
	for {
		patience := missed - time.Since(heard)
		if lags {
			patience = min(patience, fetchEvery)
		}
		msg := t.receive(ctx, c, patience)
		switch {
		case msg != nil:
			level, err := t.read(c, msg)
			if errors.Is(err, errLost) {
				return nil
			}
			if err != nil {
				return err
			}
			if level || !lags {
				heard, lags = time.Now(), false
			}
		case ctx.Err() != nil || time.Since(heard) >= missed:
			return nil //nolint:nilerr // Tail looks at ctx
		case !lags:
			lags = true // unless the consumer says more in a moment
		default:
			if err := t.fetch(ctx); err != nil {
				return err
			}
		}
	}
}

// receive is the next message of the consumer; nil: there was none in time, or it
// is worth fetching.
func (t *tail) receive(ctx context.Context, c *consumer, patience time.Duration) *nats.Msg {
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t.interrupt.Store(&cancel)
	defer t.interrupt.Store(nil)
	if t.hurry.Swap(false) {
		return nil
	}
	msg, err := c.sub.NextMsgWithContext(wait)
	if err != nil {
		t.hurry.Store(false)
		return nil
	}
	return msg
}

// read hands on a message of a consumer, and others that are there. level says that
// the consumer is as far as the tail. It fails with errLost.
func (t *tail) read(c *consumer, msg *nats.Msg) (level bool, err error) {
	var batch []Message
	for {
		var m Message
		var is bool
		if m, is, err = c.read(msg); err != nil {
			break
		}
		if is {
			batch = append(batch, m)
		}
		if len(batch) == batchMost {
			break
		}
		var none error
		if msg, none = c.sub.NextMsg(0); none != nil {
			break
		}
	}
	if failed := t.hand(batch); failed != nil {
		return false, failed
	}
	return c.last+1 == t.next, err
}

var errLost = errors.New("consumer lost")

// read takes one message of a consumer apart; is says that it is one of the log.
func (c *consumer) read(msg *nats.Msg) (m Message, is bool, err error) {
	if len(msg.Data) == 0 && msg.Header.Get("Status") == "100" {
		return m, false, c.control(msg)
	}
	meta, err := msg.Metadata()
	if err != nil || meta.Sequence.Consumer != c.seq+1 {
		return m, false, errLost
	}
	c.seq++
	c.last = meta.Sequence.Stream
	if c.last < c.next {
		return m, false, nil // it was fetched
	}
	if err := c.follows(c.last); err != nil {
		return m, false, err
	}
	m, err = c.decode(meta.Sequence.Stream, msg.Data)
	m.Pending = meta.NumPending
	return m, err == nil, err
}

// control answers what a server says instead of messages.
func (c *consumer) control(msg *nats.Msg) error {
	if msg.Reply != "" {
		_ = msg.Respond(nil) // of a lost connection we hear when beats are missed
		return nil
	}
	if stalled := msg.Header.Get("Nats-Consumer-Stalled"); stalled != "" {
		_ = c.cfg.Conn.Publish(stalled, nil)
	}
	switch msg.Header.Get("Nats-Last-Consumer") {
	case "":
	case fmt.Sprint(c.seq):
		if c.last+1 == c.next {
			c.caughtUp.Store(time.Now().UnixNano())
		}
	default:
		return errLost
	}
	return nil
}

// follows fails unless seq is the next message, or what lies between was never
// stored anywhere, as the log's leader knows: a part of what is fetched may be lost on
// its way.
func (t *tail) follows(seq uint64) error {
	if seq > t.next {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		b, err := t.Bounds(ctx)
		switch {
		case err != nil:
			return errLost
		case b.First > t.next:
			return ErrTrimmed
		}
		if first, err := t.from(ctx, t.next); err != nil || first != seq {
			return errLost
		}
		t.cfg.Logger.Warn("numbers of the log were skipped", "log", t.cfg.Stream, "from", t.next, "to", seq-1)
	}
	t.next = seq + 1
	return nil
}

// decode reads a message; one that nobody can read has no effect.
func (t *tail) decode(seq uint64, b []byte) (Message, error) {
	m, err := decode(seq, b)
	if errors.Is(err, errMalformed) {
		t.cfg.Logger.Error("a message of the log cannot be read, it is left out", "log", t.cfg.Stream, "seq", seq)
		m.Entries, m.Incarnation, m.Writer, m.Count = nil, 0, "", seq
		return m, nil
	}
	return m, err
}

func (t *tail) hand(batch []Message) error {
	if len(batch) == 0 {
		return nil
	}
	if err := t.take(batch); err != nil {
		return err
	}
	if batch[len(batch)-1].Pending == 0 {
		t.caughtUp.Store(time.Now().UnixNano())
	}
	return nil
}

// fetch gets what a near replica has. Only ErrTrimmed and what take fails with
// are errors.
func (t *tail) fetch(ctx context.Context) error {
	for {
		n, err := t.fetchOnce(ctx)
		if n == 0 || err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(beat / 10):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *tail) fetchOnce(ctx context.Context) (n int, err error) {
	if t.near == nil {
		sub, err := t.cfg.Conn.SubscribeSync(t.cfg.Conn.NewInbox())
		if err != nil {
			return 0, nil //nolint:nilerr // without a connection there is nothing to fetch
		}
		t.near = sub
	}
	ask := fmt.Appendf(nil, `{"seq":%d,"batch":%d,"max_bytes":%d}`, t.next, fetchMost, fetchBytes)
	if err := t.cfg.Conn.PublishRequest("$JS.API.DIRECT.GET."+t.cfg.Stream, t.near.Subject, ask); err != nil {
		return 0, nil //nolint:nilerr // without a connection there is nothing to fetch
	}
	var batch []Message
	for {
		wait, cancel := context.WithTimeout(ctx, askTimeout)
		msg, err := t.near.NextMsgWithContext(wait)
		cancel()
		if err != nil {
			t.close()
			return len(batch), t.hand(batch)
		}
		if status := msg.Header.Get("Status"); status != "" { // the end, nothing more, or nobody there
			if len(batch) == 0 && status == "404" {
				t.caughtUp.Store(time.Now().UnixNano())
			}
			return len(batch), t.hand(batch)
		}
		m, is, err := t.fetched(msg)
		if errors.Is(err, errLost) {
			t.close()
			return len(batch), t.hand(batch)
		}
		if err != nil {
			return len(batch), errors.Join(t.hand(batch), err)
		}
		if is {
			batch = append(batch, m)
		}
	}
}

// fetched reads a message that was fetched; is says that it comes next.
func (t *tail) fetched(msg *nats.Msg) (m Message, is bool, err error) {
	var seq, pending uint64
	if _, err := fmt.Sscan(msg.Header.Get("Nats-Sequence"), &seq); err != nil {
		return m, false, errLost
	}
	_, _ = fmt.Sscan(msg.Header.Get("Nats-Num-Pending"), &pending)
	if seq < t.next {
		return m, false, nil // an answer that came late
	}
	if err := t.follows(seq); err != nil {
		return m, false, err
	}
	m, err = t.decode(seq, msg.Data)
	m.Pending = pending
	return m, err == nil, err
}
