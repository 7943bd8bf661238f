package hooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Secret signs what the server asks.
const Secret = "hooks-suite-secret"

// Question is the body of a call and its headers.
type Question struct {
	Header http.Header `json:"-"`
	Client string      `json:"client"`

	Transport string `json:"transport"`
	Protocol  string `json:"protocol"`

	User string          `json:"user"`
	Data json.RawMessage `json:"data"`

	Channel string `json:"channel"`
	Method  string `json:"method"`
}

// Answer writes a response.
type Answer func(w http.ResponseWriter, q *Question)

// JSON answers with a body.
func JSON(body string) Answer {
	return func(w http.ResponseWriter, _ *Question) { _, _ = io.WriteString(w, body) }
}

// Backend answers each hook at its path. What nobody has set is status 404.
type Backend struct {
	*httptest.Server

	Forged atomic.Int64 // calls whose signature is not right
	Calls  atomic.Int64

	mu      sync.Mutex
	answers map[string]Answer
}

// NewBackend listens on a free port of 127.0.0.1.
func NewBackend() *Backend {
	b := &Backend{answers: make(map[string]Answer)}
	b.Server = httptest.NewServer(b)
	return b
}

// On sets the answer to a hook.
func (b *Backend) On(hook string, a Answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[hook] = a
}

// Stop closes the backend with what is under way.
func (b *Backend) Stop() {
	b.CloseClientConnections()
	b.Close()
}

// ServeHTTP implements http.Handler.
func (b *Backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.Calls.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil || !Verify(r.Header, body, Secret) {
		b.Forged.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	q := &Question{Header: r.Header}
	if err := json.Unmarshal(body, q); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	answer := b.answers[strings.TrimPrefix(r.URL.Path, "/")]
	b.mu.Unlock()
	if answer == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	answer(w, q)
}

// Verify is what docs/hooks.md shows for Go.
func Verify(h http.Header, body []byte, secret string) bool {
	at, err := strconv.ParseInt(h.Get("X-Fanfare-Timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(h.Get("X-Fanfare-Timestamp") + "." + h.Get("X-Fanfare-Hook") + "."))
	mac.Write(body)
	want := "v1=" + hex.EncodeToString(mac.Sum(nil))
	return hmac.Equal([]byte(h.Get("X-Fanfare-Signature")), []byte(want))
}
