package limit

import (
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSetKeepsKeysApart(t *testing.T) {
	s := NewSet[string](Rate{PerSecond: 1, Burst: 2}, 0)
	for _, key := range []string{"a", "b"} {
		for i, want := range []bool{true, true, false} {
			if _, ok := s.Take(0, key, 1); ok != want {
				t.Errorf("%s, %d: %t", key, i, ok)
			}
		}
	}
	if wait, ok := s.Take(time.Second/2, "a", 1); ok || wait != time.Second/2 {
		t.Errorf("%t, wait %s", ok, wait)
	}
	if _, ok := s.Take(time.Second, "a", 1); !ok {
		t.Error("nothing came in a second")
	}
}

// Keys that ask for nothing any more are forgotten, those that are owed nothing yet
// are not.
// What is given back can be taken again, and no more than the bucket holds.
func TestGive(t *testing.T) {
	s := NewSet[string](Rate{1, 10}, 0)
	take := func(n int64, want bool) {
		t.Helper()
		if _, ok := s.Take(0, "a", n); ok != want {
			t.Errorf("%d: %t", n, ok)
		}
	}
	take(8, true)
	s.Give(0, "a", 3)
	take(6, false)
	take(5, true)
	s.Give(0, "b", 5)
	take(1, false)
	s.Give(0, "a", math.MaxInt64)
	s.Give(0, "a", -5)
	take(11, false)
	take(10, true)
	take(1, false)
	NewSet[string](Rate{}, 0).Give(0, "a", 1)
}

func TestSetForgetsFullBuckets(t *testing.T) {
	s := NewSet[int](Rate{PerSecond: 10, Burst: 10}, 0)
	const many = 100_000
	for i := range many {
		s.Take(0, i, 1)
	}
	if n := s.Len(); n != many {
		t.Fatalf("%d buckets, want %d", n, many)
	}
	later := 2 * sweepEvery
	for i := range parts * 100 { // every part is used
		s.Take(later, many+i, 10)
	}
	if n := s.Len(); n != parts*100 {
		t.Errorf("%d buckets are left, want %d", n, parts*100)
	}
	if _, ok := s.Take(later, many, 1); ok {
		t.Error("a bucket in use was forgotten")
	}
}

// Who comes with ever new keys is kept in ever new buckets for as long as they are
// not full, and never in more than there may be.
func TestSetIsBounded(t *testing.T) {
	const most = 4 * parts
	rate := Rate{PerSecond: 1, Burst: 5}
	s := NewSet[string](rate, most)
	let := 0
	const keys = 100_000
	for i := range keys {
		if _, ok := s.Take(0, fmt.Sprint("key ", i), 1); ok {
			let++
		}
		if i%1000 == 0 && s.Len() > most {
			t.Fatalf("%d buckets, at most %d are allowed", s.Len(), most)
		}
	}
	// Each bucket that is kept, and one for the others of each part.
	if limit := most + parts*int(rate.Burst); let > limit {
		t.Errorf("%d of %d were let through, at most %d are allowed", let, keys, limit)
	}
	if _, ok := s.Take(time.Hour, "somebody later", 5); !ok {
		t.Error("there is no room once all buckets are full")
	}
}

func TestSetConcurrently(t *testing.T) {
	s := NewSet[int](Rate{PerSecond: 1, Burst: 10}, 0)
	var mu sync.Mutex
	let := map[int]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				if _, ok := s.Take(0, i%50, 1); ok {
					mu.Lock()
					let[i%50]++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	for key, n := range let {
		if n != 10 {
			t.Errorf("%d: %d, want 10", key, n)
		}
	}
}

func TestCounts(t *testing.T) {
	c := NewCounts[string](2)
	for i, want := range []bool{true, true, false} {
		if c.Enter("a") != want {
			t.Errorf("%d of a: not two of each", i+1)
		}
	}
	if !c.Enter("b") {
		t.Error("none of b")
	}
	c.Leave("a")
	if !c.Enter("a") || c.Enter("a") || c.Of("a") != 2 || c.Of("b") != 1 {
		t.Error("a place that was left is not free, or more than one is")
	}
	for range 2 {
		c.Leave("a")
	}
	c.Leave("b")
	for i := range c.parts {
		if n := len(c.parts[i].n); n != 0 {
			t.Errorf("%d keys are kept for nobody", n)
		}
	}
}

// A flood is counted whole and logged once a second, with what was left out.
func TestReport(t *testing.T) {
	var log strings.Builder
	counted := 0
	handler := slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	r := NewReport("connects_per_ip", func() { counted++ }, slog.New(handler))
	for i := range 2500 {
		r.Refused(time.Duration(i)*time.Millisecond, "192.0.2.1\nlevel=ERROR")
	}
	want := strings.Join([]string{
		`level=WARN msg="limit reached" limit=connects_per_ip who="192.0.2.1\nlevel=ERROR" suppressed=0`,
		`level=WARN msg="limit reached" limit=connects_per_ip who="192.0.2.1\nlevel=ERROR" suppressed=999`,
		`level=WARN msg="limit reached" limit=connects_per_ip who="192.0.2.1\nlevel=ERROR" suppressed=999`, "",
	}, "\n")
	if got := log.String(); got != want || counted != 2500 {
		t.Errorf("counted %d, logged\n%s", counted, got)
	}
}
