package store

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

var update = flag.Bool("update", false, "write what the apply step does to the transcripts")

// TestApply runs the transcripts in testdata/apply. A line that is not indented
// is an entry of the log or a question; the indented lines below it are what
// follows: the outcome, the channel's state, and what is written.
//
//	publish room data=a [t=1000] [size=3] [ttl=10s] [meta=1h] [key=k]
//	create, remove room · tick · expire    (expire: all that is due)
//	adopt room top=9 first=4 data=a,b [at=900] [epoch=e]    (at: of the first, then each a millisecond later)
//	read room [from=1] [to=9] [reverse=1] [limit=3] · due · reopen
//	begin … end                            (one batch)
//
// t, size, ttl and meta stay until they are set again.
func TestApply(t *testing.T) {
	files, err := filepath.Glob("testdata/apply/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := newScript(t)
			got := s.run(string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(want) {
				t.Errorf("got:\n%s", got)
			}
		})
	}
}

type script struct {
	t        *testing.T
	fsys     *vfs.MemFS
	store    *Store
	closeNow func()
	batch    *Batch // between begin and end
	recs     map[channel.ID]*Record
	time     int64
	ret      engine.Retention
	out      strings.Builder
}

func newScript(t *testing.T) *script {
	t.Helper()
	s := &script{t: t, fsys: vfs.NewMem(), recs: map[channel.ID]*Record{}, time: 1000}
	s.ret = engine.Retention{Size: 3, MetaTTL: time.Hour}
	s.reopen()
	return s
}

func (s *script) reopen() {
	if s.closeNow != nil {
		s.closeNow()
	}
	s.store, s.closeNow = mustOpen(s.t, s.fsys, testDir)
	s.store.log.Incarnation, s.store.incarnation = 1, 1
	clear(s.recs)
}

func (s *script) run(text string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		s.out.WriteString(line)
		words := strings.Fields(line)
		if len(words) > 0 && words[0] != "#" {
			s.command(words)
		}
	}
	return s.out.String()
}

func (s *script) say(format string, args ...any) { fmt.Fprintf(&s.out, "  "+format+"\n", args...) }

// command runs a line.
func (s *script) command(words []string) {
	name, ch, args := words[0], channel.ID{App: "a"}, map[string]string{}
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			args[k] = v
		} else {
			ch.Name = w
		}
	}
	s.options(args)
	entry := Entry{Version: EntryVersion, Time: s.time, Channel: ch, Retention: s.ret, Key: args["key"]}
	switch name {
	case "publish":
		entry.Kind, entry.Pub = Publish, &engine.Publication{Data: []byte(args["data"])}
	case "create":
		entry.Kind = Create
	case "remove":
		entry.Kind = Remove
	case "tick":
		entry.Kind = Tick
	case "adopt":
		entry.Kind, entry.Adoption = Adopt, s.adoption(args)
	case "expire":
		s.inBatch(s.expire)
		return
	case "begin":
		s.batch = s.store.NewBatch()
		return
	case "end":
		b := s.batch
		s.batch = nil
		s.commit(b)
		return
	case "read":
		s.read(ch, args)
		return
	case "due":
		s.due()
		return
	case "reopen":
		s.reopen()
		return
	default:
		s.t.Fatalf("unknown command %q", name)
	}
	s.inBatch(func(b *Batch) { s.apply(b, &entry) })
}

func (s *script) adoption(args map[string]string) *Adoption {
	a := &Adoption{Epoch: "e", Top: uint64(s.number(args, "top", 0)), First: uint64(s.number(args, "first", 1)), Last: s.number(args, "last", 950)}
	if e := args["epoch"]; e != "" {
		a.Epoch = e
	}
	for i, data := range strings.FieldsFunc(args["data"], func(r rune) bool { return r == ',' }) {
		a.Pubs = append(a.Pubs, &engine.Publication{Data: []byte(data), Offset: a.First + uint64(i), Time: s.number(args, "at", 900) + int64(i)})
	}
	return a
}

