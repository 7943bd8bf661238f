package limit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A bucket that is held is that of its key, for whoever else holds it or asks by the
// key, however long it has been full.
func TestHeld(t *testing.T) {
	s := NewSet[int](Rate{PerSecond: 1, Burst: 3}, 0)
	sweep := func(at time.Duration) {
		for i := range parts * 100 { // every part is looked at
			s.Take(at, 1000+i, 1)
		}
	}
	first := s.Hold(0, 1)
	sweep(2 * sweepEvery)
	second := s.Hold(2*sweepEvery, 1)
	for i, take := range []func() (time.Duration, bool){
		func() (time.Duration, bool) { return first.Take(2*sweepEvery, 1) },
		func() (time.Duration, bool) { return second.Take(2*sweepEvery, 1) },
		func() (time.Duration, bool) { return s.Take(2*sweepEvery, 1, 1) },
	} {
		if _, ok := take(); !ok {
			t.Errorf("take %d is refused", i)
		}
	}
	if wait, ok := first.Take(2*sweepEvery, 1); ok || wait != time.Second {
		t.Errorf("a fourth of three: %t, wait %s", ok, wait)
	}
	first.Release()
	first.Release()
	if _, ok := first.Take(0, 1<<40); !ok || first.Held() {
		t.Error("it has a limit after its release")
	}
	sweep(5 * sweepEvery)
	if _, kept := bucketOf(s, 1); !kept {
		t.Error("it was forgotten while somebody held it")
	}
	second.Release()
	sweep(8 * sweepEvery)
	if _, kept := bucketOf(s, 1); kept {
		t.Error("it is kept for nobody")
	}
	var none *Set[int]
	free := none.Hold(0, 1)
	if _, ok := free.Take(0, 1<<40); !ok {
		t.Error("no limit refuses")
	}
	free.Release()
}

func bucketOf[K comparable](s *Set[K], key K) (b *slot, kept bool) {
	for i := range s.parts {
		if b, kept = s.parts[i].buckets[key]; kept {
			return b, true
		}
	}
	return nil, false
}

// Who holds buckets of ever new keys shares one, once there are as many as may be.
func TestHeldIsBounded(t *testing.T) {
	const most = 4 * parts
	rate := Rate{PerSecond: 1, Burst: 5}
	s := NewSet[string](rate, most)
	let := 0
	var all []Held
	for i := range 20_000 {
		h := s.Hold(0, fmt.Sprint("key ", i))
		if _, ok := h.Take(0, 1); ok {
			let++
		}
		all = append(all, h)
	}
	if limit := most + parts*int(rate.Burst); let > limit || s.Len() > most {
		t.Errorf("%d were let through, at most %d are allowed; %d buckets", let, limit, s.Len())
	}
	for i := range all {
		all[i].Release()
	}
	if h := s.Hold(time.Hour, "somebody later"); s.Len() > most || !h.Held() {
		t.Error("there is no room once all are released")
	}
}

func TestHeldConcurrently(t *testing.T) {
	rate := Rate{PerSecond: 1, Burst: 100}
	s := NewSet[int](rate, 0)
	var let atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				h := s.Hold(0, 7)
				if _, ok := h.Take(0, 1); ok {
					let.Add(1)
				}
				if _, ok := s.Take(0, 7, 1); ok {
					let.Add(1)
				}
				h.Release()
			}
		})
	}
	all.Wait()
	if let.Load() != rate.Burst {
		t.Errorf("%d, want %d", let.Load(), rate.Burst)
	}
}

func BenchmarkHeld(b *testing.B) {
	s := NewSet[string](Rate{PerSecond: 1e6, Burst: 1e6}, 0)
	h, now := s.Hold(0, "ann"), time.Duration(0)
	for b.Loop() {
		now += time.Microsecond
		h.Take(now, 1)
	}
}
