package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// quickHub accepts publications and nothing else.
type quickHub struct{ *fakeHub }

func (quickHub) Publish(context.Context, hub.Publish) (engine.PublishResult, error) {
	return engine.PublishResult{Position: engine.Position{Epoch: "abcdefgh", Offset: 123456}}, nil
}

func (q quickHub) PublishAll(ctx context.Context, all []hub.Publish) []hub.Published {
	out := make([]hub.Published, len(all))
	for i := range all {
		out[i].PublishResult, out[i].Err = q.Publish(ctx, all[i])
	}
	return out
}

// replay gives the same request again and again, and takes the reply, without
// allocations of its own.
type replay struct {
	body    []byte
	at      int
	request *http.Request
	header  http.Header
	status  int
	reply   []byte
}

func newReplay(method, body string) *replay {
	r := &replay{body: []byte(body), header: http.Header{}}
	r.request = post(method, body)
	r.request.Body = r
	return r
}

func (r *replay) Read(p []byte) (int, error) {
	n := copy(p, r.body[r.at:])
	if r.at += n; r.at == len(r.body) { // with the last bytes, as net/http does
		return n, io.EOF
	}
	return n, nil
}

func (r *replay) Close() error           { return nil }
func (r *replay) Header() http.Header    { return r.header }
func (r *replay) WriteHeader(status int) { r.status = status }

func (r *replay) Write(p []byte) (int, error) {
	r.reply = append(r.reply[:0], p...)
	return len(p), nil
}

func (r *replay) run(h http.Handler) {
	r.at = 0
	h.ServeHTTP(r, r.request)
}

var quickest = New(Config{Keys: newFixture(Limits{}).apps}, quickHub{}, nil)

func publishBody(size int) string {
	return `{"channel":"chat:lobby","data":"` + strings.Repeat("x", size-2) + `"}`
}

func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{128, 4096, 65536} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) { bench(b, "publish", publishBody(size)) })
	}
	b.Run("text", func(b *testing.B) {
		bench(b, "publish", `{"channel":"chat:lobby","data":[`+strings.Repeat(`{"user":"ann","text":"hello, \"you\"","n":12.5},`, 80)+`null]}`)
	})
	b.Run("tags and key", func(b *testing.B) {
		bench(b, "publish", `{"channel":"chat:lobby","data":{"text":"hello"},"tags":{"lang":"en"},"idempotency_key":"msg-4711"}`)
	})
}

func BenchmarkBroadcast(b *testing.B) {
	bench(b, "broadcast", `{"channels":["a"`+strings.Repeat(`,"b"`, 99)+`],"data":{"text":"hello"}}`)
}

func bench(b *testing.B, method, body string) {
	b.Helper()
	r := newReplay(method, body)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r.run(quickest)
	}
	if !bytes.HasPrefix(r.reply, []byte(`{"result":`)) {
		b.Fatal(string(r.reply))
	}
}

// fewest is how often fn allocates at best: the race detector makes pools
// forgetful.
func fewest(fn func()) float64 {
	n := testing.AllocsPerRun(1, fn)
	for range 100 {
		n = min(n, testing.AllocsPerRun(1, fn))
	}
	return n
}

// TestPublishAllocations: what a publication leaves on the heap is what the hub
// keeps of it, the command, and the rest of the request nothing.
func TestPublishAllocations(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		most       float64
	}{
		{"plain", publishBody(128), 3},
		{"large", publishBody(40_000), 3},
		{"with key and event", `{"channel":"a","data":1,"idempotency_key":"k1","event":"e1"}`, 5},
		{"with a tag", `{"channel":"a","data":1,"tags":{"lang":"en"}}`, 7},
	} {
		r := newReplay("publish", tt.body)
		if n := fewest(func() { r.run(quickest) }); n > tt.most {
			t.Errorf("%s: %v allocations, at most %v are needed", tt.name, n, tt.most)
		}
		if r.status != http.StatusOK {
			t.Errorf("%s: HTTP %d: %s", tt.name, r.status, r.reply)
		}
	}
}
