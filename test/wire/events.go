package wire

import (
	"bufio"
	"io"
	"strings"
)

// Event is one event of an event stream: the fields that it has, by name.
type Event map[string]string

// Events reads an event stream (WHATWG HTML, 9.2) and hands on every event that has
// data, until take or reading fails: an event counts when its empty line has come, and
// not before. What only keeps the stream alive, or says when to come again, is left
// out. The event is take's only during the call.
func Events(stream io.Reader, take func(Event) error) error {
	fields := Event{}
	for in := bufio.NewReader(stream); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			name, value, _ := strings.Cut(line, ": ")
			fields[name] = value
			continue
		}
		if fields["data"] != "" {
			if err := take(fields); err != nil {
				return err
			}
		}
		clear(fields)
	}
}
