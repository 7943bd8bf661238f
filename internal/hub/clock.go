package hub

import "time"

// A session's timers are times of the day, because tokens expire at such. When the
// clock of the machine is set, what is to happen after a while moves with it:
// otherwise a clock that is set back by an hour would stop pings and deadlines for
// an hour, and one that is set forward would end every session that owes a pong.

// stepFrom is how far the clock may drift, in milliseconds, before it counts as set.
const stepFrom = 1000

// tick notes when a turn begins.
func (sh *Shard) tick(now time.Time) {
	before, turn := sh.now, sh.turn
	sh.turn, sh.now = now, now.UnixMilli()
	if turn.IsZero() {
		return
	}
	passed := now.Sub(turn).Milliseconds() // does not look at the clock on the wall
	if step := sh.now - before - passed; step > stepFrom || step < -stepFrom {
		sh.clockSet(step)
	}
}

func (sh *Shard) clockSet(step int64) {
	for _, s := range sh.sessions {
		sh.wheel.disarm(s)
	}
	for _, b := range sh.backings {
		if b.retryAt != 0 {
			b.retryAt += step
		}
	}
	sh.wheel.tick = sh.now / wheelTick
	for _, s := range sh.sessions {
		if s.ended {
			sh.wheel.arm(s, s.timer.due+step)
			continue
		}
		for _, at := range []*int64{&s.nextPing, &s.pongBy} {
			if *at != 0 {
				*at += step
			}
		}
		if !s.connected && s.expireAt != 0 {
			s.expireAt += step
		}
		s.arm()
	}
}
