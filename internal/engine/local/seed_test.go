package local

import (
	"fmt"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Names are chosen by clients; who knew where they end up could choose many for
// one lane.
func TestNamesAreHashedWithASeed(t *testing.T) {
	a, b := newLanes(), newLanes()
	place := func(l *lanes, ch channel.ID) int {
		at := l.of(ch)
		for i := range l.all {
			if at == &l.all[i] {
				return i
			}
		}
		return -1
	}
	same := 0
	const names = 256
	for i := range names {
		ch := channel.ID{App: "default", Name: fmt.Sprint("room-", i)}
		if place(a, ch) == place(b, ch) {
			same++
		}
	}
	if same == names {
		t.Error("two processes put every channel in the same lane")
	}
}
