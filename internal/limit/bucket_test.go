package limit

import (
	"math"
	"math/big"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestNewRate(t *testing.T) {
	tests := []struct {
		name      string
		perSecond int64
		burst     time.Duration
		least     int64
		want      Rate
		fill      time.Duration
	}{
		{"no limit", 0, time.Second, 100, Rate{}, 0},
		{"less than none", -1, time.Second, 1, Rate{}, 0},
		{"as in a second", 10, time.Second, 1, Rate{10, 10}, time.Second},
		{"five seconds", 10, 5 * time.Second, 1, Rate{10, 50}, 5 * time.Second},
		{"a part of a token", 1, time.Millisecond, 1, Rate{1, 1}, time.Second},
		{"at least", 10, time.Second, 100, Rate{10, 100}, 10 * time.Second},
		{"odd", 3, time.Second, 1, Rate{3, 3}, time.Second},
		{"huge", math.MaxInt64, time.Hour, 1, Rate{math.MaxInt64, MaxBurst}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := NewRate(tt.perSecond, tt.burst, tt.least); got != tt.want || got.Fill() != tt.fill {
				t.Errorf("%+v fills in %s, want %+v, %s", got, got.Fill(), tt.want, tt.fill)
			}
		})
	}
}

func TestBucket(t *testing.T) {
	type take struct {
		at   time.Duration
		n    int64
		ok   bool
		wait time.Duration
	}
	const ms, s = time.Millisecond, time.Second
	tests := []struct {
		name  string
		rate  Rate
		takes []take
	}{
		{"no limit", Rate{}, []take{{0, 1 << 40, true, 0}, {0, 1 << 40, true, 0}}},
		{"full at first", Rate{2, 3}, []take{{0, 1, true, 0}, {0, 2, true, 0}, {0, 1, false, 500 * ms}}},
		{"all or nothing", Rate{1, 5}, []take{{0, 4, true, 0}, {0, 2, false, s}, {0, 1, true, 0}}},
		{"the last nanosecond", Rate{1, 1}, []take{{0, 1, true, 0}, {s - 1, 1, false, 1}, {s, 1, true, 0}}},
		{"thirds are not rounded away", Rate{3, 3}, []take{
			{0, 3, true, 0}, {s / 3, 1, false, 1}, {s/3 + 1, 1, true, 0}, {s, 2, true, 0}, {s, 1, false, s/3 + 1},
		}},
		{"no more than full", Rate{10, 2}, []take{{0, 2, true, 0}, {time.Hour, 3, false, 200 * ms}, {time.Hour, 2, true, 0}, {time.Hour, 1, false, 100 * ms}}},
		{"more than it holds is never there", Rate{10, 2}, []take{{0, 3, false, 200 * ms}, {0, 2, true, 0}}},
		{"nothing costs nothing", Rate{1, 1}, []take{{0, 1, true, 0}, {0, 0, true, 0}, {0, -5, true, 0}, {0, 1, false, s}}},
		{"a clock that stands still or goes back", Rate{1, 1}, []take{{s, 1, true, 0}, {s, 1, false, s}, {0, 1, false, s}, {2 * s, 1, true, 0}}},
		{"before the origin", Rate{1, 1}, []take{{-time.Hour, 1, true, 0}, {-time.Hour, 1, false, s}}},
		{"for ever", Rate{1, MaxBurst}, []take{{0, MaxBurst, true, 0}, {math.MaxInt64, MaxBurst, true, 0}, {math.MaxInt64, 1, false, s}}},
		{"very fast", Rate{math.MaxInt64, MaxBurst}, []take{{0, MaxBurst, true, 0}, {0, 1, false, 1}, {1, MaxBurst, true, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b Bucket
			for i, take := range tt.takes {
				if wait, ok := b.Take(take.at, take.n, tt.rate); ok != take.ok || wait != take.wait {
					t.Errorf("take %d of %d at %s: %t, wait %s, want %t, %s", i, take.n, take.at, ok, wait, take.ok, take.wait)
				}
			}
		})
	}
}

// In no span of time is more let through than the burst and what the rate brings
// in it, whatever is asked for and when; and what is refused is let through after
// the wait that was told, but not before.
func TestBucketNeverLetsMoreThrough(t *testing.T) {
	type taken struct {
		at time.Duration
		n  int64
	}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		rate := Rate{PerSecond: 1 + r.Int64N(1<<r.IntN(31)), Burst: 1 + r.Int64N(1<<r.IntN(20))}
		var b Bucket
		var let []taken
		now := time.Duration(r.Int64N(1 << 40))
		for range 150 {
			now += time.Duration(r.Int64N(1 + int64(rate.Fill())/(1+r.Int64N(100))))
			n := 1 + r.Int64N(1+rate.Burst/(1+r.Int64N(50)))
			wait, ok := b.Take(now, n, rate)
			if !ok && n <= rate.Burst {
				early := b
				if _, early := early.Take(now+wait-1, n, rate); early {
					t.Fatalf("seed %d: %+v lets %d through %s before the wait is over", seed, rate, n, time.Duration(1))
				}
				now += wait
				if _, ok = b.Take(now, n, rate); !ok {
					t.Fatalf("seed %d: %+v refuses %d after its own wait of %s", seed, rate, n, wait)
				}
			}
			if ok {
				let = append(let, taken{now, n})
			}
		}
		// Used again and again: there are millions of pairs.
		var sum, got, may, operand big.Int
		unit, perSecond := big.NewInt(billion), big.NewInt(rate.PerSecond)
		burst := new(big.Int).Mul(big.NewInt(rate.Burst), unit)
		for i := range let {
			sum.SetInt64(0)
			for j := i; j < len(let); j++ {
				sum.Add(&sum, operand.SetInt64(let[j].n))
				got.Mul(&sum, unit)
				may.Mul(operand.SetInt64(int64(let[j].at-let[i].at)), perSecond)
				if may.Add(&may, burst); got.Cmp(&may) > 0 {
					t.Fatalf("seed %d: %+v let %s through in %s", seed, rate, &sum, let[j].at-let[i].at)
				}
			}
		}
	}
}

