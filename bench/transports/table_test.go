package transports

import (
	"strings"
	"testing"
	"time"
)

func TestWrite(t *testing.T) {
	var b strings.Builder
	err := Write(&b, Config{Server: "s", Channel: "c", Messages: 10, Rate: 2.5}, []Result{
		{Transport: "WebSocket", Received: 10, Median: 940 * time.Microsecond, P95: 3720 * time.Microsecond, Max: 57 * time.Millisecond, Requests: 1, Bytes: 2180},
		{Transport: "long poll", Received: 9, Median: time.Minute, P95: time.Minute, Max: time.Minute, Requests: 1041, Bytes: 9000},
		{Transport: "short poll", Requests: 2, Bytes: 400},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `10 messages of 128 bytes, about 2.5 a second; short poll every 1s.

                        median      95 %   longest  requests  bytes/message           1 ms    10 ms   100 ms  1 s
WebSocket              0.94 ms   3.72 ms     57 ms         1            218           ●────○
long poll              60.00 s   60.00 s   60.00 s      1041           1000                                           ●
                     only 9 of 10 messages arrived
short poll                   –         –         –         2            400
                     only 0 of 10 messages arrived
`
	got, _, _ := strings.Cut(b.String(), "\nDelay")
	if strip(got) != strip(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// strip removes what is at the end of lines and cannot be seen.
func strip(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.Join(lines, "\n")
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "–", 4 * time.Microsecond: "0.00 ms", 9990 * time.Microsecond: "9.99 ms", 12 * time.Millisecond: "12 ms", 1500 * time.Millisecond: "1.50 s",
	} {
		if got := short(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

func TestLaneTakesEachMessageOnce(t *testing.T) {
	sent := &ledger{at: make([]time.Time, 3)}
	l := newLane("x", sent)
	sent.note(1)
	sent.note(2)
	for _, data := range []string{`{"n":1}`, `{"n":1}`, `{"n":3}`, `{"n":0}`, `{"n":9}`, `"somebody else's"`, `{`} {
		l.take([]byte(data))
	}
	if r := l.result(); r.Received != 1 {
		t.Errorf("%d received, want 1", r.Received)
	}
	sent.note(3)
	l.take([]byte(`{"n":2}`))
	l.take([]byte(`{"n":3}`))
	select {
	case <-l.all:
	default:
		t.Error("all are here, and nobody is told")
	}
}

func TestData(t *testing.T) {
	c := Config{Size: 64}
	data, err := c.data(7)
	if err != nil || len(data) != 64 {
		t.Errorf("%d bytes, %v: %s", len(data), err, data)
	}
	c.Size = 1
	if data, err = c.data(7); err != nil || string(data) != `{"n":7,"pad":""}` {
		t.Errorf("%v: %s", err, data)
	}
}
