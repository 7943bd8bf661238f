package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/engine/cluster/node"
	"github.com/fanfare-push/fanfare/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

func connect(t *testing.T) *nats.Conn {
	t.Helper()
	n, err := node.Start(node.Config{Name: "n", Cluster: "test", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n.Conn()
}

func config(conn *nats.Conn) Config {
	return Config{
		Conn: conn, Stream: "log", Subject: "log", Logs: 1, Replicas: 1, MaxBytes: 1 << 20, MaxAge: time.Hour,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// made is a log that is there.
func made(t *testing.T, cfg Config) *Journal {
	t.Helper()
	j, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return j
}

func entries(n int) (list []store.Entry) {
	for i := range n {
		list = append(list, store.Entry{
			Version: 1, // as all programs write this kind
			Kind:    store.Publish, Time: 1, Channel: channel.ID{App: "a", Name: "c"},
			Retention: engine.Retention{Size: 1, Durability: channel.Disk}, Pub: &engine.Publication{Data: fmt.Append(nil, i)},
		})
	}
	return list
}

// fill appends messages until the log has that many, its genesis included.
func fill(t *testing.T, j *Journal, n uint64, size int) {
	t.Helper()
	b, err := j.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := b.Last; i < n; i++ {
		list := entries(1)
		list[0].Pub.Data = []byte(strings.Repeat("x", size))
		msg, _ := Encode(7, "w", i, list, 1<<20)
		if o, err := j.Append(t.Context(), fmt.Sprint(i), msg); o != Stored {
			t.Fatal(o, err)
		}
	}
}

func TestMessages(t *testing.T) {
	list := entries(10)
	b, n := Encode(1<<39, "writer", 5, list, 1<<20)
	m, err := decode(3, b)
	want := Message{Mark: store.Mark{Seq: 3, Writer: "writer", Count: 5}, Incarnation: 1 << 39, Entries: list}
	if err != nil || n != 10 || !reflect.DeepEqual(m, want) {
		t.Errorf("%d taken, %+v, %v", n, m, err)
	}
	b, n = Encode(1, "writer", 5, list, 150)
	if m, err := decode(3, b); err != nil || n < 2 || n > 9 || len(m.Entries) != n || len(b) > 150 {
		t.Errorf("%d taken into %d bytes, %d read, %v", n, len(b), len(m.Entries), err)
	}
	if _, n = Encode(1, "writer", 5, list, 1); n != 1 {
		t.Errorf("%d taken where none fits", n)
	}
	newer := append([]byte(nil), b...)
	newer[0] = Version + 1
	var version *store.VersionError
	if _, err := decode(1, newer); !errors.As(err, &version) {
		t.Errorf("a newer message: %v", err)
	}
	if _, err := decode(1, b[:len(b)-1]); !errors.Is(err, errMalformed) {
		t.Errorf("half a message: %v", err)
	}
}

func FuzzMessage(f *testing.F) {
	b, _ := Encode(1, "w", 2, entries(2), 1<<20)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(1, b)
		if err != nil {
			return
		}
		again, n := Encode(m.Incarnation, m.Writer, m.Count, m.Entries, 1<<30)
		if twice, err := decode(1, again); err != nil || n != len(m.Entries) || !reflect.DeepEqual(twice, m) {
			t.Errorf("%+v, then %+v, %v", m, twice, err)
		}
	})
}

// A log has one genesis, whoever begins it, and another one when it is made
// again.
func TestGenesis(t *testing.T) {
	conn := connect(t)
	j := made(t, config(conn))
	first, err := j.Get(t.Context(), 1)
	if err != nil || first.Incarnation == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	other := made(t, config(conn))
	if err := other.begin(t.Context()); err != nil {
		t.Errorf("who comes second: %v", err)
	}
	if b, err := other.Bounds(t.Context()); err != nil || b != (Bounds{First: 1, Last: 1, Quorum: true}) {
		t.Errorf("%+v, %v", b, err)
	}
	if err := j.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := made(t, config(conn)).Get(t.Context(), 1)
	if err != nil || again.Incarnation == first.Incarnation {
		t.Errorf("made again: %x after %x, %v", again.Incarnation, first.Incarnation, err)
	}
	if _, err := j.Get(t.Context(), 9); !errors.Is(err, ErrNotFound) {
		t.Errorf("what is not there: %v", err)
	}
}

// Nodes that are set to different numbers of logs would not find each other's
// channels.
func TestNumberOfLogsIsFixed(t *testing.T) {
	conn := connect(t)
	made(t, config(conn))
	cfg := config(conn)
	cfg.Logs = 2
	j, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Create(t.Context()); err == nil || !strings.Contains(err.Error(), "made with 1 logs") {
		t.Errorf("%v", err)
	}
}

func TestAppend(t *testing.T) {
	conn := connect(t)
	j := made(t, config(conn))
	for range 2 {
		if o, err := j.Append(t.Context(), "same", []byte("x")); o != Stored {
			t.Errorf("%v, %v", o, err)
		}
	}
	if b, err := j.Bounds(t.Context()); err != nil || b.Last != 2 {
		t.Errorf("one message twice: %+v, %v", b, err)
	}
	if o, err := j.Append(t.Context(), "large", make([]byte, conn.MaxPayload()+1)); o != Refused || err == nil {
		t.Errorf("too large: %v, %v", o, err)
	}
	if err := j.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o, err := j.Append(t.Context(), "nobody", []byte("x")); o != Refused || err == nil {
		t.Errorf("nobody there: %v, %v", o, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if o, err := j.Append(gone, "late", []byte("x")); o != Unknown || err == nil {
		t.Errorf("given up: %v, %v", o, err)
	}
}

// followed collects what a tail hands on.
func followed(t *testing.T, n int, follow func(ctx context.Context, take func([]Message) error) error) (list []Message, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = follow(ctx, func(m []Message) error {
		if list = append(list, m...); len(list) >= n {
			cancel()
		}
		return nil
	})
	return list, err
}

func inOrder(t *testing.T, list []Message, from, to uint64) {
	t.Helper()
	if len(list) != int(to-from)+1 {
		t.Errorf("%d messages, want %d to %d", len(list), from, to)
	}
	for i, m := range list {
		if m.Seq != from+uint64(i) {
			t.Fatalf("message %d is number %d of the log", i, m.Seq)
		}
	}
}

func TestTail(t *testing.T) {
	conn := connect(t)
	j := made(t, config(conn))
	fill(t, j, 200, 10)
	list, err := followed(t, 150, func(ctx context.Context, take func([]Message) error) error { return j.Tail(ctx, 50, take) })
	inOrder(t, list, 51, 200)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if since := time.Since(j.CaughtUp()); since > patience {
		t.Errorf("caught up %s ago", since)
	}
}

// While there is no consumer to be had, messages are fetched.
func TestFetch(t *testing.T) {
	j := made(t, config(connect(t)))
	fill(t, j, 600, 10)
	list, err := followed(t, 1000, func(ctx context.Context, take func([]Message) error) error {
		f := &tail{Journal: j, next: 11, take: take}
		defer f.close()
		return f.fetch(ctx) // returns once there is nothing more
	})
	inOrder(t, list, 11, 600)
	if err != nil {
		t.Error(err)
	}
}

// What is lost of an answer on its way is not left out.
func TestFetchedIsLost(t *testing.T) {
	j := made(t, config(connect(t)))
	fill(t, j, 20, 10)
	f := &tail{Journal: j, next: 11}
	msg := func(seq int) *nats.Msg {
		m, err := j.cfg.Conn.Request("$JS.API.DIRECT.GET."+j.cfg.Stream, fmt.Appendf(nil, `{"seq":%d}`, seq), patience)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if _, is, err := f.fetched(msg(15)); is || !errors.Is(err, errLost) || f.next != 11 {
		t.Errorf("15 after 10: %t, %v; the next is %d", is, err, f.next)
	}
	if _, is, err := f.fetched(msg(11)); !is || err != nil {
		t.Errorf("11 after 10: %t, %v", is, err)
	}
}

// Numbers that nobody has are left out.
func TestNumbersAreSkipped(t *testing.T) {
	j := made(t, config(connect(t)))
	fill(t, j, 20, 10)
	s, err := j.js.Stream(t.Context(), j.cfg.Stream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.DenyDelete = false
	_ = j.js.DeleteStream(t.Context(), cfg.Name)
	if s, err = j.js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	fill(t, j, 20, 10)
	for seq := range uint64(4) {
		if err := s.DeleteMsg(t.Context(), 11+seq); err != nil {
			t.Fatal(err)
		}
	}
	list, err := followed(t, 6, func(ctx context.Context, take func([]Message) error) error { return j.Tail(ctx, 10, take) })
	inOrder(t, list, 15, 20)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What a consumer is late with is fetched when somebody knows that it is there.
func TestHurry(t *testing.T) {
	for name, hurried := range map[string]bool{"hurried": true, "left alone": false} {
		t.Run(name, func(t *testing.T) {
			j := made(t, config(connect(t)))
			fill(t, j, 20, 10)
			silent, err := j.cfg.Conn.SubscribeSync("silence")
			if err != nil {
				t.Fatal(err)
			}
			if hurried {
				j.Hurry()
			}
			list, err := followed(t, 10, func(ctx context.Context, take func([]Message) error) error {
				f := &tail{Journal: j, next: 11, take: take}
				defer f.close()
				return f.drain(ctx, &consumer{tail: f, sub: silent, last: 10}) // until it is given up
			})
			if err != nil {
				t.Error(err)
			}
			if hurried {
				inOrder(t, list, 11, 20)
			} else if len(list) > 0 {
				t.Errorf("%d messages came from nowhere", len(list))
			}
		})
	}
}

func TestTrimmedLogIsNoticed(t *testing.T) {
	j := made(t, config(connect(t)))
	fill(t, j, 200, 20_000) // which holds about 50
	follow := map[string]func(ctx context.Context, take func([]Message) error) error{
		"pushed": func(ctx context.Context, take func([]Message) error) error { return j.Tail(ctx, 10, take) },
		"fetched": func(ctx context.Context, take func([]Message) error) error {
			f := &tail{Journal: j, next: 11, take: take}
			defer f.close()
			return f.fetch(ctx)
		},
	}
	for name, f := range follow {
		if list, err := followed(t, 1, f); !errors.Is(err, ErrTrimmed) || len(list) > 0 {
			t.Errorf("%s: %d messages, %v", name, len(list), err)
		}
	}
}

// What nobody can read takes its number and has no effect; what a newer program
// must read stops this one.
func TestStrangeMessages(t *testing.T) {
	j := made(t, config(connect(t)))
	for i, b := range []string{"", "nonsense", string(head(7, "w", 1)) + "\x05abc"} {
		if o, err := j.Append(t.Context(), fmt.Sprint(i), []byte(b)); o != Stored {
			t.Fatal(err)
		}
	}
	tail := func(ctx context.Context, take func([]Message) error) error { return j.Tail(ctx, 1, take) }
	list, _ := followed(t, 3, tail)
	inOrder(t, list, 2, 4)
	for _, m := range list {
		if len(m.Entries) > 0 || m.Writer != "" || m.Count != m.Seq {
			t.Errorf("%+v", m)
		}
	}
	b := head(7, "w", 2)
	b[0] = Version + 1
	if o, err := j.Append(t.Context(), "newer", b); o != Stored {
		t.Fatal(err)
	}
	var newer *store.VersionError
	if list, err := followed(t, 10, tail); len(list) != 3 || !errors.As(err, &newer) {
		t.Errorf("%d messages, %v", len(list), err)
	}
}
