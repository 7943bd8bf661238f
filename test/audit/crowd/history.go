package crowd

import (
	"context"
	"encoding/json"
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

// entry is a publication as the check knows it.
func entry(offset uint64, data json.RawMessage) (check.Entry, error) {
	var content struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(data, &content); err != nil {
		return check.Entry{}, fmt.Errorf("content of offset %d: %w", offset, err)
	}
	return check.Entry{Offset: offset, ID: content.ID, Sum: check.Sum(data)}, nil
}

// ends reads what every end holds of every channel, from its first publication to
// its last. The first end was told of all acknowledgements, or hears of it; the
// others are read until they stand where it does, or their time is over.
func (c *Crowd) ends(ctx context.Context) ([]check.Copy, error) {
	addrs, err := c.Ends(ctx)
	if err != nil {
		return nil, err
	}
	var all []check.Copy
	for i, addr := range addrs {
		one := check.Copy{Name: fmt.Sprintf("server %d of %d", i+1, len(addrs))}
		for n, l := range c.Loads {
			least := c.highest(l.Channel)
			if i > 0 {
				least = max(least, all[0].Channels[n].Top)
			}
			ch, err := c.end(ctx, addr, l.Channel, least)
			if err != nil {
				return nil, fmt.Errorf("history of %s at %s: %w", l.Channel, one.Name, err)
			}
			one.Channels = append(one.Channels, ch)
		}
		all = append(all, one)
	}
	return all, nil
}

// highest is the highest offset of a channel that a publisher was told.
func (c *Crowd) highest(channel string) (offset uint64) {
	for _, p := range c.pubs {
		if n := len(p.acks); p.load.Channel == channel && n > 0 {
			offset = max(offset, p.acks[n-1].Offset)
		}
	}
	return offset
}

// end is the history once it has come to least; what it holds then is for the
// check to judge, and so it is when it never comes to it.
func (c *Crowd) end(ctx context.Context, addr, name string, least uint64) (check.Channel, error) {
	deadline, cancel := context.WithTimeout(ctx, DrainTimeout)
	defer cancel()
	for {
		ch, err := c.history(ctx, addr, name)
		if err == nil && ch.Top >= least || err != nil && !temporary(err) {
			return ch, err
		}
		if pause(deadline, retryAfter) != nil {
			return ch, err
		}
	}
}

func (c *Crowd) history(ctx context.Context, addr, name string) (check.Channel, error) {
	ch := check.Channel{Name: name}
	request := map[string]any{"channel": name, "limit": pageSize}
	for {
		var p page
		if err := c.call(ctx, addr, "history", request, &p); err != nil {
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
	*Crowd
	random *rand.Rand
	reads  []check.Read
}

func (r *reader) run(ctx context.Context) error {
	for ctx.Err() == nil {
		l := r.Loads[r.random.IntN(len(r.Loads))]
		var p page
		addr, err := r.Find(ctx, r.random.IntN(len(r.pubs)), r.random)
		if err == nil {
			err = r.call(ctx, addr, "history", map[string]any{"channel": l.Channel, "limit": readLimit, "reverse": true}, &p)
		}
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
			r.reads = append(r.reads, check.Read{Channel: l.Channel, Epoch: p.Epoch, Entries: entries})
		}
		_ = pause(ctx, upTo(r.random, readPause))
	}
	return nil
}
