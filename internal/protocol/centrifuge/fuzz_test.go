package centrifuge

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/centrifugal/protocol"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// seed gives a fuzz target every frame of the transcripts.
func seed(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		f.Fatal("no transcripts", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if frame, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "> "); ok {
				f.Add([]byte(unquote(frame)))
			}
		}
	}
	f.Add([]byte("{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}\n{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}\n"))
}

// FuzzDecode: what is taken for a command is valid JSON in UTF-8, nests no
// deeper than allowed, is one request, and does not point into the line.
func FuzzDecode(f *testing.F) {
	seed(f)
	const maxDepth = 8
	f.Fuzz(func(t *testing.T, line []byte) {
		var cmd protocol.Command
		original := bytes.Clone(line)
		method, err := decode(line, maxDepth, &cmd)
		if err != nil {
			return
		}
		if !json.Valid(original) || !utf8.Valid(original) {
			t.Fatalf("took %q", original)
		}
		if d := depthOf(original); d > maxDepth {
			t.Fatalf("took a depth of %d: %q", d, original)
		}
		if _, n := methodOf(&cmd); n > 1 || (n == 0) != (method == "") {
			t.Fatalf("%d methods in %q", n, original)
		}
		before := cmd.AppendJSON(nil)
		for i := range line {
			line[i] = '#'
		}
		if after := cmd.AppendJSON(nil); len(cmd.GetConnect().GetSubs()) < 2 && len(cmd.GetConnect().GetHeaders()) < 2 && !bytes.Equal(before, after) {
			t.Fatalf("%s became %s", before, after)
		}
	})
}

// depthOf is the depth of valid JSON, found in another way.
func depthOf(data []byte) (deepest int) {
	depth := 0
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		tok, err := dec.Token()
		if err != nil {
			return deepest
		}
		if d, ok := tok.(json.Delim); ok && (d == '{' || d == '[') {
			depth++
			deepest = max(deepest, depth)
		} else if ok {
			depth--
		}
	}
}

// FuzzReceive: whatever comes in, before connect or after it, with answers at
// once or later, nothing panics, every line sent is a reply, and the connection
// ends with a code of the protocol if it ends.
func FuzzReceive(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, holding := range []bool{false, true} {
			fresh := newFake()
			fresh.holding = holding
			feed(t, &client{proto: New(Config{}), s: fresh}, fresh, msg)

			c, live := newTestClient(t, Config{Version: "v"})
			live.holding = holding
			live.sub = hub.SubscribeResult{Recoverable: true, Positioned: true, Position: engine.Position{Epoch: "e", Offset: 3}}
			live.members = engine.Members{"c1": {Client: "c1"}}
			live.history.Publications = []*engine.Publication{{Data: []byte("x"), Binary: true}}
			feed(t, c, live, msg)
			// What a client publishes comes back to all.
			for _, p := range live.publish {
				line := New(Config{}).Append(nil, &hub.Event{
					Kind: hub.EventPublication, Channel: p.Channel, Publication: &engine.Publication{Data: p.Data, Offset: 1},
				})
				checkLine(t, string(line))
			}
		}
	})
}

func feed(t *testing.T, c *client, f *fakeSession, msg []byte) {
	t.Helper()
	c.ping()
	frame := bytes.Clone(msg)
	c.receive(frame)
	for i := range frame {
		frame[i] = '#'
	}
	f.release()
	f.release() // what was held behind connect
	for _, frame := range f.sent {
		for line := range strings.SplitSeq(frame, "\n") {
			checkLine(t, line)
		}
	}
	if f.ended != nil && *f.ended != hub.DisconnectBadRequest {
		t.Fatalf("ended with %v", *f.ended)
	}
}

func checkLine(t *testing.T, line string) {
	t.Helper()
	if !json.Valid([]byte(line)) || !utf8.ValidString(line) || strings.ContainsAny(line, "\n\r") {
		t.Fatalf("sent %q", line)
	}
	if _, err := protocol.NewJSONReplyDecoder([]byte(line)).Decode(); err != nil {
		t.Fatalf("sent %q: %v", line, err)
	}
}
