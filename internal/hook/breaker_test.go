package hook

import (
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	now := time.Unix(1000, 0)
	b := breaker{limit: 2, pause: time.Second}
	is := func(what string, allowed bool, state int64) {
		t.Helper()
		if got := b.allow(now); got != allowed || b.state.Load() != state {
			t.Errorf("%s: allowed %t, state %d", what, got, b.state.Load())
		}
	}
	is("new", true, stateClosed)
	b.failed(now)
	is("one failure", true, stateClosed)
	b.worked()
	b.failed(now)
	is("not in a row", true, stateClosed)
	if !b.failed(now) {
		t.Error("it has not opened")
	}
	is("two in a row", false, stateOpen)
	b.failed(now) // asked before it opened
	now = now.Add(time.Second)
	is("after the pause", true, stateHalfOpen)
	is("one at a time", false, stateHalfOpen)
	b.pass()
	is("nothing learnt", true, stateHalfOpen)
	b.failed(now)
	is("it failed", false, stateOpen)
	now = now.Add(time.Second)
	is("after another pause", true, stateHalfOpen)
	if !b.worked() {
		t.Error("it has not closed")
	}
	is("it works", true, stateClosed)
}
