package feed

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/bus"
	"github.com/fanfare-push/fanfare/internal/pack"
	"github.com/fanfare-push/fanfare/internal/store"
)

// This file is the encoding of protocol.go. What is decoded keeps parts of the
// bytes it was decoded from.

// message is one message; which fields are set depends on its kind.
type message struct {
	kind  kind
	from  string // node
	flags uint64
	id    uint64 // of a call, or of a wish to be fed

	shards []int
	tops   []top

	shard  int
	number uint64 // of an item in its shard; of a write among those of its edge
	memory bool
	ch     channel.ID
	epoch  string
	pub    *engine.Publication

	op   op
	base uint64
	body []byte // of a call or an answer

	status status
	part   int
	last   bool
}

// top is the number of what came last in a shard.
type top struct {
	shard  int
	number uint64
}

func appendFlag(dst []byte, set bool) []byte {
	if set {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendChannel(dst []byte, ch channel.ID) []byte {
	return pack.AppendString(pack.AppendString(dst, ch.App), ch.Name)
}

func appendPosition(dst []byte, p engine.Position) []byte {
	return binary.AppendUvarint(pack.AppendString(dst, p.Epoch), p.Offset)
}

// overhead is about what a message takes besides what it is about.
const overhead = 256

// append encodes the message.
func (m *message) append() []byte {
	size := overhead + len(m.body)
	if m.pub != nil {
		size += len(m.pub.Data)
	}
	dst := pack.AppendString(append(make([]byte, 0, size), version, byte(m.kind)), m.from)
	switch m.kind {
	case kindBeat:
		return binary.AppendUvarint(dst, m.flags)
	case kindListen:
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, m.id), uint64(len(m.shards)))
		for _, s := range m.shards {
			dst = binary.AppendUvarint(dst, uint64(s))
		}
		return dst
	case kindListening:
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, m.id), uint64(len(m.tops)))
		for _, t := range m.tops {
			dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(t.shard)), t.number)
		}
		return dst
	case kindItem:
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(m.shard)), m.number)
		dst = appendChannel(appendFlag(dst, m.memory), m.ch)
		dst = appendPosition(dst, engine.Position{Epoch: m.epoch, Offset: m.pub.Offset})
		return store.AppendPublication(pack.AppendString(dst, m.pub.Except), m.pub)
	case kindCall:
		dst = append(binary.AppendUvarint(dst, m.id), byte(m.op))
		return append(binary.AppendUvarint(binary.AppendUvarint(dst, m.number), m.base), m.body...)
	case kindAnswer:
		dst = append(binary.AppendUvarint(dst, m.id), byte(m.status))
		return append(appendFlag(binary.AppendUvarint(dst, uint64(m.part)), m.last), m.body...)
	default:
		panic("feed: a message of no kind")
	}
}

// reader takes a message apart.
type reader struct{ pack.Reader }

func (r *reader) flag() bool {
	b := r.Byte()
	r.Failed = r.Failed || b > 1
	return b == 1
}

func (r *reader) channel() channel.ID { return channel.ID{App: r.String(), Name: r.String()} }

func (r *reader) position() engine.Position {
	return engine.Position{Epoch: r.String(), Offset: r.Uvarint()}
}

func (r *reader) shard() int {
	s := r.Uvarint()
	if s >= bus.Shards {
		r.Failed = true
		return 0
	}
	return int(s)
}

// decode keeps parts of b. Errors: pack.ErrMalformed, or a version that is newer
// than this program.
func decode(b []byte) (*message, error) {
	r := reader{pack.Reader{B: b}}
	if err := r.Version(version, "message"); err != nil {
		return nil, err
	}
	m := &message{kind: kind(r.Byte()), from: r.String()}
	r.Failed = r.Failed || m.kind == 0 || m.kind >= kindUnknown || !bus.IsNode(m.from)
	switch m.kind {
	case kindBeat:
		m.flags = r.Uvarint()
	case kindListen:
		m.id = r.Uvarint()
		for range r.Count(1) {
			m.shards = append(m.shards, r.shard())
		}
	case kindListening:
		m.id = r.Uvarint()
		for range r.Count(2) {
			m.tops = append(m.tops, top{r.shard(), r.Uvarint()})
		}
	case kindItem:
		if err := r.item(m); err != nil {
			return nil, err
		}
	case kindCall:
		m.id, m.op, m.number, m.base = r.Uvarint(), op(r.Byte()), r.Uvarint(), r.Uvarint()
		m.body, r.B = r.B, nil
	case kindAnswer:
		m.id, m.status, m.part, m.last = r.Uvarint(), status(r.Byte()), int(r.Uvarint()), r.flag()
		m.body, r.B = r.B, nil
	}
	r.Failed = r.Failed || len(r.B) > 0
	if err := r.End("message"); err != nil {
		return nil, err
	}
	return m, nil
}

