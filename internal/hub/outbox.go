package hub

import "github.com/fanfare-push/fanfare/internal/channel"

// outbox is what a session still has to be sent: frames in order, the first
// perhaps partly written. A session without anything to send has none.
type outbox struct {
	frames []waiting
	head   int // bytes of frames[0] that are written
	size   int // bytes not yet written
}

// waiting is one frame in line.
type waiting struct {
	bytes []byte
	of    *subscription // that may lose it when its session is slow; nil: never lost
	key   string        // what a newer one of the same key replaces
}

// waitingCost is about what a frame in line takes beside its bytes. Without it a
// flood of pings from a peer that reads nothing would take thirty times OutboxMax.
const waitingCost = 64

// Limits of what a shard keeps for re-use: outboxes, and frames in one of them.
const (
	maxSpareOutboxes = 1024
	maxSpareFrames   = 64
)

// newOutbox and freeOutbox keep empty outboxes on the shard: only sessions with
// something to send hold one.
func (sh *Shard) newOutbox() *outbox {
	last := len(sh.spare) - 1
	if last < 0 {
		return new(outbox)
	}
	o := sh.spare[last]
	sh.spare = sh.spare[:last]
	return o
}

func (sh *Shard) freeOutbox(o *outbox) {
	if cap(o.frames) <= maxSpareFrames && len(sh.spare) < maxSpareOutboxes {
		sh.spare = append(sh.spare, o)
	}
}

func (o *outbox) push(w waiting) {
	o.frames = append(o.frames, w)
	o.size += len(w.bytes)
}

// untouched is the index of the first frame of which nothing is written.
func (o *outbox) untouched() int {
	if o.head > 0 {
		return 1
	}
	return 0
}

// drop takes out the untouched frames that lose says, and returns how many.
func (o *outbox) drop(lose func(*waiting) bool) (n uint64) {
	rest := o.frames[:o.untouched()]
	for i := len(rest); i < len(o.frames); i++ {
		if w := &o.frames[i]; lose(w) {
			o.size -= len(w.bytes)
			n++
			continue
		}
		rest = append(rest, o.frames[i])
	}
	clear(o.frames[len(rest):])
	o.frames = rest
	return n
}

// gather is what to write next: the first frame as it is when it stands alone or
// is large, otherwise as many small ones as fit scratch, copied together.
func (o *outbox) gather(scratch []byte) []byte {
	first := o.frames[0].bytes[o.head:]
	if len(o.frames) == 1 || len(first) >= cap(scratch)/2 {
		return first
	}
	scratch = append(scratch[:0], first...)
	for i := range o.frames[1:] {
		f := o.frames[i+1].bytes
		if len(scratch)+len(f) > cap(scratch) {
			break
		}
		scratch = append(scratch, f...)
	}
	return scratch
}

// wrote takes n bytes off the front.
func (o *outbox) wrote(n int) {
	o.size -= n
	n += o.head
	done := 0
	for done < len(o.frames) && n >= len(o.frames[done].bytes) {
		n -= len(o.frames[done].bytes)
		done++
	}
	o.head = n
	left := copy(o.frames, o.frames[done:])
	clear(o.frames[left:])
	o.frames = o.frames[:left]
}

// enqueue puts a frame in line. What is in line when the shard has done its turn
// leaves in as few writes as possible; a session that does not keep up with more
// than OutboxMax loses what may be lost, or is disconnected and resumes from
// history.
func (s *Session) enqueue(frame []byte) { s.line(waiting{bytes: frame}) }

func (s *Session) line(w waiting) {
	if s.ended {
		return
	}
	if s.out == nil {
		s.out = s.shard.newOutbox()
	}
	s.out.push(w)
	switch {
	case s.blocked:
		s.limitOutbox()
	case s.out.size >= flushAt:
		s.flush()
	case !s.dirty:
		s.dirty = true
		s.shard.dirty = append(s.shard.dirty, s)
	}
}

// push sends a frame at once if nothing waits before it and nothing else is under
// way on the shard; otherwise it is put in line.
func (s *Session) push(frame []byte, alone bool) {
	if !alone || s.out != nil || s.blocked || s.ended {
		s.enqueue(frame)
		return
	}
	n, err := s.conn.Write(frame)
	if err != nil {
		s.Disconnect(DisconnectWriteError)
		return
	}
	s.shard.sent += uint64(n)
	if n < len(frame) {
		s.blocked = true
		s.out = s.shard.newOutbox()
		s.out.push(waiting{bytes: frame})
		s.out.wrote(n)
		s.limitOutbox()
	}
}

// limitOutbox ends what has grown too large for a session that does not keep up:
// the oldest frames that may be lost go first; where that is not enough the
// session does, and resumes from history.
func (s *Session) limitOutbox() {
	over := s.out.size + waitingCost*len(s.out.frames) - s.shard.hub.cfg.OutboxMax
	if over <= 0 {
		return
	}
	s.shard.hub.count.dropOldest.Add(s.out.drop(func(w *waiting) bool {
		if over <= 0 || w.of == nil {
			return false
		}
		over -= len(w.bytes) + waitingCost
		return true
	}))
	if over > 0 {
		s.shard.hub.count.outboxFull.Add(uint64(len(s.out.frames)))
		s.Disconnect(DisconnectSlow)
	}
}

// enqueueOf puts a frame in line that the subscription may lose. For a session
// that is behind, slow_consumer latest keeps the newest of each key only.
func (s *Session) enqueueOf(sub *subscription, b *broadcast) {
	w := waiting{bytes: b.frameOf(s), of: sub}
	if w.bytes == nil {
		return
	}
	if sub.options.SlowConsumer == channel.KeepLatest {
		if name := sub.options.ConflateKey; name != "" {
			w.key = b.event.Publication.Tags[name]
		}
		if s.blocked && s.out != nil {
			s.shard.hub.count.conflated.Add(s.out.drop(func(old *waiting) bool { return old.of == sub && old.key == w.key }))
		}
	}
	s.line(w)
}

// flushAt bounds what gathers for one session within a turn.
const flushAt = 32 << 10

// flush writes until the outbox is empty or the connection is full.
func (s *Session) flush() {
	for s.out != nil && !s.blocked && !s.ended {
		p := s.out.gather(s.shard.scratch)
		n, err := s.conn.Write(p)
		if err != nil {
			s.out = nil // the goodbye does not try again
			s.Disconnect(DisconnectWriteError)
			return
		}
		s.shard.sent += uint64(n)
		s.out.wrote(n)
		s.blocked = n < len(p)
		if s.out.size == 0 {
			s.shard.freeOutbox(s.out)
			s.out = nil
			if len(s.shard.unsent) > 0 {
				s.sentAll()
			}
		} else if s.blocked {
			s.limitOutbox()
		}
	}
}

// Writable says that the connection takes bytes again; called by the transport.
func (s *Session) Writable() {
	s.blocked = false
	s.flush()
}
