package metrics

// This file is the closed lists of label values. Each value exists from the
// start, at 0; what is in no list is counted as "other".

// Other is the label value of what no list names.
const Other = "other"

// Protocol says what sessions speak.
type Protocol string

// Transport says what carries it.
type Transport string

// The protocols and transports.
const (
	Centrifuge Protocol = "centrifuge"
	Plain      Protocol = "plain"
	Pusher     Protocol = "pusher"

	WebSocket     Transport = "websocket"
	HTTPStream    Transport = "http_stream"
	SSE           Transport = "sse"
	LongPoll      Transport = "long_poll"
	UniWebSocket  Transport = "uni_websocket"
	UniHTTPStream Transport = "uni_http_stream"
	UniSSE        Transport = "uni_sse"
	XHRStreaming  Transport = "xhr_streaming"
	XHRPolling    Transport = "xhr_polling"
)

// Via is what sessions are counted by.
type Via struct {
	Protocol  Protocol
	Transport Transport
}

func allVias() []Via {
	return []Via{
		{Centrifuge, WebSocket},
		{Centrifuge, HTTPStream},
		{Centrifuge, SSE},
		{Centrifuge, UniWebSocket},
		{Centrifuge, UniHTTPStream},
		{Centrifuge, UniSSE},
		{Plain, SSE},
		{Plain, LongPoll},
		{Pusher, WebSocket},
		{Pusher, XHRStreaming},
		{Pusher, XHRPolling},
	}
}

// Source says who published.
type Source string

// The sources of publications.
const (
	FromAPI    Source = "api"
	FromClient Source = "client"
)

// PublishResult says how a publish ended.
type PublishResult string

// The results of a publish.
const (
	PublishOK        PublishResult = "ok"
	PublishDuplicate PublishResult = "duplicate" // the idempotency key was known
	PublishRefused   PublishResult = "refused"   // bad request, unknown channel or no permission
	PublishTooLarge  PublishResult = "too_large"
	PublishBusy      PublishResult = "busy"
	PublishReadOnly  PublishResult = "read_only"
	PublishFailed    PublishResult = "failed" // internal error, or unknown
)

// Publication is what publishes are counted by.
type Publication struct {
	Source Source
	Result PublishResult
}

func allPublications() (list []Publication) {
	for _, s := range []Source{FromAPI, FromClient} {
		for _, r := range []PublishResult{
			PublishOK, PublishDuplicate, PublishRefused, PublishTooLarge, PublishBusy, PublishReadOnly, PublishFailed,
		} {
			list = append(list, Publication{s, r})
		}
	}
	return list
}

// DropReason says why something that had been accepted was not delivered, or
// something that had been offered was not accepted for want of room.
type DropReason string

// The reasons to drop.
const (
	DropOutboxFull       DropReason = "outbox_full"        // messages of a session that was too slow
	DropOldest           DropReason = "drop_oldest"        // messages lost by slow_consumer drop_oldest
	DropConflated        DropReason = "conflated"          // messages replaced by newer ones, slow_consumer latest
	DropPublishWait      DropReason = "publish_wait"       // publishes that waited publish_wait in vain
	DropPublishQueueFull DropReason = "publish_queue_full" // publishes that found the line full
	DropReaderQueueFull  DropReason = "reader_queue_full"  // history reads that found the line full
	DropHandshakeLimit   DropReason = "handshake_limit"    // connections beyond the handshakes under way
	DropWebhookQueue     DropReason = "webhook_queue"      // events for webhooks beyond those that are kept, or that could not be
	DropWebhookExpired   DropReason = "webhook_expired"    // events whose webhooks failed for webhook.retry_for
	DropEmulationFull    DropReason = "emulation_full"     // requests of /emulation beyond those that wait for one session
	DropSearchFull       DropReason = "search_full"        // XHR requests whose session is looked for on other nodes, beyond those that wait for that
	DropNodeQueueFull    DropReason = "node_queue_full"    // publications and orders for other nodes that found the line full
)

func allDropReasons() []DropReason {
	return []DropReason{
		DropOutboxFull, DropOldest, DropConflated, DropPublishWait, DropPublishQueueFull, DropReaderQueueFull, DropHandshakeLimit,
		DropEmulationFull, DropSearchFull, DropWebhookQueue, DropWebhookExpired, DropNodeQueueFull,
	}
}

// RefusalReason says why somebody was not let in, or not allowed to do something.
type RefusalReason string

