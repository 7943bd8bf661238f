package centrifuge

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/centrifugal/protocol"
	"github.com/centrifugal/protocol/cfprotobuf"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// protobufCodec is the Protobuf encoding: a message is its length as a varint,
// and then so many bytes.
type protobufCodec struct{}

var errBadLength = errors.New("a length that does not fit the frame")

func (protobufCodec) name() string { return "protobuf" }

func (protobufCodec) next(frame []byte) (command, rest []byte, more bool, err error) {
	if len(frame) == 0 {
		return nil, nil, false, errNothing
	}
	size, n := binary.Uvarint(frame)
	if n <= 0 || size > uint64(len(frame)-n) {
		return nil, nil, false, errBadLength
	}
	command, rest = frame[n:n+int(size)], frame[n+int(size):]
	return command, rest, len(rest) > 0, nil
}

func (protobufCodec) decode(command []byte, _ int, cmd *protocol.Command) (string, error) {
	if err := cmd.UnmarshalCF(command); err != nil {
		return "", err
	}
	return requestOf(cmd)
}

// payload looks whether data is JSON: only then can clients of the other encoding
// be given it as it is.
func (protobufCodec) payload(data []byte, maxDepth int) (kept []byte, binary bool) {
	return data, tooDeep(data, maxDepth) || !utf8.Valid(data) || !json.Valid(data)
}

func (protobufCodec) trim(frame []byte) []byte { return frame }

func (protobufCodec) separate(b []byte) []byte { return b }

func (protobufCodec) ping(b []byte) []byte { return append(b, 0) }

func (protobufCodec) reply(b []byte, r *protocol.Reply) []byte {
	size := r.SizeCF()
	b = binary.AppendUvarint(b, uint64(size))
	b = slices.Grow(b, size)
	at := len(b)
	b = b[:at+size]
	if _, err := r.MarshalToSizedBufferCF(b[at:]); err != nil {
		panic(err) // it fails only for a buffer that is not of its size
	}
	return b
}

func (c protobufCodec) push(b []byte, p *protocol.Push) []byte {
	return c.reply(b, &protocol.Reply{Push: p})
}

func (protobufCodec) data(pub *engine.Publication) protocol.Raw { return pub.Data }

func (c protobufCodec) emptyReply(b []byte, id uint32, method string) []byte {
	r := &protocol.Reply{Id: id}
	switch method {
	case methodPublish:
		r.Publish = &protocol.PublishResult{}
	case methodUnsubscribe:
		r.Unsubscribe = &protocol.UnsubscribeResult{}
	}
	return c.reply(b, r)
}

func (c protobufCodec) errorReply(b []byte, id uint32, code *errorCode) []byte {
	return c.reply(b, &protocol.Reply{Id: id, Error: &protocol.Error{Code: code.code, Message: code.message, Temporary: code.temporary}})
}

func (c protobufCodec) subscribeReply(b []byte, id uint32, res *hub.SubscribeResult) []byte {
	result := subscribeResult(res)
	result.Publications = publications(c, res.Publications)
	return c.reply(b, &protocol.Reply{Id: id, Subscribe: result})
}

func (c protobufCodec) historyReply(b []byte, id uint32, res *engine.HistoryResult) []byte {
	return c.reply(b, &protocol.Reply{Id: id, History: &protocol.HistoryResult{
		Publications: publications(c, res.Publications), Epoch: res.Top.Epoch, Offset: res.Top.Offset,
	}})
}

func (c protobufCodec) presenceReply(b []byte, id uint32, members engine.Members) []byte {
	list := make(map[string]*protocol.ClientInfo, len(members))
	for client, info := range members {
		list[client] = clientInfo(info)
	}
	return c.reply(b, &protocol.Reply{Id: id, Presence: &protocol.PresenceResult{Presence: list}})
}

// Numbers of the fields that are written by hand (client.proto).
const (
	fieldReplyPush = 4

	fieldPushChannel = 2
	fieldPushPub     = 4
	fieldPushJoin    = 5
	fieldPushLeave   = 6

	fieldPubData   = 4
	fieldPubInfo   = 5
	fieldPubOffset = 6
	fieldPubTags   = 7
	fieldPubDelta  = 8
	fieldPubTime   = 9

	fieldJoinInfo = 1 // and of a leave

	fieldInfoUser     = 1
	fieldInfoClient   = 2
	fieldInfoConnInfo = 3
	fieldInfoChanInfo = 4

	fieldMapKey   = 1
	fieldMapValue = 2
)

