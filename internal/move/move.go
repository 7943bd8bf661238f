package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Config says what is moved, and how. Dir, Send and Temporary are required.
type Config struct {
	Dir string   // the data directory of the node that was alone, which no process uses
	FS  store.FS // nil: the operating system's
	// Send hands pieces to the cluster, each of another channel, and says what became
	// of each. It may be called again with pieces that it was given before.
	Send      func(ctx context.Context, pieces [][]byte) ([]Answer, error)
	Temporary func(error) bool // the same may succeed later
	Progress  func(Report)     // told now and then; nil: nobody is
	Now       func() time.Time // nil: time.Now
	Patience  time.Duration    // how long one request is tried again; 0: DefaultPatience
}

// DefaultPatience is longer than a cluster needs for another leader.
const DefaultPatience = time.Minute

// Answer says what became of a piece.
type Answer struct {
	There bool  // it came over before
	Err   error // it was not taken; nil: it is there
}

// Report counts what is in the cluster and what is not.
type Report struct {
	Channels            int // that are there with all they hold
	Publications        int // of them and of those that are there in part
	Before              int // publications among these that an earlier run had brought
	Expired             int // channels that had been idle for their meta ttl
	ExpiredPublications int // too old to be read
	Left                []Left
}

// Left is a channel that was not moved, or not wholly.
type Left struct {
	Channel channel.ID
	Reason  string
}

// How large things are.
const (
	pieceBytes = 128 << 10 // of one piece; a publication that is larger is one by itself
	piecePubs  = 1000      // publications in one
	batchBytes = 256 << 10 // of the pieces of one request
	batchSize  = 500       // pieces in one request
	firstWait  = 50 * time.Millisecond
	longWait   = 2 * time.Second
)

// Run moves every channel of a data directory. From before the first piece leaves,
// the directory is marked as moved: a node would not start on it again. A run that
// fails can be repeated and goes on where it was. Errors: those of store.OpenToMove
// and of Send.
func Run(ctx context.Context, cfg Config) (r Report, err error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Patience == 0 {
		cfg.Patience = DefaultPatience
	}
	if cfg.Progress == nil {
		cfg.Progress = func(Report) {}
	}
	s, err := store.OpenToMove(store.Config{Dir: cfg.Dir, FS: cfg.FS})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	m := &mover{cfg: cfg, store: s, now: max(s.Time(), cfg.Now().UnixMilli())}
	if err := m.probe(ctx); err != nil {
		return r, err
	}
	if err := s.MarkMoved(); err != nil {
		return r, err
	}
	err = s.Channels(func(ch channel.ID, rec store.Record) error { return m.channel(ctx, ch, &rec) })
	if err == nil {
		err = m.flush(ctx)
	}
	return m.report, err
}

// mover is one run.
type mover struct {
	cfg    Config
	store  *store.Store
	now    int64 // by which things have expired
	report Report

	parcels []parcel // of the next request
	bytes   int
}

// parcel is a piece on its way.
type parcel struct {
	of    *subject
	bytes []byte
	pubs  int
	last  bool // of its channel
}

// subject is the channel that is moved.
type subject struct {
	id   channel.ID
	left bool
}

// probe asks with a piece that is none. Who refuses it is there, knows the method
// and takes the key.
func (m *mover) probe(ctx context.Context) error {
	_, err := m.cfg.Send(ctx, [][]byte{{}})
	return err
}

// channel sends the pieces of a channel, the newest publications first.
func (m *mover) channel(ctx context.Context, ch channel.ID, rec *store.Record) error {
	if rec.Expired(m.now) {
		m.report.Expired++
		return nil
	}
	low, _, err := m.store.FirstAfter(rec.ID, rec.Low, rec.Top, rec.Horizon(m.now))
	if err != nil {
		return fmt.Errorf("channel %s: %w", ch, err)
	}
	m.report.ExpiredPublications += int(low - rec.Low)
	of := &subject{id: ch}
	for end := rec.Top + 1; !of.left; {
		p, first, err := m.piece(of, rec, low, end)
		if err != nil {
			return fmt.Errorf("channel %s: %w", ch, err)
		}
		p.last = first == low
		if err := m.add(ctx, p); err != nil {
			return err
		}
		if p.last {
			return nil
		}
		end = first
	}
	return nil
}