// The reasons to refuse.
const (
	RefuseToken             RefusalReason = "token" // missing, invalid or expired
	RefuseOrigin            RefusalReason = "origin"
	RefuseAPIKey            RefusalReason = "api_key"
	RefusePermission        RefusalReason = "permission"
	RefuseHandshake         RefusalReason = "handshake"          // not a valid upgrade
	RefuseConnectionLimit   RefusalReason = "connection_limit"   // of the node
	RefuseSubscriptionLimit RefusalReason = "subscription_limit" // of a session
	RefuseMemberLimit       RefusalReason = "member_limit"       // of a presence channel
	RefusePublicationSize   RefusalReason = "publication_size"
	RefuseShutdown          RefusalReason = "shutdown"
	RefuseProxyHeader       RefusalReason = "proxy_header"   // of a trusted proxy, that cannot be read
	RefuseAdminPassword     RefusalReason = "admin_password" // wrong
	RefuseAdminGuess        RefusalReason = "admin_guess"    // too many wrong passwords from one address
	RefuseCSRF              RefusalReason = "csrf"           // what another site may have asked for
	RefuseHook              RefusalReason = "hook"           // the connect hook said no or nothing, or a hook ended the session
)

func allRefusalReasons() []RefusalReason {
	return []RefusalReason{
		RefuseToken, RefuseOrigin, RefuseAPIKey, RefusePermission, RefuseHandshake, RefuseConnectionLimit,
		RefuseSubscriptionLimit, RefuseMemberLimit, RefusePublicationSize, RefuseShutdown, RefuseHook,
		RefuseProxyHeader, RefuseAdminPassword, RefuseAdminGuess, RefuseCSRF,
	}
}

// Recovery is how a returning subscriber's recovery ended.
type Recovery string

// The results of a recovery; every one but Recovered is answered with
// recovered: false.
const (
	Recovered        Recovery = "recovered"
	NotRecoveredOld  Recovery = "trimmed"  // what was missed is no longer kept
	NotRecoveredNew  Recovery = "ahead"    // the client's offset is above the channel's top
	NotRecoveredEra  Recovery = "epoch"    // the client's position is of another epoch
	NotRecoveredMany Recovery = "too_many" // more was missed than one recovery brings
)

func allRecoveries() []Recovery {
	return []Recovery{Recovered, NotRecoveredOld, NotRecoveredNew, NotRecoveredEra, NotRecoveredMany}
}

// allDisconnectCodes are those that the server uses, of the Centrifuge protocol
// where nothing else is said.
func allDisconnectCodes() []uint32 {
	return []uint32{
		100, 101, 102, 103, 106, 107, 109, 111, // requests of the plain protocol that got no session
		1002, 1007, 1009, // of RFC 6455: what the client sent is no WebSocket
		3000, 3001, 3003, 3004, 3005, 3006, 3008, 3009, 3010, 3011, 3012, 3013, 3014,
		3500, 3501, 3502, 3503, 3504, 3505, 3506, 3507, 3508, 3509,
		4001, 4006, 4007, 4008, 4009, 4100, // of the Pusher protocol
	}
}

// Command is what client commands are counted by.
type Command struct {
	Method string
	Code   uint32 // of the Centrifuge protocol's errors, or one that only the Pusher protocol has; 0: no error
}

func allCommands() (list []Command) {
	for _, m := range []string{
		"connect", "subscribe", "unsubscribe", "publish", "presence", "presence_stats", "history",
		"ping", "send", "rpc", "refresh", "sub_refresh", "unknown",
	} {
		list = append(list, Command{m, 0})
		for code := uint32(100); code <= 112; code++ {
			list = append(list, Command{m, code})
		}
	}
	// What the Pusher protocol alone has.
	return append(
		list, Command{"signin", 0}, Command{"signin", 107}, Command{"signin", 4009}, Command{"signin", 4302}, Command{"publish", 4301},
		Command{"connect", 4001}, Command{"connect", 4006}, Command{"connect", 4007}, Command{"connect", 4008}, Command{"connect", 4100},
	)
}

// APICall is what server API requests are counted by.
type APICall struct {
	Method string
	Status int // HTTP status of the outcome, also when it was answered with 200
}

// APIMethods are the methods of the server API.
func APIMethods() []string {
	return []string{
		"publish", "broadcast", "batch", "subscribe", "unsubscribe", "disconnect", "presence",
		"presence_stats", "history", "history_remove", "history_import", "channels", "dead_letters", "info", "refresh", "rpc",
		"apps", "app_create", "app_update", "app_remove", "keys", "key_create", "key_rotate", "key_revoke",
		"namespaces", "namespace_set", "namespace_remove", "cluster", "drain",
	}
}

// PusherMethods are the methods of Pusher's HTTP API.
func PusherMethods() []string {
	return []string{
		"pusher_events", "pusher_batch_events", "pusher_channels", "pusher_channel", "pusher_users", "pusher_terminate",
	}
}

// countedMethods are those of both APIs, and Other.
func countedMethods() []string { return append(append(APIMethods(), PusherMethods()...), Other) }

// APIStatuses are the HTTP statuses that the outcome of a request may have.
func APIStatuses() []int {
	return []int{200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 416, 429, 500, 503}
}

func allAPICalls() (list []APICall) {
	for _, m := range countedMethods() {
		for _, s := range APIStatuses() {
			list = append(list, APICall{m, s})
		}
	}
	return list
}
