package survey

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connected are connections to a server of the test.
func connected(t *testing.T, n int) []*nats.Conn {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	var list []*nats.Conn
	for range n {
		c, err := nats.Connect("", nats.InProcessServer(s), nats.NoEcho(), nats.Timeout(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		list = append(list, c)
	}
	return list
}

func open(t *testing.T, c *nats.Conn, answer string) *Survey {
	t.Helper()
	s, err := New(Config{Conn: c, Prefix: "test", Answer: func() []byte { return []byte(answer) }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(t *testing.T, s *Survey, others int) []string {
	t.Helper()
	answers, err := s.Ask(t.Context(), others)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, a := range answers {
		list = append(list, string(a))
	}
	slices.Sort(list)
	return list
}

func TestAsk(t *testing.T) {
	conns := connected(t, 4)
	a := open(t, conns[0], "a")
	if got := ask(t, a, 0); got != nil {
		t.Errorf("alone: %q", got)
	}
	if got := ask(t, a, 1); got != nil { // nobody listens, which NATS says at once
		t.Errorf("nobody: %q", got)
	}
	b, _ := open(t, conns[1], "b"), open(t, conns[2], strings.Repeat("x", MaxAnswer+1))
	began := time.Now()
	if got := ask(t, a, 1); !slices.Equal(got, []string{"b"}) {
		t.Errorf("%q", got)
	}
	if took := time.Since(began); took >= MaxWait {
		t.Errorf("it waits for nobody, for %v", took)
	}
	if got := ask(t, a, 2); !slices.Equal(got, []string{"b"}) { // the other has too much to say
		t.Errorf("%q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := a.Ask(ctx, 2); err != nil || len(got) > 0 {
		t.Errorf("%q %v", got, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := conns[1].Flush(); err != nil {
		t.Error(err)
	}
	if got := ask(t, a, 2); got != nil {
		t.Errorf("after its end: %q", got)
	}
}
