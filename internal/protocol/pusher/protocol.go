package pusher

import "time"

// The Pusher Channels protocol on one page. Source: "Pusher Channels Protocol" and
// "Authentication and authorization signatures" of pusher.com/docs/channels, and
// what the published pusher-js does.
//
// # Messages
//
// Both sides send JSON objects, one in a message:
//
//	{"event":"…","channel":"…","data":…}
//
// channel is there when the event belongs to one. data from a client is a JSON
// value, or the same as a JSON string. data from the server is always a string,
// JSON as a rule, but in pusher:error and pusher:signin_success, where it is an
// object. Unknown fields are ignored.
//
// # Flow
//
// The client opens /app/{key}?protocol=7&client=…&version=…. The server's first
// message is pusher:connection_established with the socket id, which is the
// session's id in two decimal numbers, and the activity timeout in seconds. Or it
// is pusher:error, and the connection is closed with the same code.
//
// # From the client
//
//	pusher:subscribe    channel, auth, channel_data → pusher_internal:subscription_succeeded
//	                    or pusher:subscription_error
//	pusher:unsubscribe  channel; nothing is answered
//	pusher:signin       auth, user_data → pusher:signin_success; or pusher:error, and the end
//	pusher:ping         → pusher:pong
//	pusher:pong         the answer to the server's pusher:ping
//	client-…            with a channel: to the channel's other subscribers
//
// # From the server
//
//	pusher:connection_established            socket_id, activity_timeout
//	pusher:error                             code (null: none), message
//	pusher:ping, pusher:pong
//	pusher:signin_success                    user_data
//	pusher:subscription_error                type, error, status
//	pusher:cache_miss                        a cache channel that has nothing yet
//	pusher_internal:subscription_succeeded   presence {count, ids, hash} on presence channels
//	pusher_internal:member_added             user_id, user_info
//	pusher_internal:member_removed           user_id
//	pusher_internal:subscription_count       subscription_count
//	pusher_internal:watchlist_events         events [{name: online or offline, user_ids}]
//	anything else                            a publication; user_id names its publisher on presence channels
//
// # Channels
//
// The kind of a channel is in its name and holds through every protocol:
// private- and presence- need a grant, presence- has members, private-encrypted-
// carries what the server cannot read, cache- keeps the latest publication. Each
// subscriber of a cache channel is sent the latest publication first, or
// pusher:cache_miss. #server-to-user-ID is for the user who signed in as ID.
//
// A public channel may be subscribed to when its namespace allows it to
// everybody. Names cannot hold a colon, which separates the parts of signed text;
// the longest of the namespaces' prefixes decides which one a channel belongs to.
//
// A member is told of once for each user, however many connections the user has.
// A session of another protocol is a member under its user, or, without one,
// under its session's id.
//
// # Signatures
//
// auth is KEY:SIGNATURE, the signature being the lower-case hexadecimal
// HMAC-SHA256 with the App's secret of
//
//	socket_id:channel                  subscribe
//	socket_id:channel:channel_data     subscribe, whenever there is channel_data
//	socket_id::user::user_data         signin
//
// channel_data is JSON with user_id and user_info; a presence channel takes it
// from the sign-in where it is not given. user_data is JSON with id, user_info and
// watchlist.
//
// # Publications
//
// The event's name is the publication's, or its tag "event", or "message". data is
// the publication's JSON as text; a JSON string that holds no JSON itself travels
// without its quotes. Data that is not JSON travels in base64. The other way the
// same: text that is JSON becomes that JSON, other text a JSON string.
//
// # Liveness
//
// The server asks the transport to prove that the peer lives: WebSocket's own
// ping, or a heartbeat over XHR, since not every SDK answers pusher:ping. Where
// a transport cannot, pusher:ping is sent. Any message of the client is an
// answer. The client asks by itself when the server has been silent for the
// activity timeout.
//
// # Codes
//
// From 4000 to 4099 a client does not come back, from 4100 to 4199 it waits a
// second or more, from 4200 to 4299 it comes back at once. codes.go holds those
// that are used, and which of the hub's reasons becomes which.
const (
	eventEstablished     = "pusher:connection_established"
	eventError           = "pusher:error"
	eventPing            = "pusher:ping"
	eventPong            = "pusher:pong"
	eventSignin          = "pusher:signin"
	eventSigninSuccess   = "pusher:signin_success"
	eventSubscribe       = "pusher:subscribe"
	eventUnsubscribe     = "pusher:unsubscribe"
	eventSubscriptionErr = "pusher:subscription_error"
	eventCacheMiss       = "pusher:cache_miss"
	eventSucceeded       = "pusher_internal:subscription_succeeded"
	eventMemberAdded     = "pusher_internal:member_added"
	eventMemberRemoved   = "pusher_internal:member_removed"
	eventCount           = "pusher_internal:subscription_count"
	eventWatchlist       = "pusher_internal:watchlist_events"

	// clientPrefix begins the names of events that clients send each other.
	clientPrefix = "client-"
	// reservedPrefix begins the names of the protocol's own events.
	reservedPrefix = "pusher"
	// eventTag is the tag that carries an event name through other protocols.
	eventTag = "event"
	// DefaultEvent names a publication that has no event name.
	DefaultEvent = "message"
)

// The versions of the protocol that are served; older ones have other messages.
const (
	minProtocol = 5
	maxProtocol = 7
)

// Limits of the protocol.
const (
	MaxChannelName = 164 // bytes
	MaxEventName   = 200 // bytes
	MaxUserID      = 128 // bytes
	MaxWatchlist   = 100 // users
	MaxMembers     = 100 // users on a presence channel, for those who come through this protocol
	MaxMemberData  = 1 << 10
	MaxUserData    = 16 << 10
)

// Defaults of Config.
const (
	DefaultActivityTimeout = 120 * time.Second
	DefaultEventRate       = 10
	DefaultMaxData         = 10 << 10
)
