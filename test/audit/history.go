package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/fanfare-push/fanfare/test/audit/check"
	"github.com/fanfare-push/fanfare/test/wire"
)

const (
	pageSize  = 1000
	readLimit = 20 // the newest publications that a reader looks at
	readPause = 30 * time.Millisecond
)

type page struct {
	Publications []wire.Publication `json:"publications"`
	Offset       uint64             `json:"offset"`
	Epoch        string             `json:"epoch"`
}

func (p *page) entries() ([]check.Entry, error) {
	entries := make([]check.Entry, 0, len(p.Publications))
	for _, pub := range p.Publications {
		e, err := entry(pub.Offset, pub.Data)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// histories reads every channel from its first publication to its last.
func (a *audit) histories(ctx context.Context) ([]check.Channel, error) {
	var all []check.Channel
	for _, l := range loads {
		ch, err := a.history(ctx, l.channel)
		if err != nil {
			return nil, fmt.Errorf("history of %s: %w", l.channel, err)
		}
		all = append(all, ch)
	}
	return all, nil
}

func (a *audit) history(ctx context.Context, name string) (check.Channel, error) {
	ch := check.Channel{Name: name}
	request := map[string]any{"channel": name, "limit": pageSize}
	for {
		var p page
		if err := a.call(ctx, "history", request, &p); err != nil {
			return ch, err
		}
		entries, err := p.entries()
		if err != nil {
			return ch, err
		}
		if ch.Epoch != "" && p.Epoch != ch.Epoch {
			return ch, fmt.Errorf("the epoch changes from %s to %s between pages", ch.Epoch, p.Epoch)
		}
		ch.Epoch, ch.Top = p.Epoch, p.Offset
		ch.Entries = append(ch.Entries, entries...)
		if len(entries) == 0 || entries[len(entries)-1].Offset >= p.Offset {
			return ch, nil
		}
		request["since"] = map[string]any{"offset": entries[len(entries)-1].Offset, "epoch": ch.Epoch}
	}
}

// reader reads the newest publications while the run goes on: what can be read
// must be there in the end.
type reader struct {
	*audit
	random *rand.Rand
	reads  []check.Read
}

func (r *reader) run(ctx context.Context) error {
	for ctx.Err() == nil {
		l := loads[r.random.IntN(len(loads))]
		var p page
		err := r.call(ctx, "history", map[string]any{"channel": l.channel, "limit": readLimit, "reverse": true}, &p)
		switch {
		case over(ctx, err):
			return nil
		case err != nil && !temporary(err):
			return fmt.Errorf("reader: %w", err)
		case err == nil:
			entries, err := p.entries()
			if err != nil {
				return err
			}
			for i, j := 0, len(entries)-1; i < j; i, j = i+1, j-1 {
				entries[i], entries[j] = entries[j], entries[i]
			}
			r.reads = append(r.reads, check.Read{Channel: l.channel, Epoch: p.Epoch, Entries: entries})
		}
		_ = pause(ctx, upTo(r.random, readPause))
	}
	return nil
}
