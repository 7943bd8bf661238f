package transport

import (
	"errors"
	"net"
	"testing"
	"time"
)

// A released connection is an ordinary one: what was not read is there, and its
// descriptor wakes no loop any more, whatever takes its number.
func TestReleasedConnectionGoesOn(t *testing.T) {
	f := newFixture(t, mode{"loop", New, false})
	rec := &recorder{}
	client := f.open(t, rec)
	write(t, client, "read")
	rec.awaitData("read")
	var conn net.Conn
	f.on(func() {
		var err error
		if conn, err = rec.stream.Release(); err != nil {
			t.Error(err)
		}
		if _, err := rec.stream.Release(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("released twice: %v", err)
		}
	})
	if conn == nil {
		t.FailNow()
	}
	rec.awaitGone(false)
	other := &recorder{}
	second := f.open(t, other) // takes the number of the descriptor
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	write(t, client, "unread")
	expect(t, conn, "unread")
	write(t, conn, "answer")
	expect(t, client, "answer")
	write(t, second, "mine")
	other.awaitData("mine")
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	expectEnd(t, client)
}

func TestReleaseUnsupported(t *testing.T) {
	eachMode(t, func(f *fixture) {
		if f.engine.Releases() && !f.mode.tls {
			return // as above
		}
		rec := &recorder{}
		f.open(f.t, rec)
		f.on(func() {
			if c, err := rec.stream.Release(); !errors.Is(err, errors.ErrUnsupported) {
				f.t.Errorf("%v, %v", c, err)
			}
			rec.stream.Abort()
		})
		rec.awaitGone(false)
	})
}
