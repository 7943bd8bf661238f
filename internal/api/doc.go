// Package api is the HTTP API for backends: publish, ask, and act on sessions.
//
// It owns the shapes of requests and replies, which are Centrifugo's, and the
// table of errors. It hides HTTP and JSON from the hub; it must not know where
// history lives, how sessions are connected, or what protocols they speak.
//
// Start reading at Handler.ServeHTTP, then methods.go, then errors.go.
// openapi.json describes the same for users; tests compare the two. JSON is read
// by json.go, and judged by check.go before that.
package api
