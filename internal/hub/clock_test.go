package hub

import (
	"testing"
	"time"
)

// What is to happen after a while happens after a while, whatever the clock says;
// what is to happen at a time of the day does so.
func TestClockIsSet(t *testing.T) {
	for _, step := range []int64{-3_600_000, 3_600_000} {
		h := newHouse(t, func(c *Config) { c.Shards = 1 })
		pinged, fresh := h.connect("", nil), h.dial(nil)
		expires := h.connect("", nil)
		on(pinged.session, func() {
			sh := h.shards[0]
			expires.session.expireAt = sh.now + 5_000 - expiredGrace.Milliseconds()
			expires.session.arm()
			before := [3]int64{pinged.session.timer.due - sh.now, fresh.session.timer.due - sh.now, expires.session.timer.due}
			sh.now += step
			sh.clockSet(step)
			after := [3]int64{pinged.session.timer.due - sh.now, fresh.session.timer.due - sh.now, expires.session.timer.due}
			if step < 0 { // its ping comes before
				before[2], after[2] = 0, 0
			}
			if before != after {
				t.Errorf("set by %d: due %v, were due %v", step, after, before)
			}
			if wait := sh.wheel.wait(sh.now); wait < 0 || wait > DefaultPingInterval.Milliseconds() {
				t.Errorf("set by %d: nothing is due for %d ms", step, wait)
			}
		})
	}
}

// A clock that just runs is not set, however long a turn is away.
func TestClockRuns(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Shards = 1 })
	c := h.connect("", nil)
	on(c.session, func() {
		sh, due := h.shards[0], c.session.nextPing
		sh.tick(time.Now().Add(time.Hour))
		if c.session.nextPing != due {
			t.Errorf("moved by %d", c.session.nextPing-due)
		}
	})
}
