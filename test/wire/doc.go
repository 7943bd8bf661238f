// Package wire is the plainest client of the Centrifuge protocol: JSON messages
// over a WebSocket, and nothing that would hide what the server does. Tests look
// at the wire through it.
//
// It owns the connection and the splitting of frames into messages, and answers
// pings. Of the plain protocol it reads event streams. It must not reconnect,
// recover, or repair anything. Start reading at Dial.
package wire
