package webhook

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// A backend that was taken over cannot send calls on to where only this server
// gets: a redirect is an answer like any other failure.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var inside atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	defer target.Close()
	backend := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusTemporaryRedirect))
	defer backend.Close()
	s := newSender(&Dispatcher{cfg: Config{Key: "key", Secret: "secret"}, log: slog.New(slog.DiscardHandler)}, backend.URL, engine.Position{})
	defer s.client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, backend.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusTemporaryRedirect || inside.Load() != 0 {
		t.Errorf("HTTP %d, %d calls inside", res.StatusCode, inside.Load())
	}
}
