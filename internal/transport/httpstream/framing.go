package httpstream

import (
	"strconv"

	"github.com/fanfare-push/fanfare/internal/hub"
)

// Format is the form that messages take in the response.
type Format uint8

// The formats.
const (
	Lines  Format = iota + 1 // each ends with a newline; a message may hold several lines
	Events                   // each is the data of a Server-Sent Event (WHATWG HTML, 9.2)
	Raw                      // as the protocol wrote them
	Whole                    // Raw, but held back until the session ends: the body of an ordinary response
)

// contentType of the response, where a Variant does not name one.
func (f Format) contentType() string {
	switch f {
	case Lines:
		return "application/x-ndjson"
	case Events:
		return "text/event-stream; charset=utf-8"
	}
	return "application/octet-stream"
}

// framing puts one message into the response.
type framing struct {
	format  Format
	chunked bool // the transfer coding of HTTP/1.1 (RFC 9112, 7.1)
}

var _ hub.Framing = framing{}

// Name implements hub.Framing.
func (f framing) Name() string {
	name := map[Format]string{Lines: "http-lines", Events: "http-events"}[f.format]
	if name == "" {
		name = "http-raw"
	}
	if f.chunked {
		name += "-chunked"
	}
	return name
}

// chunkRoom is what the longest chunk header takes.
const chunkRoom = 16 + len(crlf)

const crlf = "\r\n"

// AppendFrame implements hub.Framing.
func (f framing) AppendFrame(dst, payload []byte) []byte {
	if !f.chunked {
		return f.format.append(dst, payload)
	}
	// The length is known once the message is there: it is written behind room for
	// the header, and moved up to it.
	start := len(dst)
	dst = append(dst, make([]byte, chunkRoom)...)
	body := len(dst)
	dst = f.format.append(dst, payload)
	size := len(dst) - body
	if size == 0 {
		return dst[:start] // an empty chunk would end the response
	}
	head := append(strconv.AppendUint(dst[start:start], uint64(size), 16), crlf...)
	n := copy(dst[start+len(head):], dst[body:])
	return append(dst[:start+len(head)+n], crlf...)
}

// lastChunk ends a chunked response.
const lastChunk = "0\r\n\r\n"

func (f Format) append(dst, payload []byte) []byte {
	switch f {
	case Lines:
		return append(append(dst, payload...), '\n')
	case Events:
		return appendEvent(dst, payload)
	}
	return append(dst, payload...)
}

// appendEvent writes payload as data of one event. Whatever ends a line there
// ends one here too, so that no payload can become another field.
func appendEvent(dst, payload []byte) []byte {
	dst = append(dst, "data: "...)
	for i, b := range payload {
		switch {
		case b == '\r' && i+1 < len(payload) && payload[i+1] == '\n': // one end of line
		case b == '\r' || b == '\n':
			dst = append(dst, "\ndata: "...)
		default:
			dst = append(dst, b)
		}
	}
	return append(dst, "\n\n"...)
}
