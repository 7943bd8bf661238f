package plain

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/fanfare-push/fanfare/internal/engine"
)

// Request is what a client asks for; a Session's State until it is opened.
type Request struct {
	Channels []string
	Since    map[string]engine.Position // by channel
	Token    string
	Wait     time.Duration // of a poll
	Padding  bool          // of a stream
}

// Parse reads a request's query, and of its headers the bearer token and
// Last-Event-ID ("": none). Errors are meant for the client.
func Parse(query url.Values, bearer, lastEventID string) (*Request, error) {
	r := &Request{Channels: query["channel"], Token: query.Get("token"), Wait: DefaultWait}
	if r.Token == "" {
		r.Token = bearer
	}
	switch {
	case len(r.Channels) == 0 && r.Token == "": // a token may bring some
		return nil, errors.New(noChannels.Reason)
	case len(r.Channels) > MaxChannels:
		return nil, fmt.Errorf("channel: %d are too many, at most %d are allowed", len(r.Channels), MaxChannels)
	}
	seen := make(map[string]bool, len(r.Channels))
	for _, name := range r.Channels {
		if seen[name] {
			return nil, errors.New("channel: one is named twice")
		}
		seen[name] = true
	}
	position := query.Get("position")
	if lastEventID != "" {
		position = lastEventID
	}
	var err error
	if r.Since, err = parsePositions(position); err != nil {
		return nil, err
	}
	if r.Padding, err = parseFlag(query.Get("padding")); err != nil {
		return nil, fmt.Errorf("padding: %w", err)
	}
	if text := query.Get("wait"); text != "" {
		r.Wait, err = parseWait(text)
	}
	return r, err
}

func parseFlag(s string) (bool, error) {
	if s == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(s)
	if err != nil {
		return false, errors.New("must be 1 or 0")
	}
	return on, nil
}

func parseWait(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if seconds, notNumber := strconv.ParseUint(s, 10, 16); notNumber == nil {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil || d < 0 || d > MaxWait {
		return 0, fmt.Errorf("wait: must be 0 to %s, such as 25s", MaxWait)
	}
	return d, nil
}
