package httpstream

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
	"github.com/fanfare-push/fanfare/internal/transport"
)

// A request returns though the loop of its shard has ended meanwhile, as it may
// while the server stops: before its response was opened, or while it was written.
func TestResponseOutlivesTheLoop(t *testing.T) {
	ns, err := channel.NewNamespaces(channel.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	eng := transport.NewGoroutines(transport.Options{})
	h, err := hub.New(hub.Config{Engine: noEngine{}, Namespaces: ns, Auth: nobody{}, NewLoop: eng.NewLoop, Shards: 1, Metrics: metrics.New("")})
	if err != nil {
		t.Fatal(err)
	}
	place, err := h.Enter(channel.DefaultApp, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	place.Release()
	serve := func(ctx context.Context, opened chan<- transport.Stream) <-chan struct{} {
		over := make(chan struct{})
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", http.NoBody)
		s := newWriter(httptest.NewRecorder(), r, place.Shard, nil, nil)
		go func() {
			defer close(over)
			s.run(func(s transport.Stream) transport.Receiver { opened <- s; return nil })
		}()
		return over
	}
	opened := make(chan transport.Stream, 1)
	written := serve(t.Context(), opened)
	stream := <-opened
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := errors.Join(h.Shutdown(ctx), eng.Close(ctx)); err != nil {
		t.Fatal(err)
	}
	left, leave := context.WithCancel(ctx)
	waits := serve(left, nil)
	stream.Finish([]byte("last"), transport.HalfClose)
	leave()
	for what, over := range map[string]<-chan struct{}{"written": written, "not opened": waits} {
		select {
		case <-over:
		case <-ctx.Done():
			t.Fatalf("the request whose response was %s does not return", what)
		}
	}
}
