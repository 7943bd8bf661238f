package journal

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Outcome is what is known of an attempt to append.
type Outcome uint8

// The outcomes.
const (
	Unknown Outcome = iota // it may be stored, or yet be
	Stored                 // by a majority
	Refused                // not stored, and never will be
)

// codeInProcess: an earlier attempt is on its way through the replicas.
const codeInProcess = 10158

// Append tries once to append a message. All attempts of one message have the
// same id, by which JetStream stores it once, for a while.
func (j *Journal) Append(ctx context.Context, id string, message []byte) (Outcome, error) {
	msg := &nats.Msg{Subject: j.cfg.Subject, Data: message, Header: nats.Header{jetstream.MsgIDHeader: []string{id}}}
	_, err := j.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0))
	if err == nil {
		return Stored, nil
	}
	err = fmt.Errorf("append to the log %s: %w", j.cfg.Stream, err)
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api):
		if api.ErrorCode == codeInProcess {
			return Unknown, err
		}
		return Refused, err
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrMaxPayload):
		return Refused, err // nobody was there to take it, or it has not left
	}
	return Unknown, err
}

// MaxMessage is the largest message that NATS takes, in bytes.
func (j *Journal) MaxMessage() int { return int(j.cfg.Conn.MaxPayload()) - headerReserve }

// headerReserve is left for the headers of a message.
const headerReserve = 512
