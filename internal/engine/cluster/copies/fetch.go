package copies

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/fanfare-push/fanfare/internal/pack"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Wanted says which index a node needs.
type Wanted struct {
	Conn        *nats.Conn
	Prefix      string
	Log         string
	Incarnation uint64 // 0: any
	From        uint64 // the log goes on with this message or an earlier one
	// Import begins a store of that incarnation.
	Import func(incarnation uint64) (*store.Import, error)
}

// Fetch copies the index of the node that has applied most, and yields its offer.
// It fails with ErrNone when no node has one from which the log goes on.
func Fetch(ctx context.Context, w Wanted) (Offer, error) {
	o, err := w.best(ctx)
	if err != nil {
		return Offer{}, err
	}
	id, err := w.open(ctx, o)
	if err != nil {
		return Offer{}, err
	}
	m, err := w.Import(o.Incarnation)
	if err != nil {
		return Offer{}, err
	}
	sum, err := w.receive(ctx, o, id, m)
	if err != nil {
		_ = w.Conn.Publish(nodeSubject(w.Prefix, o.Node), request(sayClose, id)) // it ends by itself too
		return Offer{}, errors.Join(err, m.Abort())
	}
	return o, m.Finish(sum)
}

// best asks all nodes.
func (w *Wanted) best(ctx context.Context) (best Offer, err error) {
	inbox := w.Conn.NewInbox()
	sub, err := w.Conn.SubscribeSync(inbox)
	if err != nil {
		return best, fmt.Errorf("ask for a copy: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only without a connection
	if err := w.Conn.PublishRequest(offerSubject(w.Prefix), inbox, []byte(w.Log)); err != nil {
		return best, fmt.Errorf("ask for a copy: %w", err)
	}
	wait, cancel := context.WithTimeout(ctx, offerWait)
	defer cancel()
	for {
		msg, err := sub.NextMsgWithContext(wait)
		if err != nil {
			break
		}
		o, err := decodeOffer(msg.Data)
		if err != nil || o.Node == "" || w.Incarnation != 0 && o.Incarnation != w.Incarnation || o.Seq+1 < w.From {
			continue
		}
		if best.Node == "" || o.Seq > best.Seq {
			best = o
		}
	}
	if best.Node == "" {
		return best, ErrNone
	}
	return best, ctx.Err()
}

func (w *Wanted) ask(ctx context.Context, node string, b []byte) (say byte, rest []byte, err error) {
	wait, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	msg, err := w.Conn.RequestWithContext(wait, nodeSubject(w.Prefix, node), b)
	if err != nil {
		return 0, nil, fmt.Errorf("copy from node %s: %w", node, err)
	}
	return taken(msg.Data)
}

func (w *Wanted) open(ctx context.Context, o Offer) (id string, err error) {
	say, rest, err := w.ask(ctx, o.Node, request(sayOpen, w.Log))
	if err != nil {
		return "", err
	}
	r := pack.Reader{B: rest}
	if id = r.String(); say != sayBegun || r.Failed {
		return "", errForm
	}
	return id, nil
}

func (w *Wanted) receive(ctx context.Context, o Offer, id string, m *store.Import) (sum uint32, err error) {
	for {
		say, rest, err := w.ask(ctx, o.Node, request(sayNext, id))
		switch {
		case err != nil:
			return 0, err
		case say == sayEnd && len(rest) == 4:
			return binary.BigEndian.Uint32(rest), nil
		case say != sayChunk:
			return 0, errForm
		}
		if err := m.Add(rest); err != nil {
			return 0, fmt.Errorf("copy from node %s: %w", o.Node, err)
		}
	}
}
