package index

import (
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Ring is the newest publications of a channel: dense, ending at its top. Its
// owner guards it.
type Ring struct {
	Pubs  []*engine.Publication
	Bytes int64
}

// ringOverhead is what a publication in RAM takes beside its data, roughly.
const ringOverhead = 160

// Cost is what a publication takes in RAM, roughly, in bytes.
func Cost(p *engine.Publication) int64 {
	n := ringOverhead + len(p.Data) + len(p.Event)
	for k, v := range p.Tags {
		n += 48 + len(k) + len(v)
	}
	if i := p.Info; i != nil {
		n += 96 + len(i.User) + len(i.Client) + len(i.ConnInfo) + len(i.ChanInfo)
	}
	return int64(n)
}

// First is the lowest offset in the ring, top+1 when it is empty.
func (r *Ring) First(top uint64) uint64 { return top + 1 - uint64(len(r.Pubs)) }

// Push appends and yields by how much the ring grew.
func (r *Ring) Push(p *engine.Publication) int64 {
	c := Cost(p)
	r.Pubs = append(r.Pubs, p)
	r.Bytes += c
	return c
}

// DropTo removes the oldest until at most n are left, and yields by how much the
// ring shrank.
func (r *Ring) DropTo(n int) (shrunk int64) {
	drop := len(r.Pubs) - n
	for i := range max(drop, 0) {
		shrunk += Cost(r.Pubs[i])
		r.Pubs[i] = nil
	}
	if drop > 0 {
		r.Pubs = r.Pubs[drop:]
	}
	if n == 0 {
		r.Pubs = nil
	}
	r.Bytes -= shrunk
	return shrunk
}

// FirstAfter is the lowest index whose publication is newer than a log time.
func (r *Ring) FirstAfter(horizon int64) int {
	lo, hi := 0, len(r.Pubs)
	for lo < hi {
		mid := (lo + hi) / 2
		if r.Pubs[mid].Time > horizon {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// Page cuts a window out of the ring. It fails when older publications than the
// ring holds are asked for.
func (r *Ring) Page(w *Window, req *engine.HistoryRequest, top uint64) ([]*engine.Publication, bool) {
	first := r.First(top)
	if !req.Reverse && w.From < first {
		return nil, false
	}
	left := store.Page{Limit: req.Limit, MaxBytes: req.MaxBytes}
	var pubs []*engine.Publication
	if !req.Reverse {
		for o := w.From; o <= w.To; o++ {
			p := r.Pubs[o-first]
			if !left.Takes(p) {
				break
			}
			pubs = append(pubs, p)
		}
		return pubs, true
	}
	for o := w.To; o >= w.From; o-- {
		if o < first {
			return nil, false
		}
		p := r.Pubs[o-first]
		if !left.Takes(p) {
			break
		}
		pubs = append(pubs, p)
	}
	return pubs, true
}

// Window is what a request asks for of a channel that stands somewhere and holds
// some of its offsets.
type Window struct {
	Result   engine.HistoryResult
	From, To uint64 // empty when From > To
}

// WindowOf is the window of a channel that stands at pos and holds the offsets
// from low on. It fails with ErrUnrecoverable; the result then holds only
// positions.
func WindowOf(req *engine.HistoryRequest, pos engine.Position, low uint64) (Window, error) {
	w := Window{Result: engine.HistoryResult{Top: pos, Oldest: low}, From: low, To: pos.Offset}
	if s := req.Since; s != nil {
		if s.Epoch != "" && s.Epoch != pos.Epoch || s.Offset > pos.Offset {
			return w, engine.ErrUnrecoverable
		}
		if req.Reverse {
			w.To = s.Offset - min(s.Offset, 1)
		} else {
			w.From = max(w.From, s.Offset+1)
		}
	}
	if req.Limit == 0 {
		w.To = 0
	}
	return w, nil
}
