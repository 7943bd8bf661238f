package websocket

import "github.com/fanfare-push/fanfare/internal/hub"

// framing puts one message into one frame.
type framing struct {
	name    string
	op      byte
	deflate bool
}

var _ hub.Framing = framing{}

// newFraming makes the framing of a protocol's messages on connections that
// agreed on deflate, or did not.
func newFraming(binary, deflate bool) framing {
	f := framing{name: "ws-text", op: OpText, deflate: deflate}
	if binary {
		f.name, f.op = "ws-binary", OpBinary
	}
	if deflate {
		f.name += "-deflate"
	}
	return f
}

// Name implements hub.Framing.
func (f framing) Name() string { return f.name }

// AppendFrame implements hub.Framing.
func (f framing) AppendFrame(dst, payload []byte) []byte {
	if f.deflate && len(payload) >= deflateFrom {
		done := deflate(payload, func(z []byte) {
			dst = append(appendHeader(dst, bitFin|bitRSV1|f.op, len(z)), z...)
		})
		if done {
			return dst
		}
	}
	return AppendFrame(dst, f.op, payload)
}

// Echo sends a message back in the kind of frame, text or binary, that the last
// one came in. It is for servers that test the transport by itself; protocols have
// the kind that their Subprotocol says. Sessions of other transports panic.
func Echo(s *hub.Session, msg []byte) {
	c, ok := s.Conn().(*conn)
	if !ok {
		panic("websocket: Echo on a session of another transport")
	}
	s.SendFrame(framing{op: c.op, deflate: c.is(deflated)}.AppendFrame(nil, msg))
}