// piece makes one of what lies below an offset, and says with which it begins.
func (m *mover) piece(of *subject, rec *store.Record, low, end uint64) (p parcel, first uint64, err error) {
	var pubs []*engine.Publication
	if low < end {
		pubs, err = m.store.Read(store.Range{ID: rec.ID, From: low, To: end - 1, Reverse: true, Limit: piecePubs, MaxBytes: pieceBytes})
		if err != nil {
			return p, 0, err
		}
		if len(pubs) == 0 || pubs[0].Offset != end-1 {
			return p, 0, fmt.Errorf("publication %d is missing", end-1)
		}
	}
	slices.Reverse(pubs)
	for {
		b := store.AppendEntry(nil, &store.Entry{
			Kind: store.Adopt, Channel: of.id,
			Retention: engine.Retention{Size: rec.Size, TTL: rec.TTL, MetaTTL: rec.MetaTTL, Durability: channel.Disk},
			Adoption:  &store.Adoption{Epoch: rec.Epoch, Top: rec.Top, Last: rec.Last, First: end - uint64(len(pubs)), Pubs: pubs},
		})
		if len(b) <= pieceBytes || len(pubs) < 2 {
			return parcel{of: of, bytes: b, pubs: len(pubs)}, end - uint64(len(pubs)), nil
		}
		pubs = pubs[len(pubs)/2:] // tags and the like were more than data
	}
}

// add puts a piece into the next request.
func (m *mover) add(ctx context.Context, p parcel) error {
	again := slices.ContainsFunc(m.parcels, func(q parcel) bool { return q.of == p.of })
	if again || len(m.parcels) == batchSize || m.bytes+len(p.bytes) > batchBytes {
		if err := m.flush(ctx); err != nil {
			return err
		}
	}
	if p.of.left {
		return nil // it cannot follow the one before
	}
	m.parcels, m.bytes = append(m.parcels, p), m.bytes+len(p.bytes)
	return nil
}

// flush sends what is ready, until the cluster has said of each piece what became of
// it.
func (m *mover) flush(ctx context.Context) error {
	rest := m.parcels
	m.parcels, m.bytes = nil, 0
	deadline := time.Now().Add(m.cfg.Patience)
	for wait := firstWait; len(rest) > 0; wait = min(2*wait, longWait) {
		var why error
		rest, why = m.send(ctx, rest)
		m.cfg.Progress(m.report)
		switch {
		case why == nil:
			continue
		case !m.cfg.Temporary(why) || time.Now().After(deadline):
			return fmt.Errorf("the move has not ended: %w", why)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	return nil
}

// send tries once, and returns what has to be tried again and why.
func (m *mover) send(ctx context.Context, parcels []parcel) (again []parcel, why error) {
	pieces := make([][]byte, len(parcels))
	for i := range parcels {
		pieces[i] = parcels[i].bytes
	}
	answers, err := m.cfg.Send(ctx, pieces)
	if err != nil {
		return parcels, err
	}
	for i, a := range answers {
		p := &parcels[i]
		switch {
		case a.Err == nil:
			m.arrived(p, a.There)
		case m.cfg.Temporary(a.Err):
			again, why = append(again, *p), a.Err
		default:
			p.of.left = true
			m.report.Left = append(m.report.Left, Left{Channel: p.of.id, Reason: a.Err.Error()})
		}
	}
	return again, why
}

func (m *mover) arrived(p *parcel, before bool) {
	m.report.Publications += p.pubs
	if before {
		m.report.Before += p.pubs
	}
	if p.last {
		m.report.Channels++
	}
}
