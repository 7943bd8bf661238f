package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// tight lets little gather for a client that does not read, so that a test need
// not send much, and never asks whether it lives: on a slow machine that would end
// it first.
const tight = "send_buffer_size: 16KiB, outbox_max_bytes: 32KiB, compression: false, ping_interval: 1h"

// maxPublications bounds what is sent until a slow client is noticed: more than
// buffers of any kind hold of it.
const maxPublications = 400

// lookEvery is after how many publications to ask whether it is: reading the
// server's numbers takes longer than to publish.
const lookEvery = 8

// numbered is a publication that says which one it is, and is large enough to fill
// buffers soon.
type numbered struct {
	N   int    `json:"n"`
	Pad string `json:"pad"`
}

func (n *node) publishNumbered(channel string, i int, tags map[string]string) {
	n.t.Helper()
	n.publish(channel, numbered{i, strings.Repeat("x", 3000)}, tags)
}

func numberOf(p *push) (int, error) {
	var d numbered
	err := json.Unmarshal(p.Push.Pub.Data, &d)
	return d.N, err
}

// slowly subscribes a client that keeps as little as a kernel lets it.
func (n *node) slowly(channel string) *client {
	n.t.Helper()
	c, err := n.dial(n.t.Context())
	if err == nil {
		n.t.Cleanup(func() { _ = c.raw.Close() })
		err = errors.Join(c.raw.SetReadBuffer(4<<10), c.open(channel))
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

// hurry ends what slowly began: a small window takes for ever to read through.
func (c *client) hurry(t *testing.T) {
	t.Helper()
	if err := c.raw.SetReadBuffer(1 << 20); err != nil {
		t.Fatal(err)
	}
}

// publishUntil publishes until done, and not faster than the others read: expect
// is asked to read each publication.
func (n *node) publishUntil(channel string, tags func(i int) map[string]string, expect func(i int), done func() bool) (last int) {
	n.t.Helper()
	for i := 1; i <= maxPublications; i++ {
		var of map[string]string
		if tags != nil {
			of = tags(i)
		}
		n.publishNumbered(channel, i, of)
		expect(i)
		if i%lookEvery == 0 && done() {
			return i
		}
	}
	n.t.Fatalf("%d publications, and the server holds them all for a client that does not read: %v bytes sent, %v sessions, %v dropped",
		maxPublications, n.metric("fanfare_sent_bytes_total"), n.metric(sessions), n.metric(`fanfare_drops_total{reason="outbox_full"}`))
	return 0
}

// TestOneOfAThousandDoesNotRead: it is cut off, and nobody else notices.
func TestOneOfAThousandDoesNotRead(t *testing.T) {
	n := start(t, tight, "", nil)
	w := arrive(n, 1000, "cut:room")
	n.slowly("cut:room")
	everybody := func(i int) {
		data := fmt.Appendf(nil, `"data":{"n":%d,`, i) // a thousand need not be decoded
		w.each(func(c *client) error {
			line, err := c.next()
			if err == nil && !bytes.Contains(line, data) {
				err = fmt.Errorf("%.100q is not publication %d", line, i)
			}
			return err
		})
	}
	const cut = `fanfare_disconnects_total{code="3008"}`
	last := n.publishUntil("cut:room", nil, everybody, func() bool { return n.metric(cut) == 1 })
	n.publishNumbered("cut:room", last+1, nil)
	everybody(last + 1)
	if n.metric(`fanfare_drops_total{reason="outbox_full"}`) == 0 {
		t.Error("nothing is counted as dropped")
	}
}

// expectCut reads whole publications in order and then the reason of the end.
func expectCut(t *testing.T, c *client) {
	t.Helper()
	c.hurry(t)
	for i := 1; ; i++ {
		p, err := c.publication()
		var end *closed
		switch {
		case errors.As(err, &end) && end.code == 3008:
			_ = c.Close()
			return
		case err != nil:
			t.Fatalf("%v after %d publications, want 3008", err, i-1)
		}
		if got, err := numberOf(p); err != nil || got != i {
			t.Fatalf("publication %d, %v, want %d", got, err, i)
		}
	}
}

// TestSlowIsCut: the reason reaches a client behind all that it has not read.
func TestSlowIsCut(t *testing.T) {
	eachMode(t, tight, "", func(n *node) {
		slow := n.slowly("cut:a")
		n.publishUntil("cut:a", nil, func(int) {}, func() bool { return n.metric(`fanfare_disconnects_total{code="3008"}`) == 1 })
		expectCut(n.t, slow)
		n.untilSessions(0)
	})
}

// TestSlowLosesTheOldest: what is kept comes whole and in order, the newest of all
// included; what is lost is counted.
func TestSlowLosesTheOldest(t *testing.T) {
	eachMode(t, tight, "", func(n *node) {
		t := n.t
		slow, quick := n.slowly("oldest:a"), n.subscribed("oldest:a")
		dropped := func() float64 { return n.metric(`fanfare_drops_total{reason="drop_oldest"}`) }
		last := n.publishUntil("oldest:a", nil, quick.expect(t), func() bool { return dropped() >= 20 })
		got := slow.numbersUntil(t, last)
		if lost := last - len(got); float64(lost) != dropped() {
			t.Errorf("%d of %d publications are lost, %v are counted", lost, last, dropped())
		}
		for i := range got[1:] {
			if got[i+1] <= got[i] {
				t.Fatalf("%d after %d", got[i+1], got[i])
			}
		}
		n.untilSessions(2)
	})
}

// TestSlowGetsTheLatest: while it does not read, the newest publication takes the
// place of the one before it.
func TestSlowGetsTheLatest(t *testing.T) {
	eachMode(t, tight, "", func(n *node) {
		t := n.t
		slow, quick := n.slowly("latest:a"), n.subscribed("latest:a")
		conflated := func() float64 { return n.metric(`fanfare_drops_total{reason="conflated"}`) }
		last := n.publishUntil("latest:a", nil, quick.expect(t), func() bool { return conflated() >= 20 })
		got := slow.numbersUntil(t, last)
		if lost := last - len(got); float64(lost) != conflated() {
			t.Errorf("%d of %d publications are lost, %v are counted", lost, last, conflated())
		}
		n.untilSessions(2)
	})
}

// TestSlowGetsTheLatestOfEachKey: a publication replaces only those of its own key.
func TestSlowGetsTheLatestOfEachKey(t *testing.T) {
	const keys = 3
	eachMode(t, tight, "", func(n *node) {
		t := n.t
		slow, quick := n.slowly("keyed:a"), n.subscribed("keyed:a")
		key := func(i int) map[string]string { return map[string]string{"of": strconv.Itoa(i % keys)} }
		last := n.publishUntil("keyed:a", key, quick.expect(t), func() bool { return n.metric(`fanfare_drops_total{reason="conflated"}`) >= 20 })
		got := slow.numbersUntil(t, last)
		for i := last - keys + 1; i <= last; i++ {
			found := false
			for _, g := range got {
				found = found || g == i
			}
			if !found {
				t.Errorf("the latest of key %d, publication %d, is missing", i%keys, i)
			}
		}
	})
}

// expect reads one publication and looks at its number.
func (c *client) expect(t *testing.T) func(i int) {
	t.Helper()
	return func(i int) {
		t.Helper()
		p, err := c.publication()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := numberOf(p); err != nil || got != i {
			t.Fatalf("publication %d, %v, want %d", got, err, i)
		}
	}
}

// numbersUntil reads publications until the last one.
func (c *client) numbersUntil(t *testing.T, last int) (got []int) {
	t.Helper()
	c.hurry(t)
	for {
		p, err := c.publication()
		if err != nil {
			t.Fatalf("%v after %v", err, got)
		}
		i, err := numberOf(p)
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, i); i == last {
			return got
		}
	}
}
