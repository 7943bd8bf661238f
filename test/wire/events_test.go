package wire

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestEvents(t *testing.T) {
	const stream = ":\n\nretry: 100\n\nid: 1\ndata: {\"a\": 1}\n\nevent: end\ndata: x\n\ndata: cut\n"
	var got []string
	take := func(e Event) error {
		got = append(got, fmt.Sprint(map[string]string(e)))
		return nil
	}
	if err := Events(strings.NewReader(stream), take); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if want := []string{`map[data:{"a": 1} id:1]`, `map[data:x event:end]`}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	enough := errors.New("enough")
	if err := Events(strings.NewReader(stream), func(Event) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
}
