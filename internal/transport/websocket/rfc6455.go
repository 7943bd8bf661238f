package websocket

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// WebSocket on one page. Sources: RFC 6455, RFC 7692 (permessage-deflate).
//
// # Opening handshake (RFC 6455, 4.2)
//
// GET with Upgrade: websocket, Connection: Upgrade, Sec-WebSocket-Version: 13
// and a key of 16 bytes. What is none of it is answered in HTTP: 405 another
// method, 426 no upgrade or another version, 400 a bad key, 403 an Origin that
// is not allowed, 503 with Retry-After when the node is full or stopping. The
// first subprotocol of the client's list that is served is chosen.
//
// # Frames (5.2)
//
//	 0               1               2 …
//	+-+-+-+-+-------+-+-------------+---------------+----------+---------
//	|F|R|R|R| opcode|M| length 7    | length 16/64  | mask 32  | payload
//	+-+-+-+-+-------+-+-------------+---------------+----------+---------
//
// A client's frames are masked (5.1), a server's are not. RSV1 is set on the
// first frame of a compressed message where deflate was agreed on, and nowhere
// else. Lengths take the shortest form. Control frames hold at most 125 bytes,
// are not fragmented, and may come between the fragments of a message (5.4, 5.5).
//
// # Failing (7.1.7)
//
//	1002  a frame that breaks the rules above, a bad close code
//	1007  text or a close reason that is not UTF-8, data that does not inflate
//	1009  a message larger than the limit, before or after inflating
//
// Text is checked as it arrives, so that a connection fails at the first bad
// byte. After a failure nothing more is read as frames.
//
// # Closing (7.1.1, 7.4)
//
// Either side sends a close frame and the other answers with the same code; this
// side then closes. A peer that does not answer is cut off when the hub's timer
// for closing sessions fires. Disconnect codes of the hub travel as close codes:
// 3000–4999 are free for that use; a code that may not be sent is sent as 1000.

// Opcodes (RFC 6455, 5.2).
const (
	opContinuation byte = 0x0
	OpText         byte = 0x1
	OpBinary       byte = 0x2
	opClose        byte = 0x8
	opPing         byte = 0x9
	opPong         byte = 0xA
)

// Bits of a frame's first two bytes.
const (
	bitFin  byte = 0x80
	bitRSV1 byte = 0x40
	bitsRSV byte = 0x70
	bitMask byte = 0x80
)

// Close codes (RFC 6455, 7.4.1).
const (
	closeNormal        = 1000
	closeProtocolError = 1002
	closeNoStatus      = 1005 // never on the wire
	closeInvalidData   = 1007
	closeTooBig        = 1009
)

const (
	maxHeader  = 14  // bytes of a masked frame's header
	maxControl = 125 // bytes of a control frame's payload
	maxReason  = maxControl - 2
)

// appendHeader appends the header of an unmasked frame (5.2).
func appendHeader(dst []byte, first byte, n int) []byte {
	switch {
	case n < 126:
		return append(dst, first, byte(n))
	case n < 1<<16:
		return append(dst, first, 126, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
}

// AppendFrame appends one whole unfragmented message as a server sends it; op is
// OpText or OpBinary.
func AppendFrame(dst []byte, op byte, payload []byte) []byte {
	return append(appendHeader(dst, bitFin|op, len(payload)), payload...)
}

// appendClose appends a close frame; closeNoStatus makes an empty one. The
// reason is cut to what fits, between two characters.
func appendClose(dst []byte, code int, reason string) []byte {
	if code == closeNoStatus {
		return append(dst, bitFin|opClose, 0)
	}
	if len(reason) > maxReason {
		end := maxReason
		for end > 0 && !utf8.RuneStart(reason[end]) {
			end--
		}
		reason = reason[:end]
	}
	reason = strings.ToValidUTF8(reason, "")
	dst = append(dst, bitFin|opClose, byte(2+len(reason)), byte(code>>8), byte(code))
	return append(dst, reason...)
}

// validCloseCode reports whether a peer may send code (7.4.1, 7.4.2).
func validCloseCode(code int) bool {
	switch {
	case code >= 3000 && code < 5000:
		return true
	case code >= 1000 && code <= 1014:
		return code != 1004 && code != closeNoStatus && code != 1006
	}
	return false
}
