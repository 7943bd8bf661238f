// Package proxies finds out who a client is that comes through proxies.
//
// It owns the list of proxies that are trusted and what they may say: the header
// field X-Forwarded-For, and the PROXY protocol (HAProxy's proxy-protocol.txt,
// versions 1 and 2) before the first byte of a connection. It hides where an
// address was found: afterwards it is the request's RemoteAddr, and that of the
// connection. What anybody else says is ignored. It must not know sessions or
// limits.
//
// Start reading at Proxies.
package proxies
