package plain

import "time"

// The plain protocol on one page. Server-Sent Events are those of WHATWG HTML, 9.2.
//
// # Requests
//
//	channel   a channel to subscribe to; may be repeated. Those that the token lists
//	          come unasked
//	token     a connection token; the header Authorization: Bearer does as well
//	position  where the client stands; the header Last-Event-ID does as well and is
//	          preferred, as a browser's EventSource sends it when it comes back
//	padding   SSE: 1 asks for 2 KiB of a comment at the start, for what is on the way
//	          and holds small responses back
//	wait      poll: how long to wait for a message, such as 25s or 25; 0 asks for
//	          what there is; at most MaxWait
//
// # Positions
//
// A position says where a client stands in all its channels at once:
//
//	NAME:EPOCH:OFFSET,NAME:EPOCH:OFFSET,…
//
// In NAME and EPOCH every byte but letters, digits, "_", "." and "-" is written as
// "~" and two hexadecimal digits, so that a position can stand in a header and in
// a query as it is. Only channels with recovery are in it. A channel that is in it
// and not among those asked for is ignored; one that is asked for and not in it
// begins now. Positions of one request are bounded by MaxPositions bytes, which
// is known when it begins: channels that could outgrow it are refused.
//
// # Server-Sent Events
//
//	retry: 3000
//	: padding
//
//	event: subscribed                      once for each channel, before anything else
//	id: POSITION
//	data: {"channel":"a","epoch":"E","offset":7,"recovered":true}
//
//	id: POSITION                           a publication
//	data: {"channel":"a","data":…,"offset":8}
//
//	:                                      a heartbeat
//
//	event: unsubscribed                    a backend ended a subscription
//	data: {"channel":"a","code":2000,"reason":"server unsubscribe"}
//
//	event: disconnect                      the last of all
//	data: {"code":3001,"reason":"shutdown"}
//
// recovered is there when the request had a position for the channel: true says
// that everything missed follows, false that something is lost; offset is where
// the channel stands. A publication has, besides channel and data, where they are
// given: offset, event (its name), tags, info (who published: user, client,
// conn_info, chan_info) and time (Unix milliseconds). Data that is not JSON comes
// in base64 as b64data. The events join and leave carry channel and info, where
// the namespace pushes them unasked. What is not subscribed to before the first
// event is not an event but the response: HTTP status and
// {"error":{"code":103,"message":"…"}}, in the form of the server API; but an
// EventSource would never come back from that, so where it should, it is told to
// disconnect in a response of its own.
//
// # Polls
//
//	{"messages":[…],"position":"POSITION","recovered":{"a":true}}
//
// The reply comes as soon as there is a message, or something is lost, or a
// backend ended a subscription, or wait is over: messages is then empty. A message
// is a publication as above. The next poll carries the position. Without one it
// begins now. What is published between polls to a channel without recovery is
// not seen; while a poll waits its client counts as present, but nobody is told
// that it comes and goes.

// Limits and times.
const (
	// DefaultWait is how long a poll waits that does not say.
	DefaultWait = 25 * time.Second
	// MaxWait is the longest wait; longer ones meet the patience of proxies.
	MaxWait = time.Minute
	// MaxPositions is the longest position, in bytes. It has to fit into a header.
	MaxPositions = 8 << 10
	// MaxChannels is how many channels one request may name; the session's own limit
	// may be lower.
	MaxChannels = 256
	// maxReply is how many bytes of messages one poll brings, but one message at least.
	maxReply = 256 << 10
	// maxHeld is how many publications wait for the last of several channels to be
	// subscribed to; a client that would have more comes back.
	maxHeld = 4096
	// retryAfter is how soon an EventSource comes back.
	retryAfter = 3 * time.Second
	// paddingSize is what asks for padding get.
	paddingSize = 2 << 10
)
