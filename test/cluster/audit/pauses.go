package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// pauses notes for how long no publication to a channel is acknowledged. Channels
// that are silent by themselves do not count.
type pauses struct {
	mu       sync.Mutex
	channels map[string]*flow
}

// flow is what is known of one channel.
type flow struct {
	last time.Time     // acknowledgement
	most time.Duration // between two since begin
	acks int
}

func newPauses() *pauses {
	p := &pauses{channels: map[string]*flow{}}
	for _, l := range loads {
		if l.Pause <= paceOf {
			p.channels[l.Channel] = &flow{last: time.Now()}
		}
	}
	return p
}

func (p *pauses) acked(channel string) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.channels[channel]; f != nil {
		f.most, f.last = max(f.most, now.Sub(f.last)), now
		f.acks++
	}
}

// begin forgets the pauses before now.
func (p *pauses) begin() {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.channels {
		f.most, f.last = 0, now
	}
}

// longest is the longest pause of a channel since begin or longest. One that lasts
// counts now, and again when it has ended.
func (p *pauses) longest() (most time.Duration) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.channels {
		most = max(most, f.most, now.Sub(f.last))
		f.most = 0
	}
	return most
}

// flow says whether every channel was acknowledged something since it was called.
func (p *pauses) flow() func() (bool, string) {
	before := p.acks()
	return func() (bool, string) {
		silent := []string{}
		for name, n := range p.acks() {
			if n == before[name] {
				silent = append(silent, name)
			}
		}
		slices.Sort(silent)
		return len(silent) == 0, "nothing on " + strings.Join(silent, ", ")
	}
}

func (p *pauses) acks() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	acks := map[string]int{}
	for name, f := range p.channels {
		acks[name] = f.acks
	}
	return acks
}

// row is what is told of one fault. Times that were not measured are 0.
type row struct {
	number   int
	fault    string
	before   time.Duration // longest pause in the undisturbed time before it
	pause    time.Duration // longest pause while it lasted
	after    time.Duration // longest pause from its end until all was well again
	presence time.Duration // from the death of a node until presence was right on the others
	limit    time.Duration // the same until its connections do not count any more
	unready  time.Duration // until who has no majority said so in /ready
	took     time.Duration // until all was well again
	note     string
}

const format = "| %3s | %-44s | %10s | %10s | %10s | %10s | %10s | %10s | %10s | %s |\n"

func (r *row) String() string {
	return strings.TrimSuffix(fmt.Sprintf(format, fmt.Sprint(r.number), r.fault, text(r.before), text(r.pause), text(r.after), text(r.presence), text(r.limit), text(r.unready), text(r.took), r.note), "\n")
}

func text(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	if d < time.Millisecond {
		return "< 1 ms"
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// table is one row for each fault.
func (r *result) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, format, "", "fault", "before", "pause", "after", "presence", "limit", "not ready", "all well", "note")
	fmt.Fprintf(&b, format, "--:", "---", "--:", "--:", "--:", "--:", "--:", "--:", "--:", "---")
	for i := range r.rows {
		fmt.Fprintln(&b, r.rows[i].String())
	}
	return b.String()
}
