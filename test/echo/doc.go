// Command echo is a WebSocket server that sends every message back: the
// connection engine and the WebSocket transport of the server with nothing else,
// for conformance suites to drive.
//
//	go run ./test/echo --listen 127.0.0.1:9001            # ws://127.0.0.1:9001/
//	go run ./test/echo --deflate --tls --transport goroutine
//
// Text comes back as text and binary as binary. It owns the protocol that echoes
// and no more: what is tested is what the server runs. Start reading at run.
package main
