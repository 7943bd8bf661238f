// Package websocket is RFC 6455 on top of internal/transport: the opening
// handshake, frames, permessage-deflate (RFC 7692) and the closing handshake.
//
// It owns the module github.com/gobwas/ws. It hides frames, masks, fragments and
// compression: a session is given whole messages. It must not know what messages
// mean, nor whether a loop or goroutines move the bytes.
//
// Start reading at rfc6455.go, the protocol on one page, then Handler, then conn.
package websocket
