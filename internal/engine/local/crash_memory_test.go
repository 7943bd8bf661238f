package local

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// event is something that somebody saw of the engine, or asked it for.
type event struct {
	kind   eventKind
	name   string // of the channel
	key    string // of the publication, from its tag
	pos    engine.Position
	time   int64 // of the publication
	at     int64 // by the node's clock
	damage bool  // the data are not what the key's publisher sent
}

type eventKind uint8

const (
	evAsked   eventKind = iota // somebody began to publish
	evAcked                    // and was answered
	evTold                     // the Follower
	evRead                     // in a history
	evTop                      // the position of a channel
	evRemoved                  // a history was, up to pos at least
)

// memory is all that anybody has seen, and so what must still hold.
type memory struct {
	channels map[string]*knownChannel
	pending  map[string]string // keys without an answer, to their channels
	asked    map[string]int64  // keys, to when they were first published
	recent   []knownKey        // acknowledged, oldest first

	acks, tolds, reads, ended int
}

type knownKey struct {
	name, key string
	at        engine.Position
}

// knownChannel is the present epoch of a channel.
type knownChannel struct {
	epoch   string
	before  map[string]bool // epochs that have ended
	top     uint64
	content map[uint64]knownPub
	where   map[string]uint64 // offsets by key
	last    int64             // log time of the newest publication
	removed uint64            // everything up to here was removed
	told    uint64            // to the Follower of this generation, last
}

type knownPub struct {
	key  string
	time int64 // 0: not known
}

func newMemory() *memory {
	return &memory{channels: map[string]*knownChannel{}, pending: map[string]string{}, asked: map[string]int64{}}
}

const (
	auditWindow  = int64(engine.IdempotencyWindow / 1e6) // milliseconds
	auditRepeat  = auditWindow * 2 / 3                   // publishers repeat no longer
	recentKeys   = 300
	contentDepth = 1500 // offsets below the top that are remembered
)

// clone is the memory that the next generation begins with.
func (m *memory) clone() *memory {
	c := *m
	c.channels = make(map[string]*knownChannel, len(m.channels))
	for name, k := range m.channels {
		own := *k
		own.told = 0
		own.before, own.content, own.where = maps.Clone(k.before), maps.Clone(k.content), maps.Clone(k.where)
		for offset, p := range own.content {
			if offset+contentDepth < k.top {
				delete(own.content, offset)
				delete(own.where, p.key)
			}
		}
		c.channels[name] = &own
	}
	c.pending, c.asked = maps.Clone(m.pending), maps.Clone(m.asked)
	c.recent = append([]knownKey(nil), m.recent[max(0, len(m.recent)-recentKeys):]...)
	return &c
}

// forgetOld drops the keys that nobody may repeat any more.
func (m *memory) forgetOld(now int64) {
	for key, at := range m.asked {
		if at+auditRepeat < now {
			delete(m.asked, key)
			delete(m.pending, key)
		}
	}
}

// learn takes an event in, and says what is wrong with it.
func (m *memory) learn(ev event) (fault string) {
	if ev.damage {
		return fmt.Sprintf("%s holds other data than %s at %v", ev.name, ev.key, ev.pos)
	}
	switch ev.kind {
	case evAsked:
		if _, ok := m.asked[ev.key]; !ok {
			m.asked[ev.key] = ev.at
		}
		m.pending[ev.key] = ev.name
		return ""
	case evAcked:
		m.acks++
		delete(m.pending, ev.key)
		m.recent = append(m.recent, knownKey{ev.name, ev.key, ev.pos})
	case evTold:
		m.tolds++
	case evRead:
		m.reads++
	case evTop, evRemoved:
	}
	k := m.channels[ev.name]
	if k == nil {
		k = &knownChannel{before: map[string]bool{}}
		m.channels[ev.name] = k
	}
	if k.before[ev.pos.Epoch] {
		return "" // it was seen before the epoch ended, and told of only now
	}
	if k.epoch != ev.pos.Epoch {
		if fault := k.mayEnd(ev.pos.Epoch, ev.at); fault != "" {
			return ev.name + ": " + fault
		}
		if k.epoch != "" {
			m.ended++
		}
		k.begin(ev.pos.Epoch)
	}
	if fault := k.learn(ev); fault != "" {
		return ev.name + ": " + fault
	}
	return ""
}

// mayEnd says why a channel may not be in another epoch by now.
func (k *knownChannel) mayEnd(epoch string, now int64) string {
	switch {
	case k.epoch == "":
	case k.before[epoch]:
		return fmt.Sprintf("epoch %s is back", epoch)
	case now < k.last+auditWindow:
		return fmt.Sprintf("epoch %s became %s, %d ms after its last publication", k.epoch, epoch, now-k.last)
	}
	return ""
}

func (k *knownChannel) begin(epoch string) {
	if k.epoch != "" {
		k.before[k.epoch] = true
	}
	*k = knownChannel{epoch: epoch, before: k.before, content: map[uint64]knownPub{}, where: map[string]uint64{}}
}

