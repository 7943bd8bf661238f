package hub

// outbox is what a session still has to be sent: frames in order, the first
// perhaps partly written. A session without anything to send has none.
type outbox struct {
	frames [][]byte
	head   int // bytes of frames[0] that are written
	size   int // bytes not yet written
}

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

func (o *outbox) push(frame []byte) {
	o.frames = append(o.frames, frame)
	o.size += len(frame)
}

// gather is what to write next: the first frame as it is when it stands alone or
// is large, otherwise as many small ones as fit scratch, copied together.
func (o *outbox) gather(scratch []byte) []byte {
	first := o.frames[0][o.head:]
	if len(o.frames) == 1 || len(first) >= cap(scratch)/2 {
		return first
	}
	scratch = append(scratch[:0], first...)
	for _, f := range o.frames[1:] {
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
	for done < len(o.frames) && n >= len(o.frames[done]) {
		n -= len(o.frames[done])
		o.frames[done] = nil
		done++
	}
	o.head = n
	if done == len(o.frames) {
		o.frames, o.head = o.frames[:0], 0
		return
	}
	o.frames = append(o.frames[:0], o.frames[done:]...)
}

// enqueue puts a frame in line. What is in line when the shard has done its turn
// leaves in as few writes as possible; a session that does not keep up with more
// than OutboxMax is disconnected and resumes from history.
func (s *Session) enqueue(frame []byte) {
	if s.ended {
		return
	}
	if s.out == nil {
		s.out = s.shard.newOutbox()
	}
	s.out.push(frame)
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
		s.out.push(frame)
		s.out.wrote(n)
		s.limitOutbox()
	}
}

// limitOutbox disconnects a session that does not keep up; it resumes from
// history.
func (s *Session) limitOutbox() {
	if s.out.size > s.shard.hub.cfg.OutboxMax {
		s.shard.hub.count.outboxFull.Add(uint64(len(s.out.frames)))
		s.Disconnect(DisconnectSlow)
	}
}

// flushAt bounds what gathers for one session within a turn.
const flushAt = 32 << 10

// flush writes until the outbox is empty or the connection is full.
func (s *Session) flush() {
	for s.out != nil && !s.blocked && !s.ended {
		p := s.out.gather(s.shard.scratch)
		n, err := s.conn.Write(p)
		if err != nil {
			s.Disconnect(DisconnectWriteError)
			return
		}
		s.shard.sent += uint64(n)
		s.out.wrote(n)
		s.blocked = n < len(p)
		if s.out.size == 0 {
			s.shard.freeOutbox(s.out)
			s.out = nil
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
