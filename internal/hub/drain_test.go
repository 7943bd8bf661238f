package hub

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// TestDrainKeepsItsRate: sessions leave at the rate that was asked for, new ones
// are refused, and those that are still here go on.
func TestDrainKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, rate = 100, 20
		h := newHouse(t, nil)
		conns := make([]*fakeConn, clients)
		for i := range conns {
			conns[i] = h.connect("", nil)
			h.mustSubscribe(conns[i], "news")
		}
		gone := func() (n int) {
			for _, c := range conns {
				if c.end() != nil {
					n++
				}
			}
			return n
		}
		began, done := time.Now(), make(chan error, 1)
		go func() { done <- h.Drain(t.Context(), rate) }()
		for second := 1; second < clients/rate; second++ {
			time.Sleep(time.Second)
			synctest.Wait()
			if n := gone(); n < second*rate-1 || n > second*rate+2 {
				t.Errorf("after %d s %d are released", second, n)
			}
			if _, err := h.Enter("", netip.Addr{}); !errors.Is(err, ErrShutdown) {
				t.Fatalf("a new connection: %v", err)
			}
			h.publish("news", "1")
			synctest.Wait()
			for i, c := range conns {
				if c.end() == nil && len(c.lines()) < second {
					t.Errorf("%d is still here, and has only %q", i, c.lines())
				}
			}
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < (clients-1)/rate*time.Second || took > (clients/rate+1)*time.Second {
			t.Errorf("it took %v", took)
		}
		for _, c := range conns {
			if d := c.end(); d == nil || *d != DisconnectShutdown {
				t.Errorf("ended with %v", d)
			}
		}
		if !h.Leaving() || h.Draining() || h.Connections() != 0 {
			t.Error(h.Leaving(), h.Draining(), h.Connections())
		}
	})
}

// TestDrainEndsInTime: what is not released when the time is over is Shutdown's.
func TestDrainEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		conns := []*fakeConn{h.connect("", nil), h.connect("", nil), h.connect("", nil)}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if err := h.Drain(ctx, 1); !errors.Is(err, context.DeadlineExceeded) || h.Connections() != 1 {
			t.Errorf("%v, %d are left", err, h.Connections())
		}
		if err := h.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for _, c := range conns {
			if d := c.end(); d == nil || *d != DisconnectShutdown {
				t.Errorf("ended with %v", d)
			}
		}
	})
}

// TestDrainOfNobody: a node without clients is drained at once.
func TestDrainOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := newHouse(t, nil).Drain(t.Context(), 1); err != nil || time.Since(began) > 0 {
			t.Error(err, time.Since(began))
		}
	})
}
