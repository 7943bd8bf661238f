package hook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fanfare-push/fanfare/internal/auth"
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/metrics"
)

// Limits of what an answer says.
const (
	maxDepth   = 128     // objects and arrays within each other, as in the server API
	maxMessage = 1 << 10 // bytes of an error's message
	maxReason  = 123     // bytes of a disconnect's reason (RFC 6455, 5.5)
	maxTags    = 32      // of one publication, as in the server API
	maxTagSize = 4 << 10 // bytes of all their names and values
)

// lastExpiry bounds expire_at: later instants overflow where times are milliseconds.
var lastExpiry = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()

// reply is the body of an answer: one of three.
type reply struct {
	Result     *result  `json:"result"`
	Error      *fault   `json:"error"`
	Disconnect *parting `json:"disconnect"`
}

type fault struct {
	Code      uint32 `json:"code"`
	Message   string `json:"message"`
	Temporary bool   `json:"temporary"`
}

type parting struct {
	Code   uint32 `json:"code"`
	Reason string `json:"reason"`
}

// result is Centrifugo's result objects, of all hooks; what a hook has no use for is
// ignored, as is what is not listed.
type result struct {
	User     *string             `json:"user"`
	ExpireAt int64               `json:"expire_at"` // Unix seconds; 0: never
	Expired  bool                `json:"expired"`
	Info     json.RawMessage     `json:"info"`
	B64Info  []byte              `json:"b64info"`
	Data     json.RawMessage     `json:"data"`
	B64Data  []byte              `json:"b64data"`
	Meta     json.RawMessage     `json:"meta"`
	Channels []string            `json:"channels"`
	Subs     map[string]*subMade `json:"subs"`
	Caps     json.RawMessage     `json:"caps"`

	Override override `json:"override"`

	SkipHistory    bool              `json:"skip_history"`
	Tags           map[string]string `json:"tags"`
	IdempotencyKey string            `json:"idempotency_key"`
}

// subMade is a subscription that connect is to make.
type subMade struct {
	Info    json.RawMessage `json:"info"`
	B64Info []byte          `json:"b64info"`
	Data    json.RawMessage `json:"data"`
	B64Data []byte          `json:"b64data"`

	Override override `json:"override"`
}

// override is Centrifugo's SubscribeOptionOverride.
type override struct {
	Presence           choice `json:"presence"`
	JoinLeave          choice `json:"join_leave"`
	ForceRecovery      choice `json:"force_recovery"`
	ForcePositioning   choice `json:"force_positioning"`
	ForcePushJoinLeave choice `json:"force_push_join_leave"`
}

func (o *override) channel() channel.Override {
	return channel.Override{
		Presence: o.Presence.Choice, JoinLeave: o.JoinLeave.Choice, ForceRecovery: o.ForceRecovery.Choice,
		ForcePositioning: o.ForcePositioning.Choice, ForcePushJoinLeave: o.ForcePushJoinLeave.Choice,
	}
}

// choice is Centrifugo's BoolValue, an object with a value, or that value alone, as
// some of its libraries send it.
type choice struct{ channel.Choice }

// UnmarshalJSON implements json.Unmarshaler.
func (c *choice) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	var boxed struct {
		Value bool `json:"value"`
	}
	to := any(&boxed.Value)
	if len(text) > 0 && text[0] == '{' {
		to = &boxed
	}
	if err := json.Unmarshal(text, to); err != nil {
		return err
	}
	c.Choice = channel.ChoiceOf(boxed.Value)
	return nil
}

var errNothing = errors.New("it has neither result nor error nor disconnect")

// parse reads an answer. An outcome that is none of ok, error and disconnect is that
// of a backend that lies, and err says how.
func parse(hook hub.Hook, body []byte) (hub.Answer, metrics.HookOutcome, error) {
	var line bytes.Buffer
	if !utf8.Valid(body) {
		return lie(errors.New("it is not UTF-8"))
	}
	if err := json.Compact(&line, body); err != nil { // on the wire a line is a message
		return lie(err)
	}
	if depthOf(line.Bytes()) > maxDepth {
		return lie(fmt.Errorf("it nests deeper than %d", maxDepth))
	}
	var r reply
	if err := json.Unmarshal(line.Bytes(), &r); err != nil {
		return lie(err)
	}
	switch {
	case r.Disconnect != nil:
		return r.Disconnect.answer()
	case r.Error != nil:
		return r.Error.answer()
	case r.Result == nil:
		return lie(errNothing)
	}
	a, err := r.Result.answer(hook)
	if err != nil {
		return lie(err)
	}
	return a, metrics.HookOK, nil
}

// depthOf is how deep valid JSON nests.
func depthOf(text []byte) (deepest int) {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{', c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}', c == ']':
			depth--
		}
	}
	return deepest
}

