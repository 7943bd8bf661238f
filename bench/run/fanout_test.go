package main

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// Marks are counted wherever reads end.
func TestCrowdCountsMarks(t *testing.T) {
	const text = `x"pub":{"pub":{} "pu b":{ "pub":{`
	for name, stream := range map[string]io.Reader{
		"whole": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text)),
	} {
		var end error
		c := &crowd{mark: []byte(jsonMark), fail: func(err error) { end = err }}
		c.read(stream)
		if got := c.delivered.Load(); got != 3 || !errors.Is(end, io.EOF) {
			t.Errorf("%s: %d marks, end %v", name, got, end)
		}
	}
}

func TestQuotesAreJSONAndTheSameForEveryWay(t *testing.T) {
	a, b := quotes(), quotes()
	for i := range 100 {
		if q := a.message(i); q != b.message(i) || !json.Valid([]byte(q)) {
			t.Fatalf("quote %d: %s", i, q)
		}
	}
}

func TestEverySectionComparesWithTheReference(t *testing.T) {
	for _, ways := range [][]way{fanoutWays(), compressedWays(), quoteWays()} {
		if ways[0].name != reference {
			t.Errorf("%s comes first, want %s", ways[0].name, reference)
		}
	}
}
