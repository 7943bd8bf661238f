package centrifuge

import (
	"github.com/centrifugal/protocol"

	"github.com/fanfare-push/fanfare/internal/engine"
	"github.com/fanfare-push/fanfare/internal/hub"
)

// codec is the protocol in one encoding. It keeps nothing of a session. What is
// encoded is appended to b and returned; several messages make a frame, with
// separate between them.
type codec interface {
	name() string

	// next takes the first command off a frame; more says that others follow.
	next(frame []byte) (command, rest []byte, more bool, err error)
	// decode reads a command and names its method; "" is a pong. What is decoded is
	// a copy.
	decode(command []byte, maxDepth int, cmd *protocol.Command) (method string, err error)
	// payload says how data that a client published is to be kept: whether it is
	// something else than JSON.
	payload(data []byte, maxDepth int) (kept []byte, binary bool)
	// trim takes off what may end a frame and means nothing.
	trim(frame []byte) []byte
	separate(b []byte) []byte

	ping(b []byte) []byte
	reply(b []byte, r *protocol.Reply) []byte
	push(b []byte, p *protocol.Push) []byte
	data(pub *engine.Publication) protocol.Raw

	// What is encoded most has a way of its own.
	event(b []byte, e *hub.Event) []byte
	emptyReply(b []byte, id uint32, method string) []byte
	errorReply(b []byte, id uint32, code *errorCode) []byte
	subscribeReply(b []byte, id uint32, res *hub.SubscribeResult) []byte
	historyReply(b []byte, id uint32, res *engine.HistoryResult) []byte
	presenceReply(b []byte, id uint32, members engine.Members) []byte
}

// What follows turns the hub's answers into the protocol's types, for what is not
// encoded by hand.

// subscribeResult tells where a subscription starts: a recovered one at the offset
// from which its publications lead on, which are left to the caller.
func subscribeResult(res *hub.SubscribeResult) *protocol.SubscribeResult {
	result := &protocol.SubscribeResult{
		Expires: res.ExpireIn > 0, Ttl: res.ExpireIn,
		Recoverable: res.Recoverable, Positioned: res.Positioned,
		Epoch: res.Position.Epoch, Offset: res.Position.Offset,
		Recovered: res.Recovered, WasRecovering: res.WasRecovering,
		Data: res.Data, Delta: res.Delta,
	}
	if res.Recovered {
		result.Offset = res.Since
	}
	return result
}

func publications(c codec, pubs []*engine.Publication) []*protocol.Publication {
	if len(pubs) == 0 {
		return nil
	}
	list := make([]*protocol.Publication, len(pubs))
	for i, pub := range pubs {
		list[i] = &protocol.Publication{
			Data: c.data(pub), Info: clientInfo(pub.Info), Offset: pub.Offset, Tags: tagsOf(pub), Time: pub.Time,
		}
	}
	return list
}

func clientInfo(info *engine.ClientInfo) *protocol.ClientInfo {
	if info == nil {
		return nil
	}
	return &protocol.ClientInfo{User: info.User, Client: info.Client, ConnInfo: info.ConnInfo, ChanInfo: info.ChanInfo}
}

// tagsOf are the tags with the event's name among them; it hides a tag of the
// same key.
func tagsOf(pub *engine.Publication) map[string]string {
	if pub.Event == "" {
		return pub.Tags
	}
	tags := make(map[string]string, len(pub.Tags)+1)
	for k, v := range pub.Tags {
		tags[k] = v
	}
	tags[eventTag] = pub.Event
	return tags
}

// subscribePush tells of a subscription made by the server. It starts before the
// publications that follow it, if any.
func subscribePush(channel string, res *hub.SubscribeResult) *protocol.Push {
	push := &protocol.Subscribe{
		Recoverable: res.Recoverable, Positioned: res.Positioned,
		Epoch: res.Position.Epoch, Offset: res.Position.Offset, Data: res.Data,
	}
	if len(res.Publications) > 0 && res.Publications[0].Offset > 0 {
		push.Offset = res.Publications[0].Offset - 1
	}
	return &protocol.Push{Channel: channel, Subscribe: push}
}

func unsubscribePush(channel string, u *hub.Unsubscribe) *protocol.Push {
	return &protocol.Push{Channel: channel, Unsubscribe: &protocol.Unsubscribe{Code: u.Code, Reason: u.Reason}}
}

func disconnectPush(d hub.Disconnect) *protocol.Push {
	return &protocol.Push{Disconnect: &protocol.Disconnect{Code: d.Code, Reason: d.Reason}}
}
