package store

import (
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestFilterForgetsNothing(t *testing.T) {
	r := newRecentKeys(Log{})
	key := func(i int) uint64 { return r.hash(batchKey{uint64(i % 7), strconv.Itoa(i)}) }
	const n = 200_000 // more than the first parts hold
	for i := range n {
		r.add(5, key(i))
	}
	wrong := 0
	for i := range n {
		if !r.mayHold(5, key(i)) {
			t.Fatalf("key %d is forgotten", i)
		}
		if r.mayHold(5, key(n+i)) {
			wrong++
		}
	}
	if wrong > n/10 {
		t.Errorf("%d of %d are taken for known", wrong, n)
	}
	if r.mayHold(4, key(1)) || r.mayHold(6, key(1)) {
		t.Error("other periods hold it too")
	}
	r.add(6, key(1))
	r.add(7, key(2))
	if !r.mayHold(6, key(1)) || !r.mayHold(7, key(2)) || r.mayHold(5, key(1)) {
		t.Error("it does not keep the last two periods")
	}
}

func TestFilterHasALimit(t *testing.T) {
	r := newRecentKeys(Log{})
	for i := range 3 * keysPerBlock * maxBlocks {
		r.add(0, uint64(i)*0x9e3779b97f4a7c15)
	}
	blocks := 0
	for _, p := range r.filters[0].filter.parts {
		blocks += len(p.blocks)
	}
	if blocks > 2*maxBlocks {
		t.Errorf("%d blocks", blocks)
	}
}

// After a restart nothing is known of periods that had begun.
func TestFilterAfterRestart(t *testing.T) {
	fsys := vfs.NewMem()
	s, closeNow := mustOpen(t, fsys, testDir)
	if s.recent.mayHold(0, 1) {
		t.Error("a new store looks up keys")
	}
	publish(t, s, 1)
	closeNow()
	s, _ = mustOpen(t, fsys, testDir)
	if !s.recent.mayHold(0, 1) || s.recent.mayHold(1, 1) {
		t.Error("it takes what it has not seen for known, or the other way round")
	}
}
