package session

import (
	"context"
	"net/http"
	"net/url"
)

// ways are the clients of the matrix.
var ways = []way{
	{"WebSocket", "Centrifuge, JSON", overWebSocket(jsonEncoding{}, ""), nil},
	{"WebSocket", "Centrifuge, Protobuf", overWebSocket(protobufEncoding{}, "centrifuge-protobuf"), nil},
	{"WebSocket", "Centrifuge, unidirectional", unidirectional(uniWebSocket), withoutAsking},
	{"WebSocket", "Pusher", openPusher(pusherWebSocket), withoutPositions},
	{"HTTP stream", "Centrifuge, JSON", emulated(jsonEncoding{}, jsonMedia, splitLine, askStream(jsonMedia)), nil},
	{"HTTP stream", "Centrifuge, Protobuf", emulated(protobufEncoding{}, binaryMedia, splitVarint, askStream(binaryMedia)), nil},
	{"HTTP stream", "Centrifuge, unidirectional", unidirectional(uniHTTPStream), withoutAsking},
	{"SSE", "Centrifuge, JSON", emulated(jsonEncoding{}, jsonMedia, splitEvent, askEvents), nil},
	{"SSE", "Centrifuge, unidirectional", unidirectional(uniSSE), withoutAsking},
	{"SSE", "plain", openSource, nil},
	{"long poll", "plain", openPoller, map[string]string{
		casePresence:   "it is present while a poll waits; test/npm looks at that",
		caseDisconnect: "between two polls there is no session to end",
	}},
	{"XHR streaming", "Pusher", openPusher(pusherXHR("xhr_streaming")), withoutPositions},
	{"XHR polling", "Pusher", openPusher(pusherXHR("xhr")), withoutPositions},
}

var withoutAsking = map[string]string{
	caseRefused: "its channels are in its token: there is nothing to refuse",
}

var withoutPositions = map[string]string{
	caseCuts:       "the protocol has no positions: what is published while it is cut is not seen",
	caseLost:       "the protocol has no positions",
	caseDisconnect: "a Pusher client has a user when it has signed in; test/npm looks at that",
}

func askStream(media string) func(e *env, connect []byte) func(context.Context) (*http.Request, error) {
	return func(e *env, connect []byte) func(context.Context) (*http.Request, error) {
		return post(e, "/connection/http_stream", media, connect)
	}
}

func askEvents(e *env, connect []byte) func(context.Context) (*http.Request, error) {
	return get(e, "/connection/sse", url.Values{"cf_connect": {string(connect)}})
}
