package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/journal"
	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/store"
)

// message is one message of this node, from when it is made until it is applied
// here.
type message struct {
	requests []index.Request
	settled  chan struct{} // closed once it was applied, or is given up
	late     *time.Timer   // of a stored one that is not applied; partition.mu guards it
}

// How a message is appended.
const (
	maxMessage   = 512 << 10 // bytes; one entry alone may be larger
	maxUnapplied = 64        // messages stored but not applied here, before the next is made
	// A leader that has gone or stepped down meanwhile never answers. So a message is
	// sent again, which is harmless, once an answer takes much longer than usual.
	minPatience = 60 * time.Millisecond
	maxPatience = 500 * time.Millisecond
	muchLonger  = 8
	firstRetry  = 5 * time.Millisecond
	maxRetry    = 50 * time.Millisecond
	stuckAfter  = time.Second
	lateAfter   = 30 * time.Millisecond // stored and not applied, before the log is looked at
)

var errTooLarge = errors.New("larger than NATS takes")

// write makes messages of what is queued, one after the other. The next is made
// only when it is known what has become of the last: so they are stored in the
// order in which they were made, and sending one again cannot store it after
// another.
func (p *partition) write() {
	for {
		if len(p.left) == 0 {
			batch, _, open := p.queue.Take(nil)
			if !open {
				return
			}
			p.left = batch
		}
		incarnation := p.joined()
		if len(p.left) == 0 {
			continue // all were refused meanwhile
		}
		if incarnation == 0 {
			return // close answers what is left
		}
		select {
		case p.turn <- struct{}{}:
		case <-p.ctx.Done():
			return
		}
		if m, b := p.pack(incarnation); m != nil {
			p.append(m, b)
		}
		<-p.turn
		if !p.makeRoom() {
			return
		}
	}
}

// joined waits until the log is known; 0: the engine closes, or nobody waits.
func (p *partition) joined() uint64 {
	for {
		p.mu.Lock()
		incarnation := p.incarnation
		p.mu.Unlock()
		if incarnation != 0 {
			return incarnation
		}
		p.refuseOverdue()
		p.refuseLeft()
		if len(p.left) == 0 {
			return 0
		}
		select {
		case <-p.ctx.Done():
			return 0
		case <-time.After(firstRetry):
		}
	}
}

// pack makes the next message of what is left; nil when the first entry does not
// fit into any, which is answered, or the log was left.
func (p *partition) pack(incarnation uint64) (*message, []byte) {
	entries := make([]store.Entry, len(p.left))
	now := p.e.now()
	for i := range p.left {
		p.left[i].Entry.Time = now
		entries[i] = p.left[i].Entry
	}
	p.made++
	b, taken := journal.Encode(incarnation, p.e.cfg.Node, p.made, entries, min(maxMessage, p.journal.MaxMessage()))
	requests := slices.Clone(p.left[:taken])
	p.left = p.left[taken:]
	if most := p.journal.MaxMessage(); len(b) > most {
		answer(&requests[0], fmt.Errorf("publication of %d bytes: %w, %d", len(b), errTooLarge, most))
		return nil, nil
	}
	m := &message{requests: requests, settled: make(chan struct{})}
	p.mu.Lock()
	if p.incarnation != incarnation { // the log was left meanwhile, and may be another
		p.mu.Unlock()
		p.left = append(requests, p.left...)
		return nil, nil
	}
	p.pending[p.made] = m
	p.mu.Unlock()
	p.window = append(p.window, m)
	return m, b
}

