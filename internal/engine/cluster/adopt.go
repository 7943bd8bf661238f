package cluster

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/index"
	"github.com/fanfare-push/fanfare/internal/store"
)

// Errors of Adopt beside those of engine.Publisher. ErrOtherChannel and ErrNotNext are
// those of the store.
var (
	// ErrNoPiece says that the bytes are no piece of a channel that this program can
	// read.
	ErrNoPiece = errors.New("no piece of a channel")
	// ErrTooLarge says that the piece does not fit into a message of the log.
	ErrTooLarge = errTooLarge

	ErrOtherChannel = store.ErrOtherChannel
	ErrNotNext      = store.ErrNotNext
)

// readable fails where a publication says that it is JSON and is not: it is written
// into frames as it is.
func readable(a *store.Adoption) error {
	isJSON := func(b []byte) bool { return len(b) == 0 || json.Valid(b) }
	for _, p := range a.Pubs {
		if !p.Binary && !isJSON(p.Data) || p.Info != nil && (!isJSON(p.Info.ConnInfo) || !isJSON(p.Info.ChanInfo)) {
			return fmt.Errorf("publication %d holds no JSON", p.Offset)
		}
	}
	return nil
}

// Adopt takes a piece of a channel of another log, an entry of store.Adopt as
// store.AppendEntry writes it; see store/adopt.go for what becomes of it. It is
// answered as a publish is: a majority has the piece on disk, and this node has
// applied it. Duplicate says that nothing of it was missing.
func (e *Engine) Adopt(piece []byte, done func(engine.PublishResult, error)) {
	en, err := store.DecodeEntry(piece)
	switch {
	case err != nil:
	case en.Kind != store.Adopt || !en.Retention.Kept() || en.Retention.Durability != channel.Disk:
		err = errors.New("not one of a channel on disk")
	default:
		err = readable(en.Adoption)
	}
	if err != nil {
		done(engine.PublishResult{}, fmt.Errorf("%w: %w", ErrNoPiece, err))
		return
	}
	if !e.door.Enter() {
		done(engine.PublishResult{}, engine.ErrClosed)
		return
	}
	p := e.of(en.Channel, channel.Disk)
	if x := p.index.Load(); x != nil {
		err = x.Writable(true)
	}
	if err == nil {
		err = p.submit(index.Request{Entry: en, Done: done}, e.cfg.PublishWait)
	}
	e.door.Leave()
	if err != nil {
		done(engine.PublishResult{}, err)
	}
}
