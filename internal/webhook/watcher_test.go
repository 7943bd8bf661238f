package webhook

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// TestWatcher plays what happens on channels: "a=2" says how many subscribers a
// channel has, "+x@p" and "-x@p" that a user came or left, "1s" that time passes,
// "end" that nothing follows.
func TestWatcher(t *testing.T) {
	tests := []struct{ name, happens, want string }{
		{"occupied and vacated", "a=1 a=0 3s", "occupied:a count:a=1 vacated:a"},
		{"not before its time", "a=1 a=0 2999ms", "occupied:a count:a=1"},
		{"back before it was told", "a=1 a=0 2s a=1 5s", "occupied:a count:a=1 count:a=1"},
		{"back, and gone again", "a=1 a=0 2s a=1 a=0 2s a=0 1s", "occupied:a count:a=1 count:a=1 vacated:a"},
		{"back after it was told", "a=1 a=0 3s a=2", "occupied:a count:a=1 vacated:a occupied:a count:a=2"},
		{"never occupied", "a=0 5s", ""},
		{"counts", "a=1 a=2 a=2 a=1", "occupied:a count:a=1 count:a=2 count:a=1"},
		{"no counts with presence", "presence-a=1 presence-a=2", "occupied:presence-a"},
		{"each by itself", "a=1 b=1 a=0 1s b=0 3s 1s", "occupied:a count:a=1 occupied:b count:b=1 vacated:a vacated:b"},
		{"a member", "p=1 +x@p -x@p p=0 3s", "occupied:p count:p=1 added:x@p removed:x@p vacated:p"},
		{"a member who comes back", "+x@p -x@p 2s +x@p 5s", "added:x@p"},
		{"a member who comes back and goes", "+x@p -x@p 2s +x@p -x@p 2s 1s", "added:x@p removed:x@p"},
		{"two members", "+x@p +y@p -x@p 1s -y@p +x@p 3s", "added:x@p added:y@p removed:y@p"},
		{"one user on two channels", "+x@p +x@q -x@p 3s", "added:x@p added:x@q removed:x@p"},
		{"the end", "a=1 +x@a -x@a a=0 b=1 end", "occupied:a count:a=1 added:x@a occupied:b count:b=1 removed:x@a vacated:a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var told []string
			w := newWatcher(3*time.Second, func(e Event) { told = append(told, short(e)) })
			now := time.Unix(1000, 0)
			for _, what := range strings.Fields(tt.happens) {
				play(t, w, what, &now)
			}
			if got := strings.Join(told, " "); got != tt.want {
				t.Errorf("told %s, want %s", got, tt.want)
			}
		})
	}
}

func play(t *testing.T, w *watcher, what string, now *time.Time) {
	t.Helper()
	id := func(name string) channel.ID { return channel.ID{App: channel.DefaultApp, Name: name} }
	name, n, isCount := strings.Cut(what, "=")
	user, ch, isMember := strings.Cut(what, "@")
	switch {
	case what == "end":
		w.end()
	case isCount:
		count := 0
		if _, err := fmt.Sscan(n, &count); err != nil {
			t.Fatal(err)
		}
		w.subscribers(id(name), count, *now)
	case isMember:
		w.member(id(ch), user[1:], user[0] == '+', *now)
	default:
		d, err := time.ParseDuration(what)
		if err != nil {
			t.Fatal(err)
		}
		*now = now.Add(d)
		w.expire(*now)
	}
}

func short(e Event) string {
	switch e.Name {
	case MemberAdded:
		return "added:" + e.UserID + "@" + e.Channel
	case MemberRemoved:
		return "removed:" + e.UserID + "@" + e.Channel
	case SubscriptionCount:
		return fmt.Sprintf("count:%s=%d", e.Channel, e.SubscriptionCount)
	}
	return strings.TrimPrefix(e.Name, "channel_") + ":" + e.Channel
}

// Nothing is left behind once everybody has gone.
func TestWatcherForgets(t *testing.T) {
	w := newWatcher(time.Second, func(Event) {})
	now := time.Unix(1000, 0)
	for i := range 1000 {
		ch := channel.ID{Name: fmt.Sprint("presence-", i%10)}
		w.subscribers(ch, i%3, now)
		w.member(ch, fmt.Sprint("u", i%7), i%2 == 0, now)
		now = now.Add(100 * time.Millisecond)
		w.expire(now)
	}
	for i := range 10 {
		w.subscribers(channel.ID{Name: fmt.Sprint("presence-", i)}, 0, now)
		for u := range 7 {
			w.member(channel.ID{Name: fmt.Sprint("presence-", i)}, fmt.Sprint("u", u), false, now)
		}
	}
	w.expire(now.Add(time.Second))
	if len(w.occupied)+len(w.here)+len(w.left)+len(w.due) != 0 {
		t.Errorf("left: %v %v %v %v", w.occupied, w.here, w.left, w.due)
	}
}

func TestNamesAreTold(t *testing.T) {
	var told []Event
	w := newWatcher(0, func(e Event) { told = append(told, e) })
	w.want = map[string]bool{ChannelOccupied: true, MemberRemoved: true}
	now := time.Unix(1000, 0)
	ch := channel.ID{Name: "a"}
	w.subscribers(ch, 1, now)
	w.member(ch, "x", true, now)
	w.member(ch, "x", false, now)
	w.subscribers(ch, 0, now)
	w.expire(now)
	names := make([]string, len(told))
	for i := range told {
		names[i] = told[i].Name
	}
	if !slices.Equal(names, []string{ChannelOccupied, MemberRemoved}) {
		t.Errorf("told %q", names)
	}
}
