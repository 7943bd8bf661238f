package main

import (
	"encoding/json"
	"io"
	"strings"
	"time"
)

// nodeEvent is a line of reporter.mjs.
type nodeEvent struct {
	Event  string  // pass, fail, skip; time: of a suite whose tests were told of
	Name   string  // of the test, with those it is nested in
	File   string  // relative to the suite's directory
	Output string  // why it failed
	MS     float64 // how long it took
}

// readNode counts what a Node suite writes.
func readNode(r io.Reader, total *tally) {
	type file struct {
		tests  int
		failed bool
		took   time.Duration
	}
	files := map[string]*file{}
	var order []string
	for s := lines(r); s.Scan(); {
		var e nodeEvent
		if json.Unmarshal(s.Bytes(), &e) != nil || e.Event == "" {
			total.printf("%s\n", s.Text())
			continue
		}
		f := files[e.File]
		if f == nil {
			f = &file{}
			files[e.File] = f
			order = append(order, e.File)
		}
		f.took += time.Duration(e.MS * float64(time.Millisecond))
		switch e.Event {
		case "time":
			continue
		case "pass":
			total.passed++
		case "skip":
			total.skipped++
			total.failure(e.File+" "+e.Name+" was skipped", nil)
		case "fail":
			total.failed++
			f.failed = true
			total.failure(strings.TrimSpace(e.File+" "+e.Name), []string{e.Output})
		}
		f.tests++
	}
	for _, name := range order {
		if f := files[name]; f.tests > 0 {
			total.finished(name, !f.failed, f.tests, f.took)
		}
	}
}
