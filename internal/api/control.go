package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// target names the sessions that a request is about.
type target struct {
	user, client, session string
}

func targetFields[T any](of func(*T) *target) []field[T] {
	return []field[T]{
		{"user", text(func(r *T) *string { return &of(r).user })},
		{"client", text(func(r *T) *string { return &of(r).client })},
		{"session", text(func(r *T) *string { return &of(r).session })},
	}
}

func (h *call) target(t *target) (hub.Target, error) {
	switch {
	case t.session != "":
		return hub.Target{}, notSupported("session", "name the session by client")
	case t.user == "" && t.client == "":
		return hub.Target{}, badRequest("user or client is required")
	case len(t.user) > MaxUser || len(t.client) > MaxUser:
		return hub.Target{}, limitExceeded("user and client have at most %d bytes", MaxUser)
	}
	return hub.Target{App: h.app, User: t.user, Client: t.client}, nil
}

func notSupported(name, instead string) error {
	return final(codeNotAvailable, http.StatusBadRequest, name+" is not supported: "+instead)
}

type subscribeRequest struct {
	channel string
	target
	info, data       []byte
	b64info, b64data string
	expireAt         int64
	recoverSince     *position
	override         *channel.Override
}

func overrideFields() []field[channel.Override] {
	type O = channel.Override
	return []field[O]{
		{"presence", choice(func(o *O) *channel.Choice { return &o.Presence })},
		{"join_leave", choice(func(o *O) *channel.Choice { return &o.JoinLeave })},
		{"force_recovery", choice(func(o *O) *channel.Choice { return &o.ForceRecovery })},
		{"force_positioning", choice(func(o *O) *channel.Choice { return &o.ForcePositioning })},
		{"force_push_join_leave", choice(func(o *O) *channel.Choice { return &o.ForcePushJoinLeave })},
	}
}

// choice reads Centrifugo's BoolValue, {"value": true}, or the value alone, as some
// of its libraries send it.
func choice[T any](at func(*T) *channel.Choice) func(*T, []byte) error {
	boxed := []field[bool]{{"value", flag(func(on *bool) *bool { return on })}}
	return func(r *T, v []byte) error {
		if isNull(v) {
			return nil
		}
		on := false
		var err error
		if v[0] == '{' {
			err = decode(v, &on, boxed)
		} else {
			err = boxed[0].set(&on, v)
		}
		*at(r) = channel.ChoiceOf(on)
		return err
	}
}

// position is a place in a channel's history.
type position struct {
	offset uint64
	epoch  string
}

func positionFields() []field[position] {
	return []field[position]{
		{"offset", number(func(r *position) *uint64 { return &r.offset })},
		{"epoch", text(func(r *position) *string { return &r.epoch })},
	}
}

func (p *position) engine() *engine.Position {
	if p == nil {
		return nil
	}
	return &engine.Position{Epoch: p.epoch, Offset: p.offset}
}

func subscribeFields() []field[subscribeRequest] {
	type R = subscribeRequest
	return append([]field[R]{
		{"channel", text(func(r *R) *string { return &r.channel })},
		{"info", raw(func(r *R) *[]byte { return &r.info })},
		{"b64info", text(func(r *R) *string { return &r.b64info })},
		{"data", raw(func(r *R) *[]byte { return &r.data })},
		{"b64data", text(func(r *R) *string { return &r.b64data })},
		{"expire_at", number(func(r *R) *int64 { return &r.expireAt })},
		{"recover_since", object(func(r *R) **position { return &r.recoverSince }, positionFields())},
		{"override", object(func(r *R) **channel.Override { return &r.override }, overrideFields())},
	}, targetFields(func(r *R) *target { return &r.target })...)
}

func (r *subscribeRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	if err := checkChannel(r.channel); err != nil {
		return out, err
	}
	t, err := h.target(&r.target)
	if err != nil {
		return out, err
	}
	if r.expireAt < 0 {
		return out, badRequest("expire_at is in Unix seconds, 0 means never")
	}
	o := engine.SubscribeOptions{ExpireAt: r.expireAt, Recover: r.recoverSince.engine()}
	if r.override != nil {
		o.Override = *r.override
	}
	if o.Info, err = h.attached("info", r.info, r.b64info); err != nil {
		return out, err
	}
	if o.Data, err = h.attached("data", r.data, r.b64data); err != nil {
		return out, err
	}
	if err := h.hub.Subscribe(ctx, t, r.channel, o); err != nil {
		return out, about(r.channel, "subscribing", err)
	}
	return append(out, "{}"...), nil
}

// attached is JSON that goes along with a subscription.
func (h *Handler) attached(name string, data []byte, b64 string) ([]byte, error) {
	if b64 != "" {
		if data != nil && !isNull(data) {
			return nil, badRequest("%s and b64%s: give one of them", name, name)
		}
		decoded, err := base64.StdEncoding.DecodeString(b64)
		if err != nil {
			return nil, badRequest("b64%s: %s", name, err)
		}
		if checkJSON(decoded, h.limits.MaxDepth) != nil {
			return nil, badRequest("b64%s must hold JSON", name)
		}
		data = trimLeft(decoded)
	}
	if data == nil || isNull(data) {
		return nil, nil
	}
	if len(data) > h.limits.MaxData {
		return nil, limitExceeded("%s has %d bytes, at most %d are allowed", name, len(data), h.limits.MaxData)
	}
	return oneLine(data), nil
}

