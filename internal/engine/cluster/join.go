package cluster

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine/cluster/copies"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/journal"
	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/store"
)

const (
	joinTimeout = 5 * time.Second
	rejoinAfter = 100 * time.Millisecond
)

// errDiverged says that the log is not the one that was applied.
var errDiverged = errors.New("the log is another than the one that was applied")

// follow keeps the index of this node at the end of the log.
func (p *partition) follow() {
	select {
	case <-p.e.attached:
	case <-p.ctx.Done():
		return
	}
	for p.ctx.Err() == nil {
		err := p.join()
		if err == nil {
			err = p.tail()
		}
		if p.ctx.Err() != nil {
			return // close takes the index
		}
		p.leave(err)
		select {
		case <-p.ctx.Done():
		case <-time.After(rejoinAfter):
		}
	}
}

// tail applies what the log holds, until it cannot.
func (p *partition) tail() error {
	ctx, stop := context.WithCancelCause(p.ctx)
	defer stop(nil)
	p.mu.Lock()
	p.stopTail = stop
	p.mu.Unlock()
	err := p.journal.Tail(ctx, p.applied.Load(), p.take)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// leave closes the index: of what is under way nobody will hear here.
func (p *partition) leave(why error) {
	var newer *store.VersionError
	p.mu.Lock()
	p.stopTail = nil
	p.incarnation = 0
	followed := p.health.joining == ""
	p.mu.Unlock()
	if followed {
		p.e.cfg.Logger.Warn("log cannot be followed any more", "log", p.name, "reason", why)
	}
	p.why(why.Error())
	if err := p.closeIndex(); err != nil {
		p.e.cfg.Logger.Error("cannot close an index", "log", p.name, "error", err)
	}
	if errors.As(why, &newer) {
		<-p.ctx.Done() // another program must be started
	}
}

// patience is how long a log may not be followed before the operator is told: a
// cluster that forms, or elects, takes some time.
const patience = 5 * time.Second

// why says why there is no index now.
func (p *partition) why(reason string) {
	p.mu.Lock()
	h := &p.health
	if h.joining == "" || h.since.IsZero() {
		h.since = time.Now()
	}
	h.joining = reason
	tell := h.told != reason && time.Since(h.since) > patience
	if tell {
		h.told = reason
	}
	p.mu.Unlock()
	if tell {
		p.e.cfg.Logger.Warn("log cannot be followed", "log", p.name, "reason", reason)
	}
}

// join opens the index at a place from which the log goes on.
func (p *partition) join() error {
	ctx, cancel := context.WithTimeout(p.ctx, joinTimeout)
	defer cancel()
	if err := p.journal.Create(ctx); err != nil {
		return err
	}
	b, err := p.journal.Bounds(ctx)
	if err != nil {
		return err
	}
	incarnation, err := p.incarnationOf(ctx, b)
	if err != nil {
		return err
	}
	x, err := p.open(ctx, b, incarnation)
	if err != nil {
		return err
	}
	p.reconcile(x.Store())
	p.applied.Store(x.Store().Mark().Seq)
	p.index.Store(x)
	if p.e.feeder != nil {
		p.e.feeder.Doubt()
	}
	p.mu.Lock()
	p.incarnation = x.Store().Incarnation()
	p.health.joining, p.health.known = "", 0
	p.beyond = time.Time{}
	told := p.health.told != ""
	p.health.told = ""
	p.mu.Unlock()
	if told {
		p.e.cfg.Logger.Info("log is followed again", "log", p.name)
	}
	return nil
}

// errUnseen answers what has become part of an index that was copied, or of a log
// that is gone: where it stands was not seen here.
var errUnseen = errors.New("what became of the publication was not seen on this node")

// reconcile answers what is under way and will not be applied here: it is in the
// index already, or was made for another log.
func (p *partition) reconcile(s *store.Store) {
	upTo := s.Written(p.e.cfg.Node)
	if p.previous != 0 && p.previous != s.Incarnation() {
		upTo = math.MaxUint64
	}
	p.previous = s.Incarnation()
	p.abandon(upTo, errUnseen)
}

// incarnationOf reads it from the oldest message of the log; 0: the log holds
// none any more.
func (p *partition) incarnationOf(ctx context.Context, b journal.Bounds) (uint64, error) {
	if b.First > b.Last || b.Last == 0 {
		return 0, nil
	}
	m, err := p.journal.Get(ctx, b.First)
	if errors.Is(err, journal.ErrNotFound) {
		return 0, nil
	}
	return m.Incarnation, err
}

// open opens the index that is there, if the log goes on from it, or makes one.
func (p *partition) open(ctx context.Context, b journal.Bounds, incarnation uint64) (*index.Index, error) {
	x, err := p.openExisting(incarnation)
	if err != nil {
		return nil, err
	}
	if x != nil {
		why, err := p.unfit(ctx, b, x.Store().Mark())
		if err == nil && why == "" {
			return x, nil
		}
		if err := errors.Join(err, x.Close()); err != nil {
			return nil, err
		}
		p.e.cfg.Logger.Warn("index does not fit the log, another is made", "log", p.name, "reason", why)
	}
	p.ram = store.NewRAM() // of a memory log; nothing of the last is of use
	if b.First <= 1 && incarnation != 0 {
		if err := p.putAside(); err != nil {
			return nil, err
		}
		return p.openIndex(incarnation)
	}
	return p.openCopy(b, incarnation)
}

// putAside gives the index that is there, if any, another name: should the log
// be lost, it is all that is left of the history.
func (p *partition) putAside() error {
	there, err := store.Exists(p.fs(), p.dir)
	if err != nil {
		return err
	}
	aside := p.dir + ".old"
	if !there {
		aside = p.dir // what was never finished
	}
	if err := store.RemoveDir(p.fs(), aside); err != nil || !there {
		return err
	}
	return store.RenameDir(p.fs(), p.dir, aside)
}

// openCopy opens an index that another node has made. It is imported beside the
// one that is there, which goes only then.
func (p *partition) openCopy(b journal.Bounds, incarnation uint64) (*index.Index, error) {
	p.why(fmt.Sprintf("the log begins at message %d, an index is copied from another node", b.First))
	beside := p.dir + ".new"
	if err := store.RemoveDir(p.fs(), beside); err != nil {
		return nil, err
	}
	o, err := copies.Fetch(p.ctx, copies.Wanted{
		Conn: p.e.cfg.Conn, Prefix: p.e.cfg.Name, Log: p.name, Incarnation: incarnation, From: b.First,
		Import: func(incarnation uint64) (*store.Import, error) {
			cfg := p.storeConfig(incarnation)
			cfg.Dir = beside
			return store.NewImport(cfg)
		},
	})
	if errors.Is(err, copies.ErrNone) {
		return nil, p.nobody(b, err)
	}
	if err == nil {
		err = p.putAside()
	}
	if err == nil {
		err = store.RenameDir(p.fs(), beside, p.dir)
	}
	if err != nil {
		return nil, err
	}
	p.e.cfg.Logger.Info("an index was copied from another node", "log", p.name, "node", o.Node, "seq", o.Seq)
	p.fruitless = 0
	return p.openIndex(o.Incarnation)
}

// beginAnewAfter is how often nobody may have an index of a memory log before it
// is begun anew.
const beginAnewAfter = 20

// nobody is what to say when no node has an index of the log any more. What is on
// disk waits for a node that has; a memory log begins anew, in new epochs, once
// nobody is found for a while.
func (p *partition) nobody(b journal.Bounds, err error) error {
	err = fmt.Errorf("the log begins at message %d, and %w", b.First, err)
	if p.fruitless++; !p.memory || p.fruitless < beginAnewAfter {
		return err
	}
	p.fruitless = 0
	p.e.cfg.Logger.Warn("a memory log that nobody has an index of begins anew", "log", p.name)
	ctx, cancel := context.WithTimeout(p.ctx, joinTimeout)
	defer cancel()
	return errors.Join(err, p.journal.Delete(ctx))
}

// openExisting opens the index that is there; nil: there is none, or it is of
// another log.
func (p *partition) openExisting(incarnation uint64) (*index.Index, error) {
	if p.memory {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	if there, err := store.Exists(p.fs(), p.dir); err != nil || !there {
		return nil, err
	}
	x, err := p.openIndex(incarnation)
	if errors.Is(err, store.ErrOtherLog) {
		return nil, nil //nolint:nilnil // of another log is as good as none
	}
	return x, err
}

// beyondFor is how long a log must end before an index does, to be taken for
// another: a leader that has just come may not know all yet.
const beyondFor = 5 * time.Second

var errBeyond = errors.New("the log ends before what was applied of it; its leader may be new")

// wait reports whether to ask again.
func (p *partition) wait() bool {
	if p.beyond.IsZero() {
		p.beyond = time.Now()
	}
	return time.Since(p.beyond) < beyondFor
}

// unfit says why the log does not go on from what an index has applied; "": it
// does.
func (p *partition) unfit(ctx context.Context, b journal.Bounds, m store.Mark) (string, error) {
	switch {
	case m.Seq+1 < b.First:
		return fmt.Sprintf("it ends at message %d, the log begins at %d", m.Seq, b.First), nil
	case m.Seq > b.Last && p.wait():
		return "", errBeyond
	case m.Seq > b.Last:
		return fmt.Sprintf("it ends at message %d, the log at %d", m.Seq, b.Last), nil
	case m.Seq < b.First || m.Seq == 0:
		return "", nil // the message itself is gone
	}
	last, err := p.journal.Get(ctx, m.Seq)
	if err != nil {
		return "", err
	}
	if last.Mark != m {
		return fmt.Sprintf("message %d of the log is not the one that was applied", m.Seq), nil
	}
	return "", nil
}
