package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/bench/transports"
)

func TestBenchTransports(t *testing.T) {
	out, stderr, err := run(t, "", "bench", "transports", "--messages", "30", "--rate", "200", "--every", "50ms", "--json")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	var results []transports.Result
	if err := json.Unmarshal([]byte(out), &results); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(results) != 4 {
		t.Fatalf("%d results: %s", len(results), out)
	}
	for _, r := range results {
		polls := strings.Contains(r.Transport, "poll")
		switch {
		case r.Received != 30:
			t.Errorf("%s: %d of 30 messages came", r.Transport, r.Received)
		case r.Median <= 0 || r.P95 < r.Median || r.Max < r.P95:
			t.Errorf("%s: delays %s, %s, %s", r.Transport, r.Median, r.P95, r.Max)
		case r.PerMessage() <= transports.DefaultSize:
			t.Errorf("%s: %.0f bytes for a message of %d", r.Transport, r.PerMessage(), transports.DefaultSize)
		case (r.Requests > 1) != polls:
			t.Errorf("%s: %d requests", r.Transport, r.Requests)
		}
	}
}

// What the server refuses, a bench does not wait for.
func TestBenchTransportsOfAClosedServer(t *testing.T) {
	file := server(t, closed)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "code 101"},
		{[]string{"--token", "x"}, "code 3500"},
		{[]string{"--rate", "-1"}, "must be positive"},
	} {
		_, _, err := run(t, "", append([]string{"bench", "transports", "--config", file}, tt.args...)...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %s", tt.args, err, tt.want)
		}
	}
}
