package centrifuge

// The Centrifuge client protocol on one page. Source: client.proto of
// github.com/centrifugal/protocol, and what the published SDKs do.
//
// # Frames
//
// In JSON a frame is one or several objects, a line each. The client sends
// commands; the server sends replies, which carry the id of their command, and
// pushes, which carry none. Replies to commands of one frame that are ready when
// the frame has been read leave together in one frame; the others follow as they
// become ready, in any order. Unknown fields are ignored, so that newer clients
// can speak to this server.
//
//	client  {"id":1,"METHOD":{…}}          command; an id of 1 or more
//	server  {"id":1,"METHOD":{…}}          reply
//	server  {"id":1,"error":{"code":103,"message":"permission denied"}}
//	server  {"push":{"channel":"c","KIND":{…}}}
//	server  {}                             ping
//	client  {}                             pong, the answer to a ping
//
// In Protobuf a frame is one or several messages, Command one way and Reply the
// other, each after its length as a varint; a ping and a pong are a length of 0.
// A unidirectional client sends one ConnectRequest in JSON, in whatever way its
// transport has, and is sent a Push a line:
//
//	client  {"token":"…"}                  connect request; may be empty
//	server  {"connect":{…}}                the answer, or else the connection ends
//	server  {"channel":"c","KIND":{…}}     push
//	server  {}                             ping, which needs no answer
//	server  {"disconnect":{…}}             the last line, where no close frame can say why
//
// # Flow
//
// The first command is connect; its reply names the session and says how often
// the server pings. Commands that follow in the same frame, or before the reply,
// are answered after it. When connect fails, the reply says why and nothing else
// is answered on this connection. A subscribe makes pushes flow; its reply comes
// before the first of them. The server ends a subscription with an unsubscribe
// push, and the connection with a close frame that carries a disconnect code;
// the code alone tells the client whether to come back.
//
// # Commands
//
//	connect         token, data, headers, name, version → client, data, version, ping (seconds), pong, expires, ttl (seconds);
//	                where commands come in requests of their own also session (a secret) and node;
//	                subs {channel: recover, epoch, offset} → subs {channel: as of subscribe}
//	subscribe       channel, token, recover, epoch, offset, positioned, recoverable, join_leave, flag, delta, tf
//	                → recoverable, positioned, epoch, offset, was_recovering, recovered, publications, expires, ttl, data, delta
//	unsubscribe     channel → {}
//	publish         channel, data → {}
//	history         channel, limit, since {epoch, offset}, reverse → publications, epoch, offset
//	presence        channel → presence {client: info}
//	presence_stats  channel → num_clients, num_users
//	refresh         token → client, version, expires, ttl
//	sub_refresh     channel, token → expires, ttl
//	rpc             method, data → data of the backend; error 108 where there is none
//	send            data → nothing, ever; accepted and dropped: there is no backend to hand it to
//	ping            → error 108; liveness is the server's ping
//
// connect's subs in the reply are the subscriptions that the token brings; those
// in the request say where the client stands on them. A unidirectional client is
// subscribed to the others of its request too, with the permissions of a
// subscribe; what is not in the reply was refused.
//
// A recovered subscribe carries the offset that the client asked for, and the
// publications move it from there; any other carries the channel's top. What does
// not fit the reply follows as pub pushes, before any live one. With bit
// 1 of flag the client wants error 112 in place of a subscription that could not
// be recovered. Bit 0 (short channel ids) is not granted, which its absence from the
// reply tells the client.
//
// A backend may be asked about connect, subscribe, publish and rpc: data goes to it and
// comes from it, its errors (any code and message) are replies, its disconnects close
// frames. expires and ttl are not told where the backend is asked for more time, and
// not the client.
//
// delta "fossil" asks for publications as changes (see delta.go), where the
// namespace allows it: each pub with delta: true is to be applied to the data of
// the pub before it. tf, where the namespace allows it, chooses publications by
// their tags (see filter.go); a malformed one is error 107, one that is not
// allowed 108. With both, the filter is taken and delta is not.
//
// history: limit 0 asks for the position only, a negative one for as many as one
// page holds. Reading backwards from offset 0 is error 107.
//
// # Pushes
//
//	pub          data, info, offset, tags, time, delta
//	join, leave  info {user, client, conn_info, chan_info}
//	subscribe    the server made a subscription: recoverable, positioned, epoch, offset, data
//	unsubscribe  the server ended one: code, reason
//
// connect is the first push to a unidirectional client; disconnect ends a stream
// whose transport has no close frame. message and refresh are not sent.
//
// A publication has an offset only with history. time is when it was ordered, in
// Unix milliseconds. An event name travels as the tag "event". Data that is not
// JSON is given to clients of the JSON encoding as a JSON string in base64; what a
// client of the Protobuf encoding publishes is looked at, once, for whether it is
// JSON.
//
// # What is malformed
//
// A frame without a command, JSON that is none or is not UTF-8, nests deeper or
// holds more commands than the limits below, a field of the wrong type, a field
// given twice, a command with no method or several, with id 0 (but send), or
// without a channel where one belongs, a refresh without a token, any command
// before connect, a second connect, and a pong without a ping end the connection
// with 3501. Commands before the malformed one have been done.
//
// # Codes
//
// codes.go holds every code with its meaning, and which error of the hub becomes
// which; docs/codes.md is the same for readers. An expired connection token
// gives error 109 to connect, so that the client fetches another, but disconnect
// 3005 to refresh: SDKs take an error there for final. For the same reason
// sub_refresh with an expired token disconnects with 3006. An invalid connection
// token disconnects with 3500; an invalid subscription token is error 103. What
// is refused for want of room (busy, read-only store) is error 111, temporary:
// nothing was stored.

// Names of the methods, as on the wire.
const (
	methodConnect       = "connect"
	methodSubscribe     = "subscribe"
	methodUnsubscribe   = "unsubscribe"
	methodPublish       = "publish"
	methodPresence      = "presence"
	methodPresenceStats = "presence_stats"
	methodHistory       = "history"
	methodPing          = "ping"
	methodSend          = "send"
	methodRPC           = "rpc"
	methodRefresh       = "refresh"
	methodSubRefresh    = "sub_refresh"
)

// flagRejectUnrecovered of a subscribe asks for error 112 instead of
// recovered: false.
const flagRejectUnrecovered = 1 << 1

// mapPublish is the type of a publish to a map, which is not offered.
const mapPublish = 1

// maxSubscribeType is the highest type of subscription the protocol knows; all
// but 0, the stream, are not offered.
const maxSubscribeType = 4

// maxSubRefreshType is the highest type of sub_refresh the protocol knows; all
// but 0 are about subscriptions that are not offered.
const maxSubRefreshType = 2

// eventTag is the tag that carries a publication's event name.
const eventTag = "event"

// Limits of what a client may send, defaults of Config.
const (
	DefaultMaxDepth    = 128       // objects and arrays within each other in one command
	DefaultMaxCommands = 1024      // in one frame
	DefaultMaxReply    = 512 << 10 // bytes of a presence reply; beyond them: error 106
)

// Limits that nobody needs to change.
const (
	// maxHeld is how many bytes of commands wait for the connect reply; more is
	// malformed, and nothing that an SDK does.
	maxHeld = 64 << 10
	// maxPooledBuffer keeps a large reply's buffer from being held for ever.
	maxPooledBuffer = 64 << 10
)
