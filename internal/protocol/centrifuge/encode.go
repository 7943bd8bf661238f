package centrifuge

import (
	"slices"

	"github.com/centrifugal/protocol"
	"github.com/centrifugal/protocol/cfjson"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// Publications, joins and leaves are appended by hand, without a message in
// between: they are what a server encodes most. Everything else goes through the
// protocol module's types.

// appendPub writes a push of a publication, without what a reply puts around it.
func appendPub(b []byte, channel string, pub *engine.Publication) []byte {
	b = appendPushHead(b, channel)
	b = append(b, `"pub":`...)
	b = appendPublication(b, pub)
	return append(b, '}')
}

func appendPushHead(b []byte, channel string) []byte {
	b = append(b, `{"channel":`...)
	b = cfjson.AppendString(b, channel)
	return append(b, ',')
}

// appendJoinLeave writes a push of a join or a leave; open is all between the
// channel and the info.
func appendJoinLeave(b []byte, channel, open string, info *engine.ClientInfo) []byte {
	b = appendPushHead(b, channel)
	b = append(b, open...)
	b = appendInfo(b, info)
	return append(b, "}}"...)
}

func appendPublication(b []byte, pub *engine.Publication) []byte {
	b = append(b, `{"data":`...)
	if pub.Binary {
		b = appendBase64(b, pub.Data)
	} else {
		b = appendJSON(b, pub.Data)
	}
	if pub.Info != nil {
		b = append(b, `,"info":`...)
		b = appendInfo(b, pub.Info)
	}
	if pub.Offset > 0 {
		b = append(b, `,"offset":`...)
		b = cfjson.AppendUint(b, pub.Offset)
	}
	if len(pub.Tags) > 0 || pub.Event != "" {
		b = append(b, `,"tags":`...)
		b = appendTags(b, pub.Tags, pub.Event)
	}
	if pub.Time != 0 {
		b = append(b, `,"time":`...)
		b = cfjson.AppendInt(b, pub.Time)
	}
	return append(b, '}')
}

// appendTags writes tags in order of their keys. An event name hides a tag of
// the same key as eventTag.
func appendTags(b []byte, tags map[string]string, event string) []byte {
	var few [16]string // enough to stay off the heap nearly always
	keys := few[:0]
	for k := range tags {
		if k != eventTag || event == "" {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	b = append(b, '{')
	if event != "" {
		b = appendTag(b, eventTag, event)
	}
	for _, k := range keys {
		b = appendTag(b, k, tags[k])
	}
	return append(b[:len(b)-1], '}') // in place of the last comma
}

func appendTag(b []byte, key, value string) []byte {
	b = cfjson.AppendString(b, key)
	b = append(b, ':')
	b = cfjson.AppendString(b, value)
	return append(b, ',')
}

func appendInfo(b []byte, info *engine.ClientInfo) []byte {
	return (&protocol.ClientInfo{
		User: info.User, Client: info.Client, ConnInfo: info.ConnInfo, ChanInfo: info.ChanInfo,
	}).AppendJSON(b)
}

// appendReplyHead writes a reply up to its result; "}" ends it.
func appendReplyHead(b []byte, id uint32, method string) []byte {
	b = append(b, `{"id":`...)
	b = cfjson.AppendUint(b, uint64(id))
	b = append(b, `,"`...)
	b = append(b, method...)
	return append(b, `":`...)
}

// appendEmptyReply answers a command whose result holds nothing.
func appendEmptyReply(b []byte, id uint32, method string) []byte {
	b = appendReplyHead(b, id, method)
	return append(b, "{}}"...)
}

func appendErrorReply(b []byte, id uint32, code *errorCode) []byte {
	b = appendReplyHead(b, id, "error")
	b = (&protocol.Error{Code: code.code, Message: code.message, Temporary: code.temporary}).AppendJSON(b)
	return append(b, '}')
}

func appendPublications(b []byte, pubs []*engine.Publication) []byte {
	b = append(b, `"publications":[`...)
	for i, pub := range pubs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendPublication(b, pub)
	}
	return append(b, ']')
}

// appendSubscribeReply tells where the subscription starts: a recovered one at
// the offset that was asked for, from where its publications lead on.
func appendSubscribeReply(b []byte, id uint32, asked uint64, res *hub.SubscribeResult) []byte {
	result := subscribeResult(asked, res)
	b = appendReplyHead(b, id, methodSubscribe)
	b = result.AppendJSON(b)
	if len(res.Publications) > 0 {
		if b = b[:len(b)-1]; b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = appendPublications(b, res.Publications)
		b = append(b, '}')
	}
	return append(b, '}')
}

// appendHistoryReply leaves nothing out that is empty: SDKs count on all three.
func appendHistoryReply(b []byte, id uint32, res *engine.HistoryResult) []byte {
	b = appendReplyHead(b, id, methodHistory)
	b = append(b, '{')
	b = appendPublications(b, res.Publications)
	b = append(b, `,"epoch":`...)
	b = cfjson.AppendString(b, res.Top.Epoch)
	b = append(b, `,"offset":`...)
	b = cfjson.AppendUint(b, res.Top.Offset)
	return append(b, "}}"...)
}

func appendPresenceReply(b []byte, id uint32, members engine.Members) []byte {
	b = appendReplyHead(b, id, methodPresence)
	b = append(b, `{"presence":{`...)
	first := true
	for client, info := range members {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = cfjson.AppendString(b, client)
		b = append(b, ':')
		b = appendInfo(b, info)
	}
	return append(b, "}}}"...)
}
