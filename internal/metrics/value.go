package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Counter counts up. An increment is one atomic addition, so hot paths keep the
// pointer and use it directly.
type Counter struct {
	n     atomic.Uint64
	bound atomic.Pointer[func() uint64]
}

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Bind adds what fn returns to the counter, for a number that its owner counts
// itself. fn must never go down, must not block, and is called at each scrape;
// a second Bind replaces the first.
func (c *Counter) Bind(fn func() uint64) { c.bound.Store(&fn) }

// Value is the count now.
func (c *Counter) Value() uint64 {
	n := c.n.Load()
	if fn := c.bound.Load(); fn != nil {
		n += (*fn)()
	}
	return n
}

// Gauge goes up and down.
type Gauge struct {
	n     atomic.Int64
	bound atomic.Pointer[func() int64]
}

// Set replaces the value.
func (g *Gauge) Set(n int64) { g.n.Store(n) }

// Add adds n, which may be negative.
func (g *Gauge) Add(n int64) { g.n.Add(n) }

// Bind adds what fn returns to the gauge; rules as for Counter.Bind.
func (g *Gauge) Bind(fn func() int64) { g.bound.Store(&fn) }

// Value is the value now.
func (g *Gauge) Value() int64 {
	n := g.n.Load()
	if fn := g.bound.Load(); fn != nil {
		n += (*fn)()
	}
	return n
}

// Counters are the counters of one name by the values of its labels. All of them
// exist, at 0, from the start.
type Counters[K comparable] struct {
	of    map[K]*Counter
	other *Counter
}

// Of returns the counter of k; for a k outside the closed list the one labelled
// "other". Hot paths call it once and keep the result.
func (c Counters[K]) Of(k K) *Counter {
	if counter := c.of[k]; counter != nil {
		return counter
	}
	return c.other
}

// Histogram counts values by size. An observation is a search in a short list
// and two atomic additions.
type Histogram struct{ observer prometheus.Observer }

// Observe counts one value.
func (h Histogram) Observe(v float64) { h.observer.Observe(v) }

// Took counts one duration, in seconds.
func (h Histogram) Took(d time.Duration) { h.observer.Observe(d.Seconds()) }

// Sum is the count of all of them.
func (c Counters[K]) Sum() (n uint64) {
	for _, one := range c.of {
		n += one.Value()
	}
	return n + c.other.Value()
}
