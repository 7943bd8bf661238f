package hub

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Names are chosen by clients. Where they end up differs in each process, so that
// nobody can choose many for one place.
func TestNamesAreHashedWithASeed(t *testing.T) {
	a, b := newTopics(1), newTopics(1)
	place := func(t *topics, id channel.ID) int {
		at := t.stripe(id)
		for i := range t.stripes {
			if at == &t.stripes[i] {
				return i
			}
		}
		return -1
	}
	same := 0
	const names = 256
	for i := range names {
		id := channel.ID{App: "default", Name: fmt.Sprint("room-", i)}
		if place(a, id) == place(b, id) {
			same++
		}
	}
	if same == names {
		t.Error("two processes put every channel in the same place")
	}
}

// A token that is valid for longer than the protocols can say is not one that has
// nearly expired.
func TestExpiryThatIsTooFar(t *testing.T) {
	s := &Session{shard: &Shard{now: 1000}}
	for at, want := range map[int64]uint32{0: 0, 500: 1, 3000: 2, (1<<32 + 10) * 1000: math.MaxUint32, math.MaxInt64: math.MaxUint32} {
		if got := s.expiresIn(at); got != want {
			t.Errorf("%d: %d s, want %d", at, got, want)
		}
	}
}

// With backtracking this would not end before the test does.
func TestPatternsDoNotBlowUp(t *testing.T) {
	name := strings.Repeat("a", channel.MaxNameLength)
	pattern := strings.Repeat("a*", channel.MaxNameLength/2) + "b"
	if matchGlob(pattern, name) || !matchGlob(pattern, name[:channel.MaxNameLength-1]+"b") {
		t.Error("wrong match")
	}
}
