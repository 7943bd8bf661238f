package webhook

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/internal/egress"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// tellOnce is one attempt to tell a receiver.
func tellOnce(t *testing.T, target string, transport http.RoundTripper) error {
	t.Helper()
	s := newSender(&Dispatcher{cfg: Config{Key: "key", Secret: "secret", Transport: transport}, log: slog.New(slog.DiscardHandler)}, target, engine.Position{})
	defer s.client.CloseIdleConnections()
	return s.call(t.Context(), []*engine.Publication{{Offset: 1, Data: []byte("{}")}}, engine.Position{Epoch: "e", Offset: 1})
}

// A receiver whose name has come to lead inside, or that is written in another form
// of such an address, is not reached, unless its host is trusted.
func TestReceiversInside(t *testing.T) {
	reached := 0
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer receiver.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(receiver.URL, "https://"), ":")
	guarded := egress.New(egress.Config{}).Transport
	for _, host := range []string{"localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "user:password@localhost"} {
		err := tellOnce(t, "https://"+host+":"+port+"/", guarded)
		if !errors.Is(err, egress.ErrAddress) || strings.Contains(err.Error(), "password") {
			t.Errorf("%s: %v", host, err)
		}
	}
	if reached > 0 {
		t.Errorf("%d calls arrived", reached)
	}
}

// A receiver may ask for a name and password, and the URL in the log has none.
func TestReceiverWithPassword(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "ann" || password != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer receiver.Close()
	trusting := egress.New(egress.Config{Trusted: []string{"127.0.0.1"}}).Transport
	if err := tellOnce(t, strings.Replace(receiver.URL, "://", "://ann:s3cret@", 1), trusting); err != nil {
		t.Error(err)
	}
	if err := tellOnce(t, receiver.URL, trusting); err == nil {
		t.Error("taken without a password")
	}
}
