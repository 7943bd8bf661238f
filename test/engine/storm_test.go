package engine

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	storm   = 10_000
	workers = 50 // each with its share of the storm: the race detector bounds goroutines
)

// crowd is every connection of a storm, a share for each worker.
type crowd struct {
	n      *node
	shares [workers][]*client
	told   atomic.Int64 // how often a client was told to come back later
}

// each runs fn for every client at once, one after the other within a share.
func (w *crowd) each(fn func(c *client) error) {
	w.n.t.Helper()
	var wg sync.WaitGroup
	failed := make(chan error, workers)
	for _, share := range w.shares[:] {
		wg.Go(func() {
			for _, c := range share {
				if err := fn(c); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	for err := range failed {
		w.n.t.Fatal(err)
	}
}

// gather dials every connection and says nothing yet.
func gather(n *node, total int) *crowd {
	n.t.Helper()
	return gatherAnd(n, total, func(*client) error { return nil })
}

// arrive is a crowd whose sessions open one after the other.
func arrive(n *node, total int, channel string) *crowd {
	n.t.Helper()
	return gatherAnd(n, total, func(c *client) error { return c.open(channel) })
}

func gatherAnd(n *node, total int, then func(*client) error) *crowd {
	n.t.Helper()
	w := &crowd{n: n}
	n.t.Cleanup(w.leave)
	var wg sync.WaitGroup
	var err error
	var mu sync.Mutex
	for i := range workers {
		wg.Go(func() {
			for range total / workers {
				c, derr := n.dial(n.t.Context())
				if derr == nil {
					w.shares[i] = append(w.shares[i], c)
					derr = then(c)
				}
				if derr != nil {
					mu.Lock()
					err = errors.Join(err, derr)
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	if err != nil {
		n.t.Fatal(err)
	}
	return w
}

func (w *crowd) leave() {
	for i, share := range w.shares[:] {
		for _, c := range share {
			_ = c.raw.Close()
		}
		w.shares[i] = nil
	}
}

// admit reads the answer to an upgrade that is on its way, and asks again while it
// is 503, on the same connection, as a client that has waited would.
func (w *crowd) admit(c *client) error {
	for {
		status, header, err := c.answer()
		if err != nil {
			return err
		}
		switch status {
		case http.StatusSwitchingProtocols:
			return nil
		case http.StatusServiceUnavailable:
			if after, err := strconv.Atoi(header.Get("Retry-After")); err != nil || after < 1 {
				return fmt.Errorf("503 with Retry-After %q", header.Get("Retry-After"))
			}
			w.told.Add(1)
		default:
			return fmt.Errorf("HTTP %d", status)
		}
		if _, err := io.WriteString(c, upgrade); err != nil {
			return err
		}
	}
}

// join brings the crowd in: every upgrade is under way before any answer is read.
func (w *crowd) join(channel string) {
	w.n.t.Helper()
	w.each(func(c *client) error { _, err := io.WriteString(c, upgrade); return err })
	w.each(w.admit)
	w.each(func(c *client) error { return c.subscribe(channel) })
}

// TestStorm: 10,000 connect at once. Beyond the gate they are told to come back,
// in the end all are in, and one publication reaches each of them once.
func TestStorm(t *testing.T) {
	const gate = 4
	n := start(t, fmt.Sprintf("max_handshakes: %d", gate), "", nil)
	w := gather(n, storm)
	w.join("cut:storm")
	n.untilSessions(storm)
	if told, counted := float64(w.told.Load()), n.metric(`fanfare_drops_total{reason="handshake_limit"}`); told != counted || told == 0 {
		t.Errorf("%v were told to come back, %v are counted", told, counted)
	}
	n.publish("cut:storm", "to everybody", nil)
	n.publish("cut:storm", "once", nil)
	for _, want := range []string{`"to everybody"`, `"once"`} {
		w.each(func(c *client) error {
			p, err := c.publication()
			if err == nil && string(p.Push.Pub.Data) != want {
				err = fmt.Errorf("%s, want %s", p.Push.Pub.Data, want)
			}
			return err
		})
	}
	w.leave()
	n.untilSessions(0)
}

// TestNothingIsLeft: after clients have come and gone, in every way to go, the
// server holds what it held before: no descriptor, no goroutine, no byte.
func TestNothingIsLeft(t *testing.T) {
	eachMode(t, "", "memory_return: 100ms\n", func(n *node) {
		crowdSize, spareHeap := 1000, float64(1<<20) // 260 bytes for each session that came and went
		if n.tls {
			crowdSize = 250 // at 1 KiB each; one that is left behind holds 9
		}
		cycle := func() {
			w := arrive(n, crowdSize, "cut:cycle")
			n.publish("cut:cycle", "under way while they go", nil)
			var way atomic.Int64
			w.each(func(c *client) error {
				switch way.Add(1) % 3 {
				case 0:
					c.reset()
				case 1: // half of a frame
					_, _ = c.Write(frame(`{"id":3,"ping":{}}`)[:8])
					_ = c.raw.Close()
				default: // a close frame, masked with zeros
					_, _ = c.Write([]byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8})
					_ = c.raw.CloseWrite()
				}
				return nil
			})
			n.untilSessions(0)
			w.leave()
		}
		cycle() // what is made once is made now
		fds, goroutines := n.metric("process_open_fds"), n.metric("go_goroutines")
		heap := n.settled("go_memstats_heap_alloc_bytes")
		rss := n.settled("process_resident_memory_bytes")
		for range 4 {
			cycle()
		}
		const spare = 8 // connections of this test's own calls
		n.until("process_open_fds", func(v float64) bool { return v <= fds+spare })
		n.until("go_goroutines", func(v float64) bool { return v <= goroutines+2*spare })
		n.until("go_memstats_heap_alloc_bytes", func(v float64) bool { return v <= heap+spareHeap })
		n.until("process_resident_memory_bytes", func(v float64) bool { return v <= rss+8<<20 })
	})
}
