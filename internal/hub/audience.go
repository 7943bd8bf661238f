package hub

import (
	"sync"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// Observer is told what happens to channels, for those outside who want to know.
// Its methods are called on any goroutine and must neither block nor call the
// hub.
type Observer interface {
	// Changed says that the number of a channel's subscribers is, or was for a
	// moment, another; Hub.Audience tells it.
	Changed(ch channel.ID)
	// Member says that a user has come to a presence channel, or has left it, or did
	// so for a moment; Hub.IsMember tells which.
	Member(m Member)
	// Wants names the kinds of Tells that Tell is called with; it never changes.
	Wants() TellKinds
	// Tell is called with what has happened, on the goroutine that did it, in order
	// for each session, and does not wait.
	Tell(t Tell)
}

// audience tells channels how many subscribers they have.
type audience struct {
	mu    sync.Mutex
	due   map[channel.ID]struct{}
	timer *time.Timer
	done  bool
}

const (
	// smallAudience is told of every change; a larger one once in a while.
	smallAudience    = 100
	audienceInterval = time.Second
	// maxAudiences bounds the channels that wait to be told; those beyond are told
	// with their next change.
	maxAudiences = 10_000
)

// changed says that a channel's number of subscribers has changed.
func (h *Hub) changed(ch channel.ID) {
	if isOnline(ch) {
		return
	}
	if h.tells(TellAudience) {
		h.cfg.Observer.Changed(ch)
	}
	if h.cfg.TellCounts {
		h.audience.changed(ch, h)
	}
}

// Subscribers counts a channel's subscribers here.
func (h *Hub) Subscribers(ch channel.ID) int {
	_, _, n := h.topics.find(ch)
	return n
}

func (h *Hub) tellCount(ch channel.ID, n int) {
	h.broadcast(ch, Event{Kind: EventCount, Channel: ch.Name, Count: n}, 0)
}

// changed tells a small audience at once. The lock keeps what is read and what is
// sent in one order: the last number that is told is right.
func (a *audience) changed(ch channel.ID, h *Hub) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := h.Audience(ch); n > smallAudience {
		a.laterLocked(ch, h)
	} else if n > 0 {
		h.tellCount(ch, n)
	}
}

func (a *audience) laterLocked(ch channel.ID, h *Hub) {
	if a.done || len(a.due) >= maxAudiences {
		return
	}
	if a.due == nil {
		a.due = make(map[channel.ID]struct{})
		a.timer = time.AfterFunc(audienceInterval, func() { a.tell(h) })
	}
	a.due[ch] = struct{}{}
}

func (a *audience) tell(h *Hub) {
	a.mu.Lock()
	defer a.mu.Unlock()
	due := a.due
	a.due = nil
	for ch := range due {
		if n := h.Audience(ch); n > 0 {
			h.tellCount(ch, n)
		}
	}
}

func (a *audience) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done = true
	if a.timer != nil {
		a.timer.Stop()
	}
}
