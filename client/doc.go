// Package client speaks to a Fanfare server from Go, in its two roles.
//
// API is for backends: it publishes, asks, and acts on sessions over the HTTP
// API. Pipeline publishes many messages in order. Subscriber listens to channels
// over WebSocket with the Centrifuge protocol in JSON, and comes back by itself
// with its position when the connection is cut.
//
// It owns the client's side of both wires and the WebSocket library. It hides
// retries, reconnecting and recovery. It must not know the server's code: only
// what is documented is used. Start reading at API, then Subscriber.Run.
package client
