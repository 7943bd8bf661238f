package link

import (
	"bufio"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// echo answers each line with the same, and says on gone when a connection ends.
func echo(t *testing.T) (addr string, gone chan struct{}) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone = make(chan struct{}, 10)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			_ = c.Close()
			gone <- struct{}{}
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return listener.Addr().String(), gone
}

func listen(t *testing.T, target string) *Link {
	t.Helper()
	l, err := Listen(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func dial(t *testing.T, l *Link) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func say(t *testing.T, c net.Conn, line string) {
	t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// hears reads the line within d; "": none came.
func hears(t *testing.T, c net.Conn, in *bufio.Reader, d time.Duration) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
		t.Fatal(err)
	}
	line, err := in.ReadString('\n')
	if err != nil && !os.IsTimeout(err) {
		t.Fatal(err)
	}
	return line
}

// glance is how long a test looks at what must not happen.
const glance = 100 * time.Millisecond

// A cut keeps bytes and new connections in either direction, and gives them when
// it is healed.
func TestCutAndHeal(t *testing.T) {
	for _, d := range []Direction{There, Back} {
		target, gone := echo(t)
		l := listen(t, target)
		c := dial(t, l)
		in := bufio.NewReader(c)
		say(t, c, "before")
		if got := hears(t, c, in, patience); got != "before\n" {
			t.Fatalf("%q", got)
		}
		l.Set(d, State{Cut: true})
		say(t, c, "meanwhile")
		if got := hears(t, c, in, glance); got != "" {
			t.Errorf("direction %d is cut, and lets %q pass", d, got)
		}
		l.Set(d, State{})
		if got := hears(t, c, in, patience); got != "meanwhile\n" {
			t.Errorf("after the cut: %q", got)
		}
		_ = c.Close()
		<-gone
		l.Set(d, State{Cut: true})
		late := dial(t, l)
		in = bufio.NewReader(late)
		say(t, late, "late")
		if got := hears(t, late, in, glance); got != "" {
			t.Errorf("direction %d is cut, and a new connection has %q", d, got)
		}
		l.Set(d, State{})
		if got := hears(t, late, in, patience); got != "late\n" {
			t.Errorf("a connection made during the cut: %q", got)
		}
	}
}

// The end of a connection is not seen through a cut.
func TestCutKeepsTheEnd(t *testing.T) {
	target, gone := echo(t)
	l := listen(t, target)
	c := dial(t, l)
	say(t, c, "before")
	hears(t, c, bufio.NewReader(c), patience)
	l.Set(There, State{Cut: true})
	_ = c.Close()
	select {
	case <-gone:
		t.Error("the end has passed")
	case <-time.After(glance):
	}
	l.Set(There, State{})
	<-gone
}

func TestReset(t *testing.T) {
	target, gone := echo(t)
	l := listen(t, target)
	c := dial(t, l)
	say(t, c, "before")
	hears(t, c, bufio.NewReader(c), patience)
	l.Reset()
	<-gone
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	}
}

// A delay holds what is under way at least that long.
func TestDelay(t *testing.T) {
	target, _ := echo(t)
	l := listen(t, target)
	c := dial(t, l)
	in := bufio.NewReader(c)
	say(t, c, "before")
	hears(t, c, in, patience)
	const delay = 50 * time.Millisecond
	l.Set(There, State{Delay: delay})
	l.Set(Back, State{Delay: delay})
	began := time.Now()
	say(t, c, "slowly")
	if got := hears(t, c, in, patience); got != "slowly\n" || time.Since(began) < 2*delay {
		t.Errorf("%q after %s", got, time.Since(began))
	}
}