func lie(err error) (hub.Answer, metrics.HookOutcome, error) {
	return hub.Answer{}, metrics.HookMalformed, fmt.Errorf("the answer is malformed: %w", err)
}

// answer takes any code that is no client's own.
func (f *fault) answer() (hub.Answer, metrics.HookOutcome, error) {
	if f.Code < 100 || f.Code > 1999 || len(f.Message) > maxMessage {
		return lie(fmt.Errorf("error: its code must be 100 to 1999 and its message no longer than %d bytes", maxMessage))
	}
	return hub.Answer{}, metrics.HookError, &hub.BackendError{Code: f.Code, Message: f.Message, Temporary: f.Temporary}
}

func (p *parting) answer() (hub.Answer, metrics.HookOutcome, error) {
	if p.Code < 4000 || p.Code > 4999 {
		return lie(errors.New("disconnect: its code must be 4000 to 4999"))
	}
	reason := p.Reason
	for len(reason) > maxReason || !utf8.ValidString(reason) {
		reason = reason[:len(reason)-1]
	}
	return hub.Answer{}, metrics.HookDisconnect, &hub.BackendDisconnect{Disconnect: hub.Disconnect{Code: p.Code, Reason: reason}}
}

func (r *result) answer(hook hub.Hook) (a hub.Answer, err error) {
	if r.ExpireAt < 0 || r.ExpireAt > lastExpiry {
		return a, errors.New("expire_at is no time")
	}
	if r.ExpireAt > 0 {
		a.ExpireAt = time.Unix(r.ExpireAt, 0)
	}
	a.Expired, a.Info = r.Expired, asJSON(r.Info, r.B64Info)
	switch hook {
	case hub.HookConnect:
		err = r.connect(&a)
	case hub.HookSubscribe:
		a.Data, a.Override = asJSON(r.Data, r.B64Data), r.Override.channel()
	case hub.HookPublish:
		a.Data, a.Binary = payload(r.Data, r.B64Data)
		a.SkipHistory, a.Tags, a.IdempotencyKey = r.SkipHistory, r.Tags, r.IdempotencyKey
		err = checkTags(r.Tags, r.IdempotencyKey)
	case hub.HookRPC:
		a.Data, a.Binary = payload(r.Data, r.B64Data)
	case hub.HookRefresh, hub.HookSubRefresh:
	}
	return a, err
}

func (r *result) connect(a *hub.Answer) error {
	switch {
	case r.User == nil:
		return errors.New("result has no user; an empty one is nobody")
	case len(*r.User) > auth.MaxUser:
		return fmt.Errorf("user has more than %d bytes", auth.MaxUser)
	case strings.ContainsFunc(*r.User, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return errors.New("user has control characters")
	}
	a.User, a.Data, a.Meta = *r.User, asJSON(r.Data, r.B64Data), kept(r.Meta)
	if caps := kept(r.Caps); caps != nil {
		grants, err := auth.ParseCaps(caps)
		if err != nil {
			return err
		}
		a.Grants = grants
	}
	for _, name := range r.Channels {
		if _, too := r.Subs[name]; !too {
			a.Subs = append(a.Subs, hub.AnswerSub{Channel: name})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Subs)) {
		sub := hub.AnswerSub{Channel: name}
		if made := r.Subs[name]; made != nil {
			sub.Info, sub.Data, sub.Override = asJSON(made.Info, made.B64Info), asJSON(made.Data, made.B64Data), made.Override.channel()
		}
		a.Subs = append(a.Subs, sub)
	}
	return nil
}

func checkTags(tags map[string]string, key string) error {
	size := 0
	for k, v := range tags {
		size += len(k) + len(v)
	}
	switch {
	case len(tags) > maxTags || size > maxTagSize:
		return fmt.Errorf("more than %d tags, or than %d bytes in them", maxTags, maxTagSize)
	case len(key) > engine.MaxIdempotencyKey:
		return fmt.Errorf("an idempotency_key of more than %d bytes", engine.MaxIdempotencyKey)
	}
	return nil
}

// kept is raw JSON, nil for null.
func kept(raw json.RawMessage) []byte {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return raw
}

// payload is data that may be anything.
func payload(raw json.RawMessage, b64 []byte) (data []byte, binary bool) {
	if len(b64) == 0 {
		return kept(raw), false
	}
	var line bytes.Buffer
	if utf8.Valid(b64) && json.Compact(&line, b64) == nil {
		return line.Bytes(), false
	}
	return b64, true
}

// asJSON is data that has to be JSON: bytes that are none become a string in base64,
// as everywhere.
func asJSON(raw json.RawMessage, b64 []byte) []byte {
	data, binary := payload(raw, b64)
	if binary {
		return []byte(`"` + base64.StdEncoding.EncodeToString(data) + `"`)
	}
	return data
}
