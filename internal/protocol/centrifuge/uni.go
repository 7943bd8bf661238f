package centrifuge

import (
	"errors"

	"github.com/centrifugal/protocol"
	"github.com/centrifugal/protocol/cfjson"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// listener is a session of a unidirectional transport: it says once who it is,
// and then listens.
type listener struct {
	proto *Protocol
	s     session
	asked bool // the connect request has come
}

// receive takes the connect request. A listener has nothing else to say; what a
// transport hands on beyond it is ignored.
func (l *listener) receive(msg []byte) {
	if l.asked {
		return
	}
	l.asked = true
	var r protocol.ConnectRequest
	if err := decodeConnect(msg, l.proto.cfg.MaxDepth, &r); err != nil {
		l.proto.cfg.Log.Debug("malformed connect request", "error", err)
		l.s.Disconnect(hub.DisconnectBadRequest)
		return
	}
	request := connectRequest(l.proto, &r)
	request.OneWay, request.Ask = true, true
	for name, sub := range request.Subs {
		sub.Delta = "" // plain clients hold no base to change
		request.Subs[name] = sub
	}
	l.s.Connect(request, func(res hub.ConnectResult, err error) {
		if err != nil {
			l.refuse(err)
			return
		}
		result := connectResult(l.proto, l.s, &res)
		l.send(func(b []byte) []byte {
			return l.proto.codec.push(b, &protocol.Push{Connect: &protocol.Connect{
				Client: result.Client, Version: result.Version, Subs: result.Subs,
				Expires: result.Expires, Ttl: result.Ttl, Ping: result.Ping, Data: result.Data,
			}})
		})
		l.proto.cfg.Count(methodConnect, 0)
	})
}

// decodeConnect reads a connect request without a command around it. An empty
// one is that of a client without a token.
func decodeConnect(msg []byte, maxDepth int, r *protocol.ConnectRequest) error {
	start := cfjson.SkipSpace(msg, 0)
	switch {
	case start == len(msg):
		return nil
	case msg[start] != '{':
		return errNotObject
	case tooDeep(msg, maxDepth):
		return errTooDeep
	}
	end := r.DecodeJSON(msg, start, cfjson.Prescan(msg, 0))
	if end < 0 {
		return cfjson.Error(msg, end)
	}
	if cfjson.SkipSpace(msg, end) != len(msg) {
		return cfjson.ErrTrailingData
	}
	return nil
}

// refuse ends the connection: an error reply is nothing that a listener could be
// sent.
func (l *listener) refuse(err error) {
	d := hub.DisconnectServerError
	said := backendError(err)
	switch {
	case said != nil && !said.temporary:
		d = hub.DisconnectPermissionDenied
	case errors.Is(err, hub.ErrExpired):
		d = hub.DisconnectExpired
	case errors.Is(err, channel.ErrTokenInvalid):
		d = hub.DisconnectInvalidToken
	case isExpired(err):
		d = hub.DisconnectExpired
	case errors.Is(err, hub.ErrUnauthorized):
		d = hub.DisconnectPermissionDenied
	}
	code := errorFor(err)
	if code == nil {
		code = said
	}
	if code != nil {
		l.proto.cfg.Count(methodConnect, code.code)
	} else {
		l.proto.cfg.Count(methodConnect, errInternal.code)
		l.proto.cfg.Log.Error("connect failed", "error", err)
	}
	l.s.Disconnect(d)
}

func (l *listener) send(encode func([]byte) []byte) {
	buf := l.proto.buffer()
	buf.b = encode(buf.b)
	l.s.Send(buf.b)
	l.proto.release(buf)
}

// ping keeps the connection from looking dead.
func (l *listener) ping() { l.send(l.proto.codec.ping) }

func (l *listener) tell(n hub.Notice) {
	l.send(func(b []byte) []byte { return l.proto.appendNotice(b, n) })
}