func (k *knownChannel) learn(ev event) string {
	offset := ev.pos.Offset
	if ev.kind == evTold {
		if k.told != 0 && offset != k.told+1 {
			return fmt.Sprintf("the Follower was told of offset %d after %d", offset, k.told)
		}
		k.told = offset
	}
	if ev.kind == evRemoved {
		k.removed = max(k.removed, offset)
	}
	k.top = max(k.top, offset)
	if ev.key == "" {
		return ""
	}
	return k.holds(offset, knownPub{ev.key, ev.time})
}

// holds notes what is at an offset, or says what is there already.
func (k *knownChannel) holds(offset uint64, p knownPub) string {
	if was, ok := k.content[offset]; ok {
		if was.key != p.key || was.time != 0 && p.time != 0 && was.time != p.time {
			return fmt.Sprintf("offset %d was %+v and is %+v", offset, was, p)
		}
		p.time = max(p.time, was.time)
	}
	if at, ok := k.where[p.key]; ok && at != offset {
		return fmt.Sprintf("%s is at offset %d and at %d", p.key, at, offset)
	}
	k.content[offset], k.where[p.key] = p, offset
	k.last = max(k.last, p.time)
	return ""
}

// compare says what is wrong with the history of a channel after a crash.
func (m *memory) compare(name string, res *engine.HistoryResult, now int64) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	_, ret := auditChannel(name)
	if n := uint64(len(res.Publications)); n != res.Top.Offset+1-res.Oldest {
		fault("%d publications from %d to %d", n, res.Oldest, res.Top.Offset)
	}
	found := make(map[string]bool, len(res.Publications))
	for i, p := range res.Publications {
		key := p.Tags["key"]
		switch {
		case p.Offset != res.Oldest+uint64(i):
			fault("offset %d where %d belongs", p.Offset, res.Oldest+uint64(i))
		case !bytes.Equal(p.Data, auditData(key)):
			fault("offset %d holds other data than %s", p.Offset, key)
		case found[key]:
			fault("%s is there twice", key)
		case ret.TTL > 0 && p.Time+ret.TTL.Milliseconds() <= now:
			fault("offset %d is older than its ttl", p.Offset)
		}
		found[key] = true
	}
	k := m.channels[name]
	if k == nil || len(faults) > 0 {
		return faults
	}
	if res.Top.Epoch != k.epoch {
		if f := k.mayEnd(res.Top.Epoch, now); f != "" {
			fault("%s", f)
		}
		return faults
	}
	for _, p := range res.Publications {
		if was, ok := k.content[p.Offset]; ok && (was.key != p.Tags["key"] || was.time != 0 && was.time != p.Time) {
			fault("offset %d was %+v, and is %s of %d", p.Offset, was, p.Tags["key"], p.Time)
		}
		if at, ok := k.where[p.Tags["key"]]; ok && at != p.Offset {
			fault("%s was at offset %d and is at %d", p.Tags["key"], at, p.Offset)
		}
	}
	if res.Top.Offset < k.top {
		fault("top %d, though %d was seen", res.Top.Offset, k.top)
	}
	return append(faults, k.trimmedTooMuch(name, res, now)...)
}

// trimmedTooMuch looks at what is not readable any more, and what still is.
func (k *knownChannel) trimmedTooMuch(name string, res *engine.HistoryResult, now int64) (faults []string) {
	_, ret := auditChannel(name)
	low := uint64(1)
	if size := uint64(ret.Size); res.Top.Offset > size {
		low = res.Top.Offset - size + 1
	}
	switch {
	case res.Oldest < low:
		faults = append(faults, fmt.Sprintf("oldest %d of %d, more than %d", res.Oldest, res.Top.Offset, ret.Size))
	case name == "removed":
		if res.Oldest <= k.removed {
			faults = append(faults, fmt.Sprintf("oldest %d, though %d was removed", res.Oldest, k.removed))
		}
	case ret.TTL == 0:
		if res.Oldest > low {
			faults = append(faults, fmt.Sprintf("oldest %d of %d, but only up to %d may be missing", res.Oldest, res.Top.Offset, low-1))
		}
	default:
		for offset := low; offset < res.Oldest; offset++ {
			if p, ok := k.content[offset]; ok && p.time+ret.TTL.Milliseconds() > now {
				faults = append(faults, fmt.Sprintf("offset %d of %d is missing before its ttl, at %d", offset, p.time, now))
			}
		}
	}
	return faults
}

// someKeys chooses from the latest acknowledged those whose repeat must be known.
func (m *memory) someKeys(rng *rand.Rand, n int, now int64) (keys []knownKey) {
	recent := m.recent[max(0, len(m.recent)-recentKeys):]
	for range min(n, len(recent)) {
		k := recent[rng.IntN(len(recent))]
		if at, ok := m.asked[k.key]; ok && now < at+auditWindow {
			keys = append(keys, k)
		}
	}
	return keys
}