// Goroutines that ask as fast as they can get, together, what one would.
func TestSharedOnAClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rate := Rate{PerSecond: 100, Burst: 20}
		shared, start := NewShared(rate), time.Now()
		var let atomic.Int64
		var askers sync.WaitGroup
		for range 8 {
			askers.Go(func() {
				for time.Since(start) < 10*time.Second {
					wait, ok := shared.Take(time.Since(start), 1)
					if ok {
						let.Add(1)
					}
					time.Sleep(wait)
				}
			})
		}
		askers.Wait()
		passed := int64(time.Since(start) / time.Second)
		if n, most := let.Load(), rate.Burst+rate.PerSecond*(passed+1); n > most || n < rate.PerSecond*10 {
			t.Errorf("%d in %d s, want %d to %d", n, passed, rate.PerSecond*10, most)
		}
	})
}

func TestNothingIsNoLimit(t *testing.T) {
	if NewShared(Rate{}) != nil || NewSet[string](Rate{}, 0) != nil || NewCounts[string](0) != nil {
		t.Error("made for no limit")
	}
	var shared *Shared
	var set *Set[string]
	var counts *Counts[string]
	_, first := shared.Take(0, 1<<40)
	_, second := set.Take(0, "a", 1<<40)
	if !first || !second || !counts.Enter("a") {
		t.Error("refused")
	}
	counts.Leave("a")
	if counts.Of("a") != 0 || set.Len() != 0 {
		t.Error("counted")
	}
}

func BenchmarkBucket(b *testing.B) {
	var bucket Bucket
	rate, now := Rate{PerSecond: 1e6, Burst: 1e6}, time.Duration(0)
	for b.Loop() {
		now += time.Microsecond
		bucket.Take(now, 1, rate)
	}
}

func BenchmarkSet(b *testing.B) {
	s := NewSet[string](Rate{PerSecond: 1e6, Burst: 1e6}, 0)
	keys, now, i := []string{"ann", "ben", "cyd", "dot"}, time.Duration(0), 0
	for b.Loop() {
		now += time.Microsecond
		i++
		s.Take(now, keys[i%len(keys)], 1)
	}
}