func (r *reader) item(m *message) error {
	m.shard, m.number, m.memory, m.ch = r.shard(), r.Uvarint(), r.flag(), r.channel()
	at, except := r.position(), r.String()
	if err := r.End("message"); err != nil {
		return err
	}
	pub, err := store.DecodePublication(r.B, at.Offset)
	if err != nil {
		return fmt.Errorf("message: %w", err)
	}
	pub.Except = except
	m.epoch, m.pub, r.B = at.Epoch, pub, nil
	return nil
}

// appendRequest encodes what is asked of a channel's history.
func appendRequest(dst []byte, req *engine.HistoryRequest) []byte {
	dst = pack.AppendString(dst, store.AppendEntry(nil, &store.Entry{Kind: store.Create, Channel: req.Channel, Retention: req.Retention}))
	limit := uint64(0) // of a negative one
	if req.Limit >= 0 {
		limit = uint64(req.Limit) + 1
	}
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, limit), uint64(max(req.MaxBytes, 0)))
	dst = appendFlag(appendFlag(dst, req.Reverse), req.Since != nil)
	if req.Since != nil {
		dst = appendPosition(dst, *req.Since)
	}
	return dst
}

func decodeRequest(b []byte) (req engine.HistoryRequest, err error) {
	r := reader{pack.Reader{B: b}}
	e, err := store.DecodeEntry(r.Bytes())
	if err != nil {
		return req, err
	}
	req.Channel, req.Retention = e.Channel, e.Retention
	req.Limit, req.MaxBytes, req.Reverse = int(r.Uvarint())-1, int(r.Uvarint()), r.flag()
	if r.flag() {
		since := r.position()
		req.Since = &since
	}
	return req, r.End("history request")
}

// appendPage encodes what of a result fits into so many bytes, at least one
// publication, and says what is left.
func appendPage(dst []byte, res *engine.HistoryResult, pubs []*engine.Publication, most int) (page []byte, rest []*engine.Publication) {
	dst = binary.AppendUvarint(appendPosition(dst, res.Top), res.Oldest)
	var list, scratch []byte
	n := 0
	for ; n < len(pubs); n++ {
		scratch = store.AppendPublication(scratch[:0], pubs[n])
		if n > 0 && len(dst)+len(list)+len(scratch)+3*binary.MaxVarintLen64 > most {
			break
		}
		list = pack.AppendString(binary.AppendUvarint(list, pubs[n].Offset), scratch)
	}
	return append(binary.AppendUvarint(dst, uint64(n)), list...), pubs[n:]
}

// maxPart is how many bytes of a history go into one message, unless it is of one
// publication.
const maxPart = 128 << 10

// decodePage adds a part to what has come of a result.
func decodePage(b []byte, res *engine.HistoryResult) error {
	r := reader{pack.Reader{B: b}}
	res.Top, res.Oldest = r.position(), r.Uvarint()
	for range r.Count(2) {
		offset := r.Uvarint()
		p, err := store.DecodePublication(r.Bytes(), offset)
		if err != nil {
			return err
		}
		res.Publications = append(res.Publications, p)
	}
	return r.End("history")
}

// statusOf says how a call has ended; certain is false where it is not known.
func statusOf(err error) (s status, certain bool) {
	switch {
	case err == nil:
		return statusOK, true
	case errors.Is(err, engine.ErrClosed):
		return 0, false
	case errors.Is(err, engine.ErrBusy):
		return statusBusy, true
	case errors.Is(err, engine.ErrReadOnly):
		return statusReadOnly, true
	case errors.Is(err, engine.ErrUnrecoverable):
		return statusUnrecoverable, true
	case errors.Is(err, engine.ErrQuota):
		return statusQuota, true
	}
	return statusFailed, true
}

// errorOf is what a status tells the caller.
func errorOf(s status, text []byte) error {
	switch s {
	case statusOK:
		return nil
	case statusBusy:
		return engine.ErrBusy
	case statusReadOnly:
		return engine.ErrReadOnly
	case statusUnrecoverable:
		return engine.ErrUnrecoverable
	case statusQuota:
		return engine.ErrQuota
	default:
		return fmt.Errorf("%w: %s", errFailed, text)
	}
}

// Errors that a call ends with beside those of the engine's contract.
var (
	errFailed   = errors.New("a core node has failed")
	errTooLarge = errors.New("is larger than NATS takes")
)
