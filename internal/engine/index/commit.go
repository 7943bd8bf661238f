package index

import (
	"fmt"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Request is one entry in its turn, and who waits for it.
type Request struct {
	Entry store.Entry
	// Skip says that the publication is not stored: it only takes its place in the
	// order, and is told.
	Skip bool
	// Repeat says that what is skipped was told before: the answer says so.
	Repeat bool
	// FromReserve says that it may be stored though the index is read-only.
	FromReserve bool
	// Until is when it is not worth waiting in a queue any more; zero: always is.
	Until time.Time
	Done  func(engine.PublishResult, error) // nil: nobody waits
}

// requestCost is what a request takes beside its publication.
const requestCost = 256

// Cost is what the request takes in RAM, roughly, in bytes.
func (r *Request) Cost() int64 {
	cost := int64(requestCost)
	if r.Entry.Pub != nil {
		cost += Cost(r.Entry.Pub)
	}
	if a := r.Entry.Adoption; a != nil {
		for _, p := range a.Pubs {
			cost += Cost(p)
		}
	}
	return cost
}

// Flight is a batch on its way to the disk, and what follows once it is there.
// Its methods are called on the goroutine that fills flights.
type Flight struct {
	x     *Index
	batch *store.Batch // nil: the index has failed, or nothing has to be stored
	begun int64        // when it was written; monotonic
	time  int64        // log time after it
	acts  []act
}

// act is what follows from one entry.
type act struct {
	hot  *hot // pinned; nil: nothing of the channel changes
	rec  store.Record
	ch   channel.ID
	pub  *engine.Publication // to be told, nil: none
	res  engine.PublishResult
	err  error
	done func(engine.PublishResult, error) // nil: nobody waits
}

// Begin begins the next flight. The one before was launched.
func (x *Index) Begin() *Flight {
	f := &Flight{x: x}
	if !x.health.failed.Load() {
		f.batch = x.store.NewBatch()
	}
	return f
}

// Batch is what the flight writes; nil once the index has failed.
func (f *Flight) Batch() *store.Batch { return f.batch }

// Apply applies an entry, and answers it once the flight has landed.
func (f *Flight) Apply(r *Request) { f.acts = append(f.acts, f.apply(r)) }

// apply makes of a request what will follow from it.
func (f *Flight) apply(r *Request) act {
	x, b := f.x, f.batch
	a := act{ch: r.Entry.Channel, done: r.Done}
	switch {
	case b == nil:
		a.err = ErrFailed
		return a
	case r.Skip:
		a.res.Duplicate = r.Repeat
		if !r.Repeat {
			a.pub = r.Entry.Pub
			a.pub.Time = max(b.Time(), r.Entry.Time)
		}
		return a
	case r.Entry.Kind == store.Tick:
		var none store.Record
		_, a.err = b.Apply(&r.Entry, &none)
		return a
	}
	h, err := x.hotForCommit(r.Entry.Channel)
	if err != nil {
		a.err = err
		return a
	}
	out, err := b.Apply(&r.Entry, &h.applied)
	if err != nil {
		x.unpin(h)
		a.err = err
		return a
	}
	a.hot, a.rec = h, h.applied
	a.res = engine.PublishResult{Position: out.Position, Duplicate: out.Duplicate}
	if r.Entry.Kind == store.Publish && !out.Duplicate {
		a.pub = r.Entry.Pub
	}
	return a
}

// hotForCommit pins a channel and sees that its applied state is known.
func (x *Index) hotForCommit(ch channel.ID) (*hot, error) {
	h := x.pin(ch)
	if h.known {
		return h, nil
	}
	rec, err := x.ensure(h)
	if err != nil {
		x.unpin(h)
		return nil, err
	}
	h.applied, h.known = rec, true
	return h, nil
}

// Launch writes the flight's batch and hands it to the finisher.
func (f *Flight) Launch() {
	b := f.batch
	if b != nil {
		f.time = b.Time()
		if err := f.write(b); err != nil {
			f.x.fail(err.Error())
			f.refuse(fmt.Errorf("%w: %w", ErrFailed, err))
		}
	}
	f.x.flights <- f
}

func (f *Flight) write(b *store.Batch) error {
	x := f.x
	f.batch = nil
	if b.Empty() {
		return b.Discard()
	}
	f.begun = x.monotonic()
	x.health.commitSince.Store(f.begun)
	defer x.health.commitSince.Store(0)
	if err := b.Commit(); err != nil {
		return err
	}
	f.batch = b
	return nil
}

// refuse makes err the answer to everything in the flight: nothing of it is told.
func (f *Flight) refuse(err error) {
	for i := range f.acts {
		f.acts[i].pub, f.acts[i].res, f.acts[i].err = nil, engine.PublishResult{}, err
	}
}

// Due reports whether something has expired at a log time.
func (x *Index) Due(now int64) bool {
	due, err := x.store.Due(now, 1)
	return err == nil && len(due) > 0
}

// Expire looks at up to MaxDue channels that the time index names at the
// flight's log time, in its order. The flight must hold nothing of them, and
// what was launched before it must be written. more says that there may be more
// to look at now; what fails does not make more.
func (f *Flight) Expire() (more bool) {
	x, b := f.x, f.batch
	if b == nil {
		return false
	}
	due, err := x.store.Due(b.Time(), MaxDue)
	if err != nil {
		x.cfg.Logger.Error("cannot see what expired", "error", err)
		return false
	}
	well := true
	for _, d := range due {
		h, err := x.hotForCommit(d.Channel)
		if err == nil {
			err = b.Expire(d, &h.applied)
			f.acts = append(f.acts, act{hot: h, ch: d.Channel, rec: h.applied})
		}
		if err != nil { // it would be named again at once
			well = false
			x.cfg.Logger.Error("cannot expire a channel", "channel", d.Channel.Name, "app", d.Channel.App, "error", err)
		}
	}
	x.count.expired.Add(uint64(len(due)))
	return well && len(due) == MaxDue
}
