// Package transports receives the same messages over WebSocket, Server-Sent
// Events, long poll and short poll at once, and says what that took: delay,
// requests, and bytes in the TCP connections, both ways.
//
// It owns the four ways to receive and the counting. It hides who counts where. It
// must not know the server's code: it is a client, and measures any server. It
// asserts nothing. Start reading at Run.
package transports
