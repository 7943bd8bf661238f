package copies

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

const incarnation = 77

// second is another connection to the same server: a node does not hear itself.
func second(t *testing.T) (here, there *nats.Conn) {
	t.Helper()
	c, err := node.Start(node.Config{Name: "n", Cluster: "test", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		other.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c.Conn(), other
}

// filled is a store with so many publications of a kilobyte.
func filled(t *testing.T, n int) *store.Store {
	t.Helper()
	s, err := store.Open(store.Config{Dir: "d", FS: store.NewRAM(), Incarnation: incarnation, Replayed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	b := s.NewBatch()
	b.Message(store.Mark{Seq: uint64(n), Writer: "w", Count: 1})
	var rec store.Record
	for i := range n {
		e := store.Entry{
			Version: store.EntryVersion, Kind: store.Publish, Time: 1, Channel: channel.ID{App: "a", Name: "c"},
			Retention: engine.Retention{Size: n}, Pub: &engine.Publication{Data: append(make([]byte, 1000), fmt.Sprint(i)...)},
		}
		if _, err := b.Apply(&e, &rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(b.Commit(), b.Wait()); err != nil {
		t.Fatal(err)
	}
	return s
}

// serve offers a store as the index of a log that it says to have applied up to
// seq.
func serve(t *testing.T, conn *nats.Conn, name string, s *store.Store, seq uint64) *Server {
	t.Helper()
	server, err := Serve(Config{
		Conn: conn, Prefix: "p", Node: name, Logger: slog.New(slog.DiscardHandler),
		Offer: func(log string) (Offer, bool) { return Offer{name, incarnation, seq}, log == "log" },
		Open:  func(string) (*store.Copy, error) { return s.Copy() },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return server
}

// wanted is a copy of log, into a file system of its own.
func wanted(conn *nats.Conn, fs store.FS) Wanted {
	return Wanted{
		Conn: conn, Prefix: "p", Log: "log", Incarnation: incarnation, From: 1,
		Import: func(incarnation uint64) (*store.Import, error) {
			return store.NewImport(store.Config{Dir: "new", FS: fs, Incarnation: incarnation})
		},
	}
}

// The node that has applied most is asked, and its index arrives whole.
func TestFetch(t *testing.T) {
	here, there := second(t)
	serve(t, there, "less", filled(t, 3), 3)
	serve(t, there, "most", filled(t, 2000), 2000) // several chunks
	serve(t, there, "middle", filled(t, 5), 5)
	fs := store.NewRAM()
	o, err := Fetch(t.Context(), wanted(here, fs))
	if err != nil || o != (Offer{"most", incarnation, 2000}) {
		t.Fatalf("%+v, %v", o, err)
	}
	s, err := store.Open(store.Config{Dir: "new", FS: fs, Incarnation: incarnation})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := s.Record(channel.ID{App: "a", Name: "c"})
	if err != nil || rec.Top != 2000 || s.Mark().Seq != 2000 {
		t.Errorf("%+v, %+v, %v", rec, s.Mark(), err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestNobodyHasIt(t *testing.T) {
	here, there := second(t)
	serve(t, there, "a", filled(t, 3), 3)
	for name, change := range map[string]func(*Wanted){
		"another log":         func(w *Wanted) { w.Log = "other" },
		"another incarnation": func(w *Wanted) { w.Incarnation = 1 },
		"too old":             func(w *Wanted) { w.From = 5 },
	} {
		w := wanted(here, store.NewRAM())
		change(&w)
		if _, err := Fetch(t.Context(), w); !errors.Is(err, ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := wanted(here, store.NewRAM())
	w.From = 4 // goes on right behind it
	if _, err := Fetch(t.Context(), w); err != nil {
		t.Error(err)
	}
}

// A copy whose source goes away in the middle is none.
func TestSourceGoesAway(t *testing.T) {
	here, there := second(t)
	server := serve(t, there, "a", filled(t, 2000), 2000)
	fs := store.NewRAM()
	w := wanted(here, fs)
	begin := w.Import
	w.Import = func(incarnation uint64) (*store.Import, error) {
		server.Drop("log")
		return begin(incarnation)
	}
	if _, err := Fetch(t.Context(), w); !errors.Is(err, errFailed) {
		t.Errorf("%v", err)
	}
	if there, err := store.Exists(fs, "new"); there || err != nil {
		t.Errorf("half a copy is taken for one, %v", err)
	}
}

func TestTransfersAreLimited(t *testing.T) {
	here, there := second(t)
	server := serve(t, there, "a", filled(t, 3), 3)
	w := wanted(here, store.NewRAM())
	var ids []string
	for range MaxTransfers {
		id, err := w.open(t.Context(), Offer{Node: "a"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if _, err := Fetch(t.Context(), w); !errors.Is(err, errFailed) {
		t.Errorf("one too many: %v", err)
	}
	if err := here.Publish(nodeSubject("p", "a"), request(sayClose, ids[0])); err != nil {
		t.Fatal(err)
	}
	if _, err := Fetch(t.Context(), w); err != nil {
		t.Errorf("once one has ended: %v", err)
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	if n := len(server.transfers); n != MaxTransfers-1 {
		t.Errorf("%d are under way", n)
	}
}

// What no node says is answered with an error, and does no harm.
func TestNonsense(t *testing.T) {
	here, there := second(t)
	serve(t, there, "a", filled(t, 3), 3)
	w := wanted(here, store.NewRAM())
	for name, b := range map[string][]byte{
		"nothing": nil, "unknown": {99, 0}, "cut": {sayNext, 200}, "no such copy": request(sayNext, "12"),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		if _, _, err := w.ask(ctx, "a", b); !errors.Is(err, errFailed) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	if _, err := Fetch(t.Context(), w); err != nil {
		t.Error(err)
	}
}

func FuzzOffer(f *testing.F) {
	f.Add(Offer{"node", 1, 2}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := decodeOffer(b)
		if err != nil {
			return
		}
		if again, err := decodeOffer(o.append(nil)); err != nil || again != o {
			t.Errorf("%+v, then %+v, %v", o, again, err)
		}
	})
}
