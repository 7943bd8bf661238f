// Package pusherapi is the HTTP API of Pusher Channels, for backends with one of
// its server libraries.
//
// It owns the shapes of requests and replies and the check of their signatures.
// It asks the hub, as the server API does; it must not know where history lives,
// how sessions are connected, or what protocols they speak. Names, data and
// signatures are those of internal/protocol/pusher.
//
// Start reading at Handler.ServeHTTP, then events.go.
package pusherapi