// append sends a message until it is stored, or was applied here, or is certain
// not to be stored ever.
func (p *partition) append(m *message, b []byte) {
	id := fmt.Sprintf("%s-%d", p.e.cfg.Node, p.made)
	certain := true // no attempt so far can have stored it
	began := time.Now()
	defer func() {
		p.mu.Lock()
		p.health.stuck = time.Time{}
		p.mu.Unlock()
		p.refusing.Store(false)
	}()
	patience := min(max(muchLonger*p.pace, minPatience), maxPatience/2)
	for wait := firstRetry; ; wait = min(2*wait, maxRetry) {
		sent, elected := time.Now(), p.journal.Elected()
		outcome := p.attempt(m, id, b, patience, elected)
		patience = min(2*patience, maxPatience)
		switch outcome {
		case journal.Stored:
			p.pace += (time.Since(sent) - p.pace) / 8
			p.expect(m)
			return
		case journal.Unknown:
			certain = false
			p.journal.Hurry() // it may have been stored, and the answer lost
		case journal.Refused:
		}
		if outcome == journal.Refused || time.Since(began) >= stuckAfter {
			p.mu.Lock()
			p.health.stuck = began
			p.mu.Unlock()
		}
		if time.Since(began) > p.e.cfg.PublishWait {
			if certain {
				p.settle(p.made, engine.ErrBusy)
				return
			}
			p.refusing.Store(true)
		}
		p.refuseOverdue()
		p.refuseLeft()
		select {
		case <-m.settled:
			return
		case <-p.ctx.Done():
			return
		case <-elected:
			wait = firstRetry // whom the last attempt went to leads no more
		case <-time.After(wait):
		}
		p.count.resent.Add(1)
	}
}

// attempt ends early when the message turns up in the log, or somebody else leads
// it.
func (p *partition) attempt(m *message, id string, b []byte, patience time.Duration, elected <-chan struct{}) journal.Outcome {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-m.settled:
			cancel()
		case <-elected:
			cancel()
		case <-stop:
		}
	}()
	outcome, err := p.journal.Append(ctx, id, b)
	if err != nil && p.ctx.Err() == nil {
		p.e.cfg.Logger.Debug("append", "log", p.name, "error", err)
	}
	return outcome
}

// expect sees to it that a message that is stored is applied soon.
func (p *partition) expect(m *message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-m.settled:
	default:
		m.late = time.AfterFunc(lateAfter, p.journal.Hurry)
	}
}

// makeRoom waits until not too much is stored and not applied.
func (p *partition) makeRoom() (open bool) {
	for len(p.window) > 0 {
		if len(p.window) <= maxUnapplied {
			select {
			case <-p.window[0].settled:
			default:
				return true
			}
		}
		select {
		case <-p.window[0].settled:
			p.window = p.window[1:]
		case <-p.ctx.Done():
			return false
		}
	}
	return true
}

// settle ends a message that was not applied.
func (p *partition) settle(count uint64, err error) {
	if m := p.remove(count); m != nil {
		for i := range m.requests {
			answer(&m.requests[i], err)
		}
	}
}

// remove is the message of that count, which is under way no more; nil: it was
// not.
func (p *partition) remove(count uint64) *message {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.pending[count]
	if m != nil {
		delete(p.pending, count)
		close(m.settled)
		if m.late != nil {
			m.late.Stop()
		}
	}
	return m
}

// oldest is some message that is under way; nil: none is.
func (p *partition) oldest() *message {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.pending {
		return m
	}
	return nil
}

// abandon answers all that is under way up to a count.
func (p *partition) abandon(upTo uint64, err error) {
	p.mu.Lock()
	var counts []uint64
	for c := range p.pending {
		if c <= upTo {
			counts = append(counts, c)
		}
	}
	p.mu.Unlock()
	slices.Sort(counts)
	for _, c := range counts {
		p.settle(c, err)
	}
}

// refuseOverdue answers what has waited too long in the queue: it was never
// sent, so nothing of it is stored.
func (p *partition) refuseOverdue() {
	p.mu.Lock()
	waiting := !p.health.stuck.IsZero() || p.incarnation == 0
	p.mu.Unlock()
	if !waiting {
		return // it is on its way, however long the queue
	}
	for _, r := range p.queue.Overdue(time.Now()) {
		p.count.overdue.Add(1)
		answer(&r, engine.ErrBusy)
	}
}

// refuseLeft does the same for what the writer holds.
func (p *partition) refuseLeft() {
	now := time.Now()
	p.left = slices.DeleteFunc(p.left, func(r index.Request) bool {
		overdue := now.After(r.Until)
		if overdue {
			p.count.overdue.Add(1)
			answer(&r, engine.ErrBusy)
		}
		return overdue
	})
}