// event writes what a server encodes most: a message in a push in a reply, each
// with its size before it, and so measured from the inside out.
func (protobufCodec) event(b []byte, e *hub.Event) []byte {
	var field, body int
	var data []byte
	var delta bool
	switch e.Kind {
	case hub.EventPublication:
		data, delta = protoData(e)
		field, body = fieldPushPub, sizePublication(e.Publication, data, delta)
	case hub.EventJoin:
		field, body = fieldPushJoin, sizeField(sizeInfo(e.Info))
	case hub.EventLeave:
		field, body = fieldPushLeave, sizeField(sizeInfo(e.Info))
	default:
		return b
	}
	push := sizeText(len(e.Channel)) + sizeField(body)
	b = binary.AppendUvarint(b, uint64(sizeField(push)))
	b = appendSize(b, fieldReplyPush, push)
	b = appendText(b, fieldPushChannel, e.Channel)
	b = appendSize(b, field, body)
	if e.Kind == hub.EventPublication {
		return appendProtoPublication(b, e.Publication, data, delta)
	}
	b = appendSize(b, fieldJoinInfo, sizeInfo(e.Info))
	return appendProtoInfo(b, e.Info)
}

// sizeField is what a field of numbers below 16 takes with its size before it.
func sizeField(n int) int { return 1 + cfprotobuf.SizeOfMessage(n) }

// sizeText is the same, but nothing for an empty one, which is left out.
func sizeText(n int) int {
	if n == 0 {
		return 0
	}
	return sizeField(n)
}

// protoData is the data of a publication or the change that leads to it.
func protoData(e *hub.Event) (data []byte, delta bool) {
	if e.Delta != nil {
		if patch := change(e, false); patch != nil {
			return patch, true
		}
	}
	return e.Publication.Data, false
}

func sizePublication(pub *engine.Publication, data []byte, delta bool) int {
	n := sizeText(len(data))
	if delta {
		n += 2
	}
	if pub.Info != nil {
		n += sizeField(sizeInfo(pub.Info))
	}
	if pub.Offset > 0 {
		n += 1 + cfprotobuf.SizeOfVarint(pub.Offset)
	}
	for k, v := range pub.Tags {
		if k != eventTag || pub.Event == "" {
			n += sizeField(sizeTag(k, v))
		}
	}
	if pub.Event != "" {
		n += sizeField(sizeTag(eventTag, pub.Event))
	}
	if pub.Time != 0 {
		n += 1 + cfprotobuf.SizeOfVarint(uint64(pub.Time))
	}
	return n
}

func sizeTag(k, v string) int { return sizeField(len(k)) + sizeField(len(v)) }

func sizeInfo(info *engine.ClientInfo) int {
	return sizeText(len(info.User)) + sizeText(len(info.Client)) + sizeText(len(info.ConnInfo)) + sizeText(len(info.ChanInfo))
}

func appendProtoPublication(b []byte, pub *engine.Publication, data []byte, delta bool) []byte {
	b = appendText(b, fieldPubData, data)
	if pub.Info != nil {
		b = appendSize(b, fieldPubInfo, sizeInfo(pub.Info))
		b = appendProtoInfo(b, pub.Info)
	}
	if pub.Offset > 0 {
		b = append(b, fieldPubOffset<<3|cfprotobuf.WireVarint)
		b = binary.AppendUvarint(b, pub.Offset)
	}
	if pub.Event != "" {
		b = appendProtoTag(b, eventTag, pub.Event)
	}
	if len(pub.Tags) > 0 {
		b = appendProtoTags(b, pub)
	}
	if delta {
		b = append(b, fieldPubDelta<<3|cfprotobuf.WireVarint, 1)
	}
	if pub.Time != 0 {
		b = append(b, fieldPubTime<<3|cfprotobuf.WireVarint)
		b = binary.AppendUvarint(b, uint64(pub.Time))
	}
	return b
}

// appendProtoTags writes tags in order of their keys, so that a publication is
// always the same bytes.
func appendProtoTags(b []byte, pub *engine.Publication) []byte {
	var few [16]string // enough to stay off the heap nearly always
	keys := slices.AppendSeq(few[:0], maps.Keys(pub.Tags))
	slices.Sort(keys)
	for _, k := range keys {
		if k != eventTag || pub.Event == "" {
			b = appendProtoTag(b, k, pub.Tags[k])
		}
	}
	return b
}

func appendProtoTag(b []byte, key, value string) []byte {
	b = appendSize(b, fieldPubTags, sizeTag(key, value))
	b = append(appendSize(b, fieldMapKey, len(key)), key...)
	return append(appendSize(b, fieldMapValue, len(value)), value...)
}

func appendProtoInfo(b []byte, info *engine.ClientInfo) []byte {
	b = appendText(b, fieldInfoUser, info.User)
	b = appendText(b, fieldInfoClient, info.Client)
	b = appendText(b, fieldInfoConnInfo, info.ConnInfo)
	return appendText(b, fieldInfoChanInfo, info.ChanInfo)
}

// appendSize begins a field of n bytes.
func appendSize(b []byte, field, n int) []byte {
	b = append(b, byte(field<<3|cfprotobuf.WireBytes))
	return binary.AppendUvarint(b, uint64(n))
}

// appendText writes a field of bytes; an empty one is left out.
func appendText[T string | []byte](b []byte, field int, v T) []byte {
	if len(v) == 0 {
		return b
	}
	return append(appendSize(b, field, len(v)), v...)
}
