package pusher

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/engine"
)

// appendHead writes an event up to its data.
func appendHead(b []byte, event, ch string) []byte {
	b = appendQuoted(append(b, `{"event":`...), event)
	if ch != "" {
		b = appendQuoted(append(b, `,"channel":`...), ch)
	}
	return append(b, `,"data":`...)
}

// appendEvent writes an event with data as text.
func appendEvent(b []byte, event, ch string, data []byte) []byte {
	b = appendQuoted(appendHead(b, event, ch), data)
	return append(b, '}')
}

// appendObject writes an event with data as an object.
func appendObject(b []byte, event string, data []byte) []byte {
	b = append(appendHead(b, event, ""), data...)
	return append(b, '}')
}

func appendPublication(b []byte, ch string, pub *engine.Publication) []byte {
	b = appendData(appendHead(b, eventOf(pub), ch), pub)
	if pub.Info != nil && channel.KindOf(ch).Has(channel.KindPresence) {
		b = appendQuoted(append(b, `,"user_id":`...), MemberID(pub.Info))
	}
	return append(b, '}')
}

// eventOf is a publication's event name, or the tag that stands for it where
// there are no event names. One of the protocol's own names would have clients
// believe that the server speaks.
func eventOf(pub *engine.Publication) string {
	for _, name := range []string{pub.Event, pub.Tags[eventTag]} {
		if name != "" && !IsReserved(name) {
			return name
		}
	}
	return DefaultEvent
}

// MemberID names a session to the others of a presence channel.
func MemberID(info *engine.ClientInfo) string {
	if info.User == "" {
		return info.Client
	}
	return info.User
}

func memberInfo(info *engine.ClientInfo) json.RawMessage {
	switch {
	case len(info.ChanInfo) > 0:
		return info.ChanInfo
	case len(info.ConnInfo) > 0:
		return info.ConnInfo
	}
	return json.RawMessage("{}")
}

func appendMember(b []byte, event, ch string, info *engine.ClientInfo) []byte {
	data := appendQuoted([]byte(`{"user_id":`), MemberID(info))
	if event == eventMemberAdded {
		data = append(append(data, `,"user_info":`...), memberInfo(info)...)
	}
	return appendEvent(b, event, ch, append(data, '}'))
}

func appendCount(b []byte, ch string, count int) []byte {
	data := strconv.AppendInt([]byte(`{"subscription_count":`), int64(count), 10)
	return appendEvent(b, eventCount, ch, append(data, '}'))
}

func appendWatchlist(b []byte, name string, users []string) []byte {
	data := appendQuoted([]byte(`{"events":[{"name":`), name)
	data = append(data, `,"user_ids":[`...)
	for i, user := range users {
		if i > 0 {
			data = append(data, ',')
		}
		data = appendQuoted(data, user)
	}
	return appendEvent(b, eventWatchlist, "", append(data, "]}]}"...))
}

// appendSucceeded answers a subscription; members is nil but on a presence
// channel.
func appendSucceeded(b []byte, ch string, members engine.Members) []byte {
	if members == nil {
		return appendEvent(b, eventSucceeded, ch, []byte("{}"))
	}
	users := make(map[string]json.RawMessage, len(members))
	for _, info := range members {
		users[MemberID(info)] = memberInfo(info)
	}
	ids := make([]string, 0, len(users))
	for id := range users {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	list, hash := []byte{'['}, []byte{'{'}
	for i, id := range ids {
		if i > 0 {
			list, hash = append(list, ','), append(hash, ',')
		}
		list, hash = appendQuoted(list, id), appendQuoted(hash, id)
		hash = append(append(hash, ':'), users[id]...)
	}
	data := strconv.AppendInt([]byte(`{"presence":{"count":`), int64(len(ids)), 10)
	data = append(append(data, `,"ids":`...), list...)
	data = append(append(data, `],"hash":`...), hash...)
	return appendEvent(b, eventSucceeded, ch, append(data, "}}}"...))
}

func appendRefusal(b []byte, ch string, r refusal) []byte {
	data := appendQuoted([]byte(`{"type":`), r.kind)
	data = appendQuoted(append(data, `,"error":`...), r.text)
	data = strconv.AppendInt(append(data, `,"status":`...), int64(r.status), 10)
	return appendEvent(b, eventSubscriptionErr, ch, append(data, '}'))
}

// appendError writes pusher:error; code 0 is sent as null.
func appendError(b []byte, code uint32, message string) []byte {
	data := []byte(`{"code":null`)
	if code > 0 {
		data = strconv.AppendUint([]byte(`{"code":`), uint64(code), 10)
	}
	data = appendQuoted(append(data, `,"message":`...), message)
	return appendObject(b, eventError, append(data, '}'))
}
