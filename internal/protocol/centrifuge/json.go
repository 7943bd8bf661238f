package centrifuge

import (
	"bytes"
	"encoding/base64"

	"github.com/centrifugal/protocol"
	"github.com/centrifugal/protocol/cfjson"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// jsonCodec is the JSON encoding: a message is a line. bare leaves out what a
// reply puts around a push, as unidirectional transports do.
type jsonCodec struct{ bare bool }

var newline = []byte{'\n'}

func (jsonCodec) name() string { return "json" }

func (jsonCodec) next(frame []byte) (command, rest []byte, more bool, err error) {
	command, rest, more = bytes.Cut(frame, newline)
	return command, rest, more && len(rest) > 0, nil // one newline may end the frame
}

func (jsonCodec) decode(line []byte, maxDepth int, cmd *protocol.Command) (string, error) {
	return decode(line, maxDepth, cmd)
}

func (jsonCodec) payload(data []byte, _ int) (kept []byte, binary bool) { return oneLine(data), false }

func (jsonCodec) trim(frame []byte) []byte { return bytes.TrimSuffix(frame, newline) }

func (jsonCodec) separate(b []byte) []byte { return append(b, '\n') }

func (jsonCodec) ping(b []byte) []byte { return append(b, "{}"...) }

func (jsonCodec) reply(b []byte, r *protocol.Reply) []byte { return r.AppendJSON(b) }

func (c jsonCodec) push(b []byte, p *protocol.Push) []byte {
	if c.bare {
		return p.AppendJSON(b)
	}
	return (&protocol.Reply{Push: p}).AppendJSON(b)
}

// data is a publication's as JSON: what is none becomes a string in base64.
func (jsonCodec) data(pub *engine.Publication) protocol.Raw {
	if !pub.Binary {
		return pub.Data
	}
	b := make([]byte, 0, base64.StdEncoding.EncodedLen(len(pub.Data))+2)
	return appendBase64(b, pub.Data)
}

func (c jsonCodec) event(b []byte, e *hub.Event) []byte {
	if !c.bare {
		b = append(b, `{"push":`...)
	}
	switch e.Kind {
	case hub.EventPublication:
		b = appendPub(b, e)
	case hub.EventJoin:
		b = appendJoinLeave(b, e.Channel, `"join":{"info":`, e.Info)
	case hub.EventLeave:
		b = appendJoinLeave(b, e.Channel, `"leave":{"info":`, e.Info)
	}
	if !c.bare {
		b = append(b, '}')
	}
	return b
}

func (jsonCodec) emptyReply(b []byte, id uint32, method string) []byte {
	return appendEmptyReply(b, id, method)
}

func (jsonCodec) errorReply(b []byte, id uint32, code *errorCode) []byte {
	return appendErrorReply(b, id, code)
}

func (jsonCodec) subscribeReply(b []byte, id uint32, res *hub.SubscribeResult) []byte {
	return appendSubscribeReply(b, id, res)
}

func (jsonCodec) historyReply(b []byte, id uint32, res *engine.HistoryResult) []byte {
	return appendHistoryReply(b, id, res)
}

func (jsonCodec) presenceReply(b []byte, id uint32, members engine.Members) []byte {
	return appendPresenceReply(b, id, members)
}

// appendJSONText writes data as a JSON string.
func appendJSONText(b, data []byte) []byte { return cfjson.AppendString(b, string(data)) }

func appendBase64(b, data []byte) []byte {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, data)
	return append(b, '"')
}

// appendJSON writes JSON without line breaks, which can only stand between
// tokens: on the wire a line is a message.
func appendJSON(b, data []byte) []byte {
	if bytes.IndexByte(data, '\r') < 0 {
		return cfjson.AppendRaw(b, data)
	}
	return cfjson.AppendRaw(b, bytes.ReplaceAll(data, []byte{'\r'}, nil))
}
