package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/internal/channel"
)

// A node that gives way leads nothing afterwards, and nothing that is published
// meanwhile is lost, doubled, or in another order anywhere.
func TestStepDown(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 3, Config{})
	r := keep(1_000_000, channel.Disk)
	traffic := newTraffic(t, 6, r, c.at)
	for i, e := range c.engines {
		traffic.flows(fmt.Sprintf("before node %d gives way", i+1), 100)
		name := fmt.Sprintf("n%d", i+1)
		leads := func() (n int) {
			for _, p := range e.partitions() {
				if b, err := p.journal.Bounds(t.Context()); err != nil || b.Leader == name {
					n++ // or will be asked again
				}
			}
			return n
		}
		eventually(t, name+" leads nothing", func() bool {
			if err := e.StepDown(t.Context(), name); err != nil {
				t.Log(err) // there may be nobody to ask just now
			}
			return leads() == 0
		})
	}
	traffic.flows("at the end", 100)
	traffic.end(r, c.truth, c.all()...)
}

// While a log changes hands nothing is under way, and what is published waits.
func TestHold(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 1, Config{})
	e := c.engines[0]
	r := keep(10, channel.Disk)
	publish(t, e, named(0), r, "before")
	p := e.of(named(0), channel.Disk)
	held, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		p.hold(func() { close(held) })
	}()
	<-held
	waits := send(e, named(0), r, "meanwhile", "")
	select {
	case got := <-waits:
		select {
		case <-over: // it was held for as long as it may be
		default:
			t.Errorf("answered while the log is held: %+v", got)
		}
	case <-over:
		await(t, waits)
	}
	publish(t, e, named(0), r, "after")
}

// A new leader is heard of.
func TestElected(t *testing.T) {
	t.Parallel()
	c := newCrew(t, 3, Config{Logs: 1})
	elected := c.engines[2].disk[0].journal.Elected()
	if err := c.engines[0].disk[0].journal.StepDown(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-elected:
	case <-time.After(testPatience):
		t.Error("nothing is heard of another leader")
	}
}
