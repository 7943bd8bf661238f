package centrifuge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/centrifugal/fdelta"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// follower is a client with delta: it keeps what it holds.
type follower struct{ held []byte }

// take reads one publication as the SDKs do.
func (f *follower) take(t *testing.T, data []byte, delta bool) {
	t.Helper()
	if !delta {
		f.held = data
		return
	}
	held, err := fdelta.Apply(f.held, data)
	if err != nil {
		t.Fatalf("apply %q: %v", data, err)
	}
	f.held = held
}

func quotes(n int) []*engine.Publication {
	var list []*engine.Publication
	for i := range n {
		list = append(list, &engine.Publication{Offset: uint64(i + 1), Data: fmt.Appendf(nil, `{"symbol":"ABC","name":"Ägypten <&> GmbH","price":%d.25,"volume":%d}`, 100+i, i*i)})
	}
	return list
}

func eventOf(base, pub *engine.Publication) *hub.Event {
	return &hub.Event{Kind: hub.EventPublication, Channel: "a", Publication: pub, Delta: &hub.Delta{Base: base}}
}

func TestDeltaInBothEncodings(t *testing.T) {
	pubs := quotes(20)
	pubs[5].Data = []byte(`1`) // shorter than any change
	pubs[7].Data = []byte("{\n \"symbol\": \"multi\r\nline\"}")
	var inJSON, inProto follower
	var base *engine.Publication
	patches := 0
	for _, pub := range pubs {
		e := eventOf(base, pub)
		line := New(Config{}).Append(nil, e)
		reads(t, string(line))
		var reply struct {
			Push struct {
				Pub struct {
					Data   string
					Delta  bool
					Offset uint64
				}
			}
		}
		if err := json.Unmarshal(line, &reply); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		inJSON.take(t, []byte(reply.Push.Pub.Data), reply.Push.Pub.Delta)
		p := readProto(t, NewProtobuf(Config{}).Append(nil, e))[0].Push.Pub
		inProto.take(t, p.Data, p.Delta)
		if !bytes.Equal(inJSON.held, pub.Data) || !bytes.Equal(inProto.held, pub.Data) || p.Offset != pub.Offset || reply.Push.Pub.Offset != pub.Offset {
			t.Fatalf("after %d: %q in JSON, %q in Protobuf", pub.Offset, inJSON.held, inProto.held)
		}
		if p.Delta {
			patches++
		}
		base = pub
	}
	if patches < len(pubs)-5 {
		t.Errorf("only %d of %d came as changes", patches, len(pubs))
	}
}

// A change that cuts a letter in two is no text: JSON gets the whole.
func TestDeltaThatIsNoText(t *testing.T) {
	long := strings.Repeat("x", 200)
	base, pub := &engine.Publication{Data: []byte(`"` + long + `ä"`)}, &engine.Publication{Data: []byte(`"` + long + `ö"`)}
	cut := &hub.Event{Kind: hub.EventPublication, Channel: "a", Publication: pub, Delta: &hub.Delta{Base: base}}
	cut.Delta.Patch(pub.Data, func(_, _ []byte) []byte { return []byte{0xc3} })
	if change(cut, true) != nil || change(cut, false) == nil {
		t.Error("bytes that are no text in a JSON string")
	}
	binary := eventOf(&engine.Publication{Data: []byte{1}, Binary: true}, pub)
	if change(binary, true) != nil {
		t.Error("a change of what the client holds in another form")
	}
}

func TestBinaryDataAsText(t *testing.T) {
	e := eventOf(nil, &engine.Publication{Data: []byte{0, 255}, Binary: true})
	want := `{"push":{"channel":"a","pub":{"data":"\"AP8=\""}}}`
	if got := string(New(Config{}).Append(nil, e)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func BenchmarkDelta(b *testing.B) {
	pubs := quotes(2)
	for _, p := range []*Protocol{New(Config{}), NewProtobuf(Config{})} {
		b.Run(p.codec.name(), func(b *testing.B) {
			b.ReportAllocs()
			dst := make([]byte, 0, 1024)
			for b.Loop() {
				dst = p.Append(dst[:0], eventOf(pubs[0], pubs[1]))
			}
			b.ReportMetric(float64(len(dst)), "wire-bytes")
		})
	}
}
