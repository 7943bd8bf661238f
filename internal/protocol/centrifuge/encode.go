package centrifuge

import (
	"encoding/base64"
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
func appendPub(b []byte, e *hub.Event) []byte {
	b = appendPushHead(b, e.Channel)
	b = append(b, `"pub":`...)
	if e.Delta == nil {
		b = appendPublication(b, e.Publication, false)
	} else if patch := change(e, true); patch != nil {
		b = append(b, `{"data":`...)
		b = appendJSONText(b, patch)
		b = appendRest(b, e.Publication, true)
	} else {
		b = appendPublication(b, e.Publication, true)
	}
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

// appendPublication writes a publication; with text its data as a string, whose
// content is the data in JSON, as subscriptions with delta are sent it.
func appendPublication(b []byte, pub *engine.Publication, text bool) []byte {
	b = append(b, `{"data":`...)
	switch {
	case text && pub.Binary: // base64 needs no more escapes than its quotes
		b = append(b, `"\"`...)
		b = base64.StdEncoding.AppendEncode(b, pub.Data)
		b = append(b, `\""`...)
	case text:
		b = appendJSONText(b, pub.Data)
	case pub.Binary:
		b = appendBase64(b, pub.Data)
	default:
		b = appendJSON(b, pub.Data)
	}
	return appendRest(b, pub, false)
}

// appendRest writes what follows the data of a publication.
func appendRest(b []byte, pub *engine.Publication, delta bool) []byte {
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
	if delta {
		b = append(b, `,"delta":true`...)
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

func appendPublications(b []byte, pubs []*engine.Publication, text bool) []byte {
	b = append(b, `"publications":[`...)
	for i, pub := range pubs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendPublication(b, pub, text)
	}
	return append(b, ']')
}

func appendSubscribeReply(b []byte, id uint32, res *hub.SubscribeResult) []byte {
	result := subscribeResult(res)
	b = appendReplyHead(b, id, methodSubscribe)
	b = result.AppendJSON(b)
	if len(res.Publications) > 0 {
		if b = b[:len(b)-1]; b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = appendPublications(b, res.Publications, res.Delta)
		b = append(b, '}')
	}
	return append(b, '}')
}

// appendHistoryReply leaves nothing out that is empty: SDKs count on all three.
func appendHistoryReply(b []byte, id uint32, res *engine.HistoryResult) []byte {
	b = appendReplyHead(b, id, methodHistory)
	b = append(b, '{')
	b = appendPublications(b, res.Publications, false)
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