type unsubscribeRequest struct {
	channel string
	target
}

func unsubscribeFields() []field[unsubscribeRequest] {
	return append([]field[unsubscribeRequest]{
		{"channel", text(func(r *unsubscribeRequest) *string { return &r.channel })},
	}, targetFields(func(r *unsubscribeRequest) *target { return &r.target })...)
}

// run ends one subscription, or with no channel all of them.
func (r *unsubscribeRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	if r.channel != "" {
		if err := checkChannel(r.channel); err != nil {
			return out, err
		}
	}
	t, err := h.target(&r.target)
	if err != nil {
		return out, err
	}
	if err := h.hub.Unsubscribe(ctx, t, r.channel); err != nil {
		return out, about(r.channel, "unsubscribing", err)
	}
	return append(out, "{}"...), nil
}

type refreshRequest struct {
	target
	expired  bool
	expireAt int64
	info     []byte
}

func refreshFields() []field[refreshRequest] {
	type R = refreshRequest
	return append([]field[R]{
		{"expired", flag(func(r *R) *bool { return &r.expired })},
		{"expire_at", number(func(r *R) *int64 { return &r.expireAt })},
		{"info", raw(func(r *R) *[]byte { return &r.info })},
	}, targetFields(func(r *R) *target { return &r.target })...)
}

// run ends connections as expired (3005), upon which clients come back with a new
// token. A longer life is only given by a token.
func (r *refreshRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	t, err := h.target(&r.target)
	if err != nil {
		return out, err
	}
	if !r.expired {
		return out, notSupported("refresh without expired", "a client's new token makes its connection last longer")
	}
	if err := h.hub.Disconnect(ctx, t, hub.DisconnectExpired); err != nil {
		return out, err
	}
	return append(out, "{}"...), nil
}

// rpcRequest calls a procedure of the server. None is defined.
type rpcRequest struct {
	method string
	params []byte
}

func rpcFields() []field[rpcRequest] {
	return []field[rpcRequest]{
		{"method", text(func(r *rpcRequest) *string { return &r.method })},
		{"params", raw(func(r *rpcRequest) *[]byte { return &r.params })},
	}
}

func (r *rpcRequest) run(_ context.Context, _ *call, out []byte) ([]byte, error) {
	if r.method == "" {
		return out, badRequest("method is required")
	}
	return out, final(codeNotFound, http.StatusNotFound, fmt.Sprintf("there is no RPC method %.40q", r.method))
}

type disconnectRequest struct {
	target
	whitelist  []string
	disconnect *goodbye
}

// goodbye is what the disconnected sessions are told.
type goodbye struct {
	code   uint64
	reason string
}

func goodbyeFields() []field[goodbye] {
	return []field[goodbye]{
		{"code", number(func(r *goodbye) *uint64 { return &r.code })},
		{"reason", text(func(r *goodbye) *string { return &r.reason })},
	}
}

func disconnectFields() []field[disconnectRequest] {
	type R = disconnectRequest
	return append([]field[R]{
		{"whitelist", texts(func(r *R) *[]string { return &r.whitelist })},
		{"disconnect", object(func(r *R) **goodbye { return &r.disconnect }, goodbyeFields())},
	}, targetFields(func(r *R) *target { return &r.target })...)
}

// Codes that sessions can be ended with: SDKs treat 3000–3499 and 4000–4499 as a
// call to reconnect, the others as final.
const (
	minDisconnectCode = 3000
	maxDisconnectCode = 4999
)

func (r *disconnectRequest) run(ctx context.Context, h *call, out []byte) ([]byte, error) {
	t, err := h.target(&r.target)
	if err != nil {
		return out, err
	}
	if len(r.whitelist) > MaxExcept {
		return out, limitExceeded("whitelist has %d sessions, at most %d are allowed", len(r.whitelist), MaxExcept)
	}
	t.Except = r.whitelist
	d := hub.DisconnectForced
	if r.disconnect != nil {
		if r.disconnect.code < minDisconnectCode || r.disconnect.code > maxDisconnectCode {
			return out, badRequest("disconnect: code must be %d to %d", minDisconnectCode, maxDisconnectCode)
		}
		if len(r.disconnect.reason) > MaxReason {
			return out, limitExceeded("disconnect: reason has %d bytes, at most %d are allowed", len(r.disconnect.reason), MaxReason)
		}
		d = hub.Disconnect{Code: uint32(r.disconnect.code), Reason: r.disconnect.reason}
	}
	if err := h.hub.Disconnect(ctx, t, d); err != nil {
		return out, err
	}
	return append(out, "{}"...), nil
}
