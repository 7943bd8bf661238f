package transports

import (
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// payload is the data of a message.
type payload struct {
	N   int    `json:"n"` // from 1
	Pad string `json:"pad"`
}

// lane is one way to receive, and what has come that way.
type lane struct {
	counter
	name  string
	ready chan struct{} // closed once what is published from then on arrives
	once  sync.Once
	sent  *ledger

	mu      sync.Mutex
	delays  []time.Duration
	seen    map[int]bool
	atStart int64         // bytes that opening took
	all     chan struct{} // closed when every message is here
}

func newLane(name string, sent *ledger) *lane {
	return &lane{name: name, ready: make(chan struct{}), sent: sent, seen: make(map[int]bool), all: make(chan struct{})}
}

// begin says that the lane receives.
func (l *lane) begin() { l.once.Do(func() { close(l.ready) }) }

// settle leaves out what opening the connection took.
func (l *lane) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.atStart = l.bytes.Load()
}

// take notes the arrival of a message.
func (l *lane) take(data []byte) {
	var p payload
	if json.Unmarshal(data, &p) != nil {
		return // somebody else's
	}
	delay, known := l.sent.since(p.N)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !known || l.seen[p.N] {
		return
	}
	l.seen[p.N] = true
	l.delays = append(l.delays, delay)
	if len(l.delays) == l.sent.size() {
		close(l.all)
	}
}

func (l *lane) result() Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Result{Transport: l.name, Received: len(l.delays), Requests: l.requests.Load(), Bytes: l.bytes.Load() - l.atStart}
	if len(l.delays) > 0 {
		sorted := slices.Sorted(slices.Values(l.delays))
		at := func(q float64) time.Duration { return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)] }
		r.Median, r.P95, r.Max = at(0.5), at(0.95), sorted[len(sorted)-1]
	}
	return r
}

// ledger knows when each message was sent.
type ledger struct {
	mu sync.Mutex
	at []time.Time // zero: not yet
}

func (s *ledger) size() int { return len(s.at) }

func (s *ledger) note(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[n-1] = time.Now()
}

func (s *ledger) since(n int) (time.Duration, bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < 1 || n > len(s.at) || s.at[n-1].IsZero() {
		return 0, false
	}
	return now.Sub(s.at[n-1]), true
}
