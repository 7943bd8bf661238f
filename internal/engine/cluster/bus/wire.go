package bus

import (
	"encoding/binary"
	"fmt"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/pack"
	"github.com/fanfare-push/fanfare/internal/store"
)

// This file is the encoding of protocol.go. What is decoded keeps parts of the
// bytes it was decoded from.

// message is one message; which fields are set depends on its kind.
type message struct {
	kind   kind
	from   string // node
	number uint64 // of a query or an answer: its id

	ch       channel.ID
	pub      *engine.Publication // Except included
	present  present             // of a join or leave
	brief    bool
	stream   int
	part     int  // of a list that is sent in several messages: 0, 1, 2 …
	last     bool // part of it
	state    []present
	sessions []*engine.ClientInfo
	name     string // of a node
	flags    uint64
	tops     []top
	streams  []int
	control  *engine.Control
	counts   []count
}

// present is a session on a channel.
type present struct {
	ch     channel.ID
	notice engine.Notice
	info   *engine.ClientInfo
}

// top is the number of what was said last in a stream.
type top struct {
	stream int
	number uint64
}

type count struct {
	key string
	n   uint64
}

// The least bytes that an element of a list takes.
const (
	sizeSession = 4
	sizePresent = 3 + sizeSession
	sizeTop     = 2
	sizeCount   = 2
)

func appendHead(dst []byte, k kind, from string) []byte {
	return pack.AppendString(append(dst, version, byte(k)), from)
}

func appendChannel(dst []byte, ch channel.ID) []byte {
	return pack.AppendString(pack.AppendString(dst, ch.App), ch.Name)
}

func appendSession(dst []byte, i *engine.ClientInfo) []byte {
	dst = pack.AppendString(pack.AppendString(dst, i.User), i.Client)
	return pack.AppendString(pack.AppendString(dst, i.ConnInfo), i.ChanInfo)
}

func appendPresent(dst []byte, p present) []byte {
	return appendSession(append(appendChannel(dst, p.ch), byte(p.notice)), p.info)
}

func appendCount(dst []byte, c count) []byte {
	return binary.AppendUvarint(pack.AppendString(dst, c.key), c.n)
}

func appendFlag(dst []byte, set bool) []byte {
	if set {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// append encodes the message.
func (m *message) append(dst []byte) []byte {
	dst = appendHead(dst, m.kind, m.from)
	switch m.kind {
	case kindPublication:
		dst = appendChannel(binary.AppendUvarint(dst, m.number), m.ch)
		return store.AppendPublication(pack.AppendString(dst, m.pub.Except), m.pub)
	case kindJoin, kindLeave:
		return appendPresent(binary.AppendUvarint(dst, m.number), m.present)
	case kindState:
		dst = binary.AppendUvarint(dst, uint64(m.stream))
		return appendList(m.appendPart(dst), m.state, appendPresent)
	case kindBeat:
		dst = binary.AppendUvarint(pack.AppendString(dst, m.name), m.flags)
		return appendList(dst, m.tops, func(dst []byte, t top) []byte {
			return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(t.stream)), t.number)
		})
	case kindAsk:
		return appendList(dst, m.streams, func(dst []byte, s int) []byte { return binary.AppendUvarint(dst, uint64(s)) })
	case kindQuery:
		return appendFlag(appendChannel(binary.AppendUvarint(dst, m.number), m.ch), m.brief)
	case kindAnswer:
		return appendList(m.appendPart(dst), m.sessions, appendSession)
	case kindControl:
		return appendControl(binary.AppendUvarint(dst, m.number), m.control)
	case kindCounts:
		return appendList(binary.AppendUvarint(dst, m.number), m.counts, appendCount)
	case kindShares:
		return appendList(m.appendPart(dst), m.counts, appendCount)
	default:
		panic("bus: a message of no kind")
	}
}

func (m *message) appendPart(dst []byte) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, m.number), uint64(m.part))
	return appendFlag(dst, m.last)
}

func appendList[T any](dst []byte, list []T, one func([]byte, T) []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, e := range list {
		dst = one(dst, e)
	}
	return dst
}

func appendControl(dst []byte, c *engine.Control) []byte {
	dst = pack.AppendString(append(dst, byte(c.Op)), c.App)
	dst = pack.AppendString(pack.AppendString(dst, c.User), c.Client)
	dst = appendList(dst, c.Except, pack.AppendString[string])
	dst = binary.AppendUvarint(pack.AppendString(dst, c.Channel), uint64(c.Code))
	dst = pack.AppendString(dst, c.Reason)
	o := &c.Options
	dst = pack.AppendString(pack.AppendString(dst, o.Info), o.Data)
	dst = appendFlag(binary.AppendUvarint(dst, uint64(o.ExpireAt)), o.Recover != nil)
	if o.Recover != nil {
		dst = binary.AppendUvarint(pack.AppendString(dst, o.Recover.Epoch), o.Recover.Offset)
	}
	return pack.AppendString(pack.AppendString(dst, c.Node), c.Data)
}

