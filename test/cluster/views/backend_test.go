package views

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
)

// backend is told of events.
type backend struct {
	mu     sync.Mutex
	ids    map[string]bool // of calls that were taken
	again  int             // calls that were made again
	events []event
}

type event struct {
	Name    string `json:"name"`
	Channel string `json:"channel"`
	Client  string `json:"client"`
	User    string `json:"user"`
	UserID  string `json:"user_id"`
	Code    uint32 `json:"code"`
	Offset  uint64 `json:"offset"`
}

func newBackend() *backend { return &backend{ids: make(map[string]bool)} }

// ServeHTTP takes each call once: one that is made again has the same id.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var call struct{ Events []event }
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &call)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if id := r.Header.Get("X-Fanfare-Webhook-Id"); b.ids[id] {
		b.again++
	} else {
		b.ids[id] = true
		b.events = append(b.events, call.Events...)
	}
}

// of are the events that are like one, by the fields that it has.
func (b *backend) of(like event) []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.events), func(e event) bool {
		return e.Name != like.Name || like.Channel != "" && e.Channel != like.Channel || like.Client != "" && e.Client != like.Client ||
			like.UserID != "" && e.UserID != like.UserID
	})
}
