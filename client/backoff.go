package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff spaces attempts: the n-th waits anything up to a ceiling that doubles
// from first to last ("full jitter"), so that clients which lost the same server
// do not come back together.
type backoff struct {
	first, last time.Duration
	attempt     int
}

// ceiling is the longest that the next attempt waits.
func (b *backoff) ceiling() time.Duration {
	c := b.first
	for range b.attempt {
		if c >= b.last {
			break
		}
		c *= 2
	}
	return min(c, b.last)
}

// next is how long to wait before the next attempt.
func (b *backoff) next() time.Duration {
	c := b.ceiling()
	b.attempt++
	return rand.N(c + 1)
}

// after starts over once something has gone well for longer than what an attempt
// would wait: a server that takes connections only to drop them is not stormed.
func (b *backoff) after(well time.Duration) {
	if well > b.ceiling() {
		b.attempt = 0
	}
}

// sleep waits, and reports why ctx ended if it did before.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
