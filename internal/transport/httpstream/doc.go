// Package httpstream carries sessions in the response to an HTTP request: for as
// long as the response lasts, or until there is something to answer with. What
// the client has to say comes with the request, or in requests of its own
// (Emulation).
//
// It owns the forms that messages take in a response (Format), heads and
// refusals. It hides whether the response is written on a shard's loop, after
// the connection was taken from net/http, or by the request's own goroutine. It
// must not know what messages mean. Where the requests of one session reach several
// nodes it joins them (relaywire.go); how nodes speak is the hub's business.
//
// Start reading at Handler.ServeHTTP, then conn; for one session in many responses at
// XHR, then carrier.
package httpstream