// reader takes a message apart.
type reader struct{ pack.Reader }

// decode keeps parts of b. Errors: pack.ErrMalformed, or a version that is newer
// than this program.
func decode(b []byte) (*message, error) {
	r := reader{pack.Reader{B: b}}
	if err := r.Version(version, "message"); err != nil {
		return nil, err
	}
	m := &message{kind: kind(r.Byte()), from: r.String()}
	r.Failed = r.Failed || m.kind == 0 || m.kind >= kindUnknown || !isNode(m.from)
	if !r.Failed {
		if err := r.body(m); err != nil {
			return nil, err
		}
	}
	r.Failed = r.Failed || len(r.B) > 0
	if err := r.End("message"); err != nil {
		return nil, err
	}
	return m, nil
}

func (r *reader) body(m *message) (err error) {
	switch m.kind {
	case kindPublication:
		m.number, m.ch = r.Uvarint(), r.channel()
		except := r.String()
		if m.pub, err = store.DecodePublication(r.B, 0); err != nil {
			return fmt.Errorf("message: %w", err)
		}
		m.pub.Except, r.B = except, nil
	case kindJoin, kindLeave:
		m.number, m.present = r.Uvarint(), r.present()
	case kindState:
		m.stream = r.stream(Shards)
		r.part(m)
		m.state = list(r, sizePresent, r.present)
	case kindBeat:
		m.name, m.flags = r.String(), r.Uvarint()
		m.tops = list(r, sizeTop, func() top { return top{r.stream(Shards + 1), r.Uvarint()} })
	case kindAsk:
		m.streams = list(r, 1, func() int { return r.stream(Shards + 1) })
	case kindQuery:
		m.number, m.ch, m.brief = r.Uvarint(), r.channel(), r.flag()
	case kindAnswer:
		r.part(m)
		m.sessions = list(r, sizeSession, r.session)
	case kindControl:
		m.number, m.control = r.Uvarint(), r.control()
	case kindCounts:
		m.number = r.Uvarint()
		m.counts = list(r, sizeCount, r.count)
	case kindShares:
		r.part(m)
		m.counts = list(r, sizeCount, r.count)
	}
	return nil
}

// list reads what appendList wrote; nil when empty.
func list[T any](r *reader, size int, one func() T) []T {
	n := r.Count(size)
	if n == 0 {
		return nil
	}
	l := make([]T, 0, n)
	for range n {
		if r.Failed {
			return nil
		}
		l = append(l, one())
	}
	return l
}

func (r *reader) channel() channel.ID { return channel.ID{App: r.String(), Name: r.String()} }

func (r *reader) session() *engine.ClientInfo {
	return &engine.ClientInfo{User: r.String(), Client: r.String(), ConnInfo: r.Bytes(), ChanInfo: r.Bytes()}
}

func (r *reader) present() present {
	return present{r.channel(), engine.Notice(r.Byte()), r.session()}
}

func (r *reader) count() count { return count{r.String(), r.Uvarint()} }

func (r *reader) stream(most int) int {
	s := r.Uvarint()
	if s >= uint64(most) {
		r.Failed = true
		return 0
	}
	return int(s)
}

func (r *reader) flag() bool {
	b := r.Byte()
	r.Failed = r.Failed || b > 1
	return b == 1
}

func (r *reader) part(m *message) {
	m.number, m.part, m.last = r.Uvarint(), int(r.Uvarint()), r.flag()
}

func (r *reader) control() *engine.Control {
	c := &engine.Control{Op: engine.ControlOp(r.Byte()), App: r.String(), User: r.String(), Client: r.String()}
	c.Except = list(r, 1, r.String)
	c.Channel, c.Code, c.Reason = r.String(), uint32(r.Uvarint()), r.String()
	c.Options = engine.SubscribeOptions{Info: r.Bytes(), Data: r.Bytes(), ExpireAt: int64(r.Uvarint())}
	if r.flag() {
		c.Options.Recover = &engine.Position{Epoch: r.String(), Offset: r.Uvarint()}
	}
	c.Node, c.Data = r.String(), r.Bytes()
	return c
}
