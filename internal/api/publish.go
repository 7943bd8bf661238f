package api

import (
	"context"
	"encoding/base64"
	"unicode/utf8"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// message is what publish and broadcast have in common.
type message struct {
	data        []byte // JSON, in the body's memory
	b64data     string
	skipHistory bool
	tags        map[string]string
	key         string
	event       string

	// What Centrifugo has beyond that.
	delta        bool // saves bytes where it is offered; ignoring it changes nothing else
	version      uint64
	versionEpoch string
}

// messageFields are the members of a message inside T.
func messageFields[T any](of func(*T) *message) []field[T] {
	return []field[T]{
		{"data", raw(func(r *T) *[]byte { return &of(r).data })},
		{"b64data", text(func(r *T) *string { return &of(r).b64data })},
		{"skip_history", flag(func(r *T) *bool { return &of(r).skipHistory })},
		{"tags", textMap(func(r *T) *map[string]string { return &of(r).tags })},
		{"idempotency_key", text(func(r *T) *string { return &of(r).key })},
		{"event", text(func(r *T) *string { return &of(r).event })},
		{"delta", flag(func(r *T) *bool { return &of(r).delta })},
		{"version", number(func(r *T) *uint64 { return &of(r).version })},
		{"version_epoch", text(func(r *T) *string { return &of(r).versionEpoch })},
	}
}

// publication checks a message and takes it out of the body's memory.
func (h *call) publication(m *message) (p hub.Publish, err error) {
	if err := h.checkMessage(m); err != nil {
		return p, err
	}
	p = hub.Publish{
		App: h.app, Event: m.event, Tags: m.tags, IdempotencyKey: m.key, SkipHistory: m.skipHistory,
	}
	if p.Data, p.Binary, err = h.payload(m.data, m.b64data); err != nil {
		return p, err
	}
	if p.Data == nil {
		return p, badRequest("data or b64data is required")
	}
	if len(p.Data) > h.limits.MaxData {
		return p, limitExceeded("data has %d bytes, at most %d are allowed", len(p.Data), h.limits.MaxData)
	}
	return p, nil
}

func (h *Handler) checkMessage(m *message) error {
	if m.version != 0 || m.versionEpoch != "" {
		return notSupported("version", "leave it out; a channel's publications have offsets")
	}
	if len(m.key) > MaxIdempotency {
		return limitExceeded("idempotency_key has %d bytes, at most %d are allowed", len(m.key), MaxIdempotency)
	}
	if len(m.event) > MaxEvent {
		return limitExceeded("event has %d bytes, at most %d are allowed", len(m.event), MaxEvent)
	}
	if len(m.tags) > h.limits.MaxTags {
		return limitExceeded("%d tags, at most %d are allowed", len(m.tags), h.limits.MaxTags)
	}
	size := 0
	for k, v := range m.tags {
		size += len(k) + len(v)
	}
	if size > h.limits.MaxTagBytes {
		return limitExceeded("tags have %d bytes, at most %d are allowed", size, h.limits.MaxTagBytes)
	}
	return nil
}

// payload is data, or b64data decoded: one line of JSON, or binary. It is never
// in the body's memory; nil: neither was given.
func (h *Handler) payload(data []byte, b64data string) (payload []byte, binary bool, err error) {
	if b64data == "" {
		if data == nil {
			return nil, false, nil
		}
		return oneLine(data), false, nil
	}
	if data != nil && !isNull(data) {
		return nil, false, badRequest("data and b64data: give one of them")
	}
	payload, err = base64.StdEncoding.DecodeString(b64data)
	if err != nil {
		return nil, false, badRequest("b64data: %s", err)
	}
	judged := examine(payload, h.limits.MaxDepth)
	switch {
	case judged == malformed || !utf8.Valid(payload):
		return payload, true, nil
	case judged == tooDeep:
		return nil, false, badRequest("b64data nests deeper than %d objects and arrays", h.limits.MaxDepth)
	}
	return oneLine(trimLeft(payload)), false, nil
}

// checkChannel reports what is wrong with a channel's name.
func checkChannel(name string) error {
	if name == "" {
		return badRequest("channel is required")
	}
	if err := channel.CheckName(name); err != nil {
		return badRequest("%s", err)
	}
	return nil
}

type publishRequest struct {
	channel string
	message
}

func publishFields() []field[publishRequest] {
	return append([]field[publishRequest]{
		{"channel", text(func(r *publishRequest) *string { return &r.channel })},
	}, messageFields(func(r *publishRequest) *message { return &r.message })...)
}

func (r *publishRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	p, err := r.publication(h)
	if err != nil {
		return out, err
	}
	res, err := h.hub.Publish(ctx, p)
	if err != nil {
		return out, about(r.channel, "publishing", err)
	}
	return appendPublishResult(out, res), nil
}

func (r *publishRequest) publication(h *call) (hub.Publish, error) {
	if err := checkChannel(r.channel); err != nil {
		return hub.Publish{}, err
	}
	p, err := h.publication(&r.message)
	p.Channel = r.channel
	return p, err
}

// appendPublishResult leaves the position out where there is none.
func appendPublishResult(out []byte, res engine.PublishResult) []byte {
	out = append(out, '{')
	if res.Epoch != "" {
		out = appendNumber(out, "offset", res.Offset)
		out = appendText(out, "epoch", res.Epoch)
	}
	if res.Duplicate {
		out = appendRaw(out, "duplicate", []byte("true"))
	}
	return append(out, '}')
}

type broadcastRequest struct {
	channels []string
	message
}

func broadcastFields() []field[broadcastRequest] {
	return append([]field[broadcastRequest]{
		{"channels", texts(func(r *broadcastRequest) *[]string { return &r.channels })},
	}, messageFields(func(r *broadcastRequest) *message { return &r.message })...)
}

// run hands all in before it waits, so that they share a commit to disk.
func (r *broadcastRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	if len(r.channels) == 0 {
		return out, badRequest("channels is required")
	}
	if len(r.channels) > h.limits.MaxChannels {
		return out, limitExceeded("%d channels, at most %d are allowed", len(r.channels), h.limits.MaxChannels)
	}
	p, err := h.publication(&r.message)
	if err != nil {
		return out, err
	}
	answers := make([]hub.Published, len(r.channels))
	o := newOrders(len(r.channels))
	for i, name := range r.channels {
		if answers[i].Err = checkChannel(name); answers[i].Err == nil {
			p.Channel = name
			o.add(i, p)
		}
	}
	o.publish(ctx, h, answers)
	out = append(out, `{"responses":[`...)
	for i, a := range answers {
		if i > 0 {
			out = append(out, ',')
		}
		if a.Err != nil {
			out = append(out, `{"error":`...)
			out = appendFault(out, h.faultOf(ctx, "broadcast", a.Err))
		} else {
			out = append(out, `{"result":`...)
			out = appendPublishResult(out, a.PublishResult)
		}
		out = append(out, '}')
	}
	return append(out, `]}`...), nil
}

// orders are publications of one request that are handed to the hub together,
// each with its place among the answers.
type orders struct {
	all    []hub.Publish
	places []int
}

func newOrders(n int) *orders {
	return &orders{make([]hub.Publish, 0, n), make([]int, 0, n)}
}

func (o *orders) add(place int, p hub.Publish) {
	o.all = append(o.all, p)
	o.places = append(o.places, place)
}

func (o *orders) publish(ctx context.Context, h *call, answers []hub.Published) {
	for i, a := range h.hub.PublishAll(ctx, o.all) {
		if a.Err != nil {
			a.Err = about(o.all[i].Channel, "publishing", a.Err)
		}
		answers[o.places[i]] = a
	}
}
