// Package hook asks a backend what the server leaves to it: who a client is, whether
// it may subscribe or publish, whether it goes on, what an RPC answers. It is the
// hub.Backend over HTTP, with the shapes of Centrifugo's HTTP proxy, so that backends
// written for that work unchanged.
//
// It owns the shapes of questions and answers, the signature, and what a dead, slow
// or lying backend may cost: time limits, places, the breaker, retries. It hides
// HTTP. It must not know sessions or decide anything: what an answer means is the
// hub's to say, and internal/channel's.
//
// It is no part of internal/webhook, which tells. Who asks waits for the answer, so
// nothing here is queued, ordered or kept; who tells needs no answer, and keeps
// everything until it is told. They share nothing but HTTP.
//
// Start reading at Client.Ask, then call.go, then reply.go.
package hook