func (s *script) options(args map[string]string) {
	s.time = s.number(args, "t", s.time)
	s.ret.Size = int(s.number(args, "size", int64(s.ret.Size)))
	for name, d := range map[string]*time.Duration{"ttl": &s.ret.TTL, "meta": &s.ret.MetaTTL} {
		if v, ok := args[name]; ok {
			var err error
			if *d, err = time.ParseDuration(v); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

func (s *script) number(args map[string]string, name string, otherwise int64) int64 {
	v, ok := args[name]
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *script) inBatch(do func(*Batch)) {
	if s.batch != nil {
		do(s.batch)
		return
	}
	b := s.store.NewBatch()
	do(b)
	s.commit(b)
}

func (s *script) rec(ch channel.ID) *Record {
	if s.recs[ch] == nil {
		rec, err := s.store.Record(ch)
		if err != nil {
			s.t.Fatal(err)
		}
		s.recs[ch] = &rec
	}
	return s.recs[ch]
}

func (s *script) apply(b *Batch, e *Entry) {
	rec := s.rec(e.Channel)
	out, err := b.Apply(e, rec)
	switch {
	case err != nil:
		s.say("error: %v", err)
	case e.Kind == Tick:
		s.say("log time %d", b.Time())
	case out.Duplicate:
		s.say("%s:%d duplicate", out.Epoch, out.Offset)
	default:
		s.say("%s:%d, low %d, deleted below %d, due %d", out.Epoch, out.Offset, rec.Low, rec.Deleted, rec.Due)
	}
}

func (s *script) expire(b *Batch) {
	if _, err := b.Apply(&Entry{Version: EntryVersion, Kind: Tick, Time: s.time}, &Record{}); err != nil {
		s.t.Fatal(err)
	}
	due, err := s.store.Due(s.time, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range due {
		rec := s.rec(d.Channel)
		if err := b.Expire(d, rec); err != nil {
			s.t.Fatal(err)
		}
		s.say("%s: top %d, low %d, deleted below %d, due %d", d.Channel.Name, rec.Top, rec.Low, rec.Deleted, rec.Due)
	}
}

// commit says what the batch writes, but for the state of the log and what Apps take.
func (s *script) commit(b *Batch) {
	if b.Empty() {
		s.say("nothing is written")
		if err := b.Discard(); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	if err := b.Commit(); err != nil {
		s.t.Fatal(err)
	}
	for r := b.writes.Reader(); ; {
		kind, key, value, ok, err := r.Next()
		if err != nil {
			s.t.Fatal(err)
		}
		if !ok {
			break
		}
		if key[0] != tableLog && key[0] != tableApp {
			s.say("%s", write(kind, key, value))
		}
	}
	if err := b.Wait(); err != nil {
		s.t.Fatal(err)
	}
}

// write puts a write in words.
func write(kind pebble.InternalKeyKind, key, value []byte) string {
	switch kind {
	case pebble.InternalKeyKindSet:
		return "set " + keyWords(key)
	case pebble.InternalKeyKindDelete:
		return "delete " + keyWords(key)
	default:
		return "delete from " + keyWords(key) + " to before " + keyWords(value)
	}
}

func keyWords(key []byte) string {
	rest := key[1:]
	switch key[0] {
	case tablePub:
		return fmt.Sprintf("publication %d/%d", binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:]))
	case tableChannel:
		ch, _ := decodeChannel(rest)
		return "channel " + ch.Name
	case tableKey:
		period := binary.BigEndian.Uint32(rest)
		if len(rest) == 4 {
			return fmt.Sprintf("keys of period %d", period)
		}
		return fmt.Sprintf("key of period %d, channel %d: %s", period, binary.BigEndian.Uint64(rest[4:]), rest[12:])
	case tableDue:
		due, id, _ := decodeDueKey(key)
		return fmt.Sprintf("due %d of %d", due, id)
	}
	return fmt.Sprintf("%q", key)
}

func (s *script) read(ch channel.ID, args map[string]string) {
	r := Range{
		ID: s.rec(ch).ID, From: uint64(s.number(args, "from", 0)), To: uint64(s.number(args, "to", math.MaxInt64)),
		Limit: int(s.number(args, "limit", -1)), MaxBytes: int(s.number(args, "bytes", 0)), Reverse: args["reverse"] != "",
	}
	pubs, err := s.store.Read(r)
	if err != nil {
		s.t.Fatal(err)
	}
	words := []string{}
	if len(pubs) == 0 {
		words = append(words, "nothing")
	}
	for _, p := range pubs {
		words = append(words, fmt.Sprintf("%d:%s@%d", p.Offset, p.Data, p.Time))
	}
	s.say("%s", strings.Join(words, " "))
}

func (s *script) due() {
	list, err := s.store.Due(math.MaxInt64-1, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range list {
		s.say("%d: %s, %d", d.At, d.Channel.Name, d.ID)
	}
}

func TestEntryThatIsNotKnown(t *testing.T) {
	s, _ := mustOpen(t, vfs.NewMem(), testDir)
	for _, e := range []Entry{{Version: EntryVersion + 1, Kind: Publish}, {Version: EntryVersion, Kind: 99}, {Version: EntryVersion}} {
		b := s.NewBatch()
		var rec Record
		if _, err := b.Apply(&e, &rec); err == nil || rec.Exists() {
			t.Errorf("%+v was applied: %v", e, err)
		}
		if err := b.Discard(); err != nil {
			t.Error(err)
		}
	}
}

// What is left over of a channel in the time index goes, and nothing else.
func TestExpireOfNothing(t *testing.T) {
	s, _ := mustOpen(t, vfs.NewMem(), testDir)
	rec := publish(t, s, 1)
	stray := Due{At: 5, ID: rec.ID, Channel: testChannel}
	if err := s.db.Set(appendDueKey(nil, stray.At, stray.ID), appendChannel(nil, testChannel), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	b := s.NewBatch()
	before := rec
	if err := b.Expire(stray, &rec); err != nil || rec != before {
		t.Errorf("%+v %v", rec, err)
	}
	if err := errors.Join(b.Commit(), b.Wait()); err != nil {
		t.Fatal(err)
	}
	list, err := s.Due(math.MaxInt64-1, 10)
	if err != nil || len(list) != 1 || list[0].At != rec.Due {
		t.Errorf("%+v %v", list, err)
	}
}
